package catalog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func masked(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

func TestEveryFieldHasARule(t *testing.T) {
	checkRules(t, &topicKind, new(pubsubpb.Topic))
	checkRules(t, &subscriptionKind, new(pubsubpb.Subscription))
}

func checkRules[R proto.Message](t *testing.T, k *kind[R], resource R) {
	fields := resource.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		name := string(fields.Get(i).Name())
		if !slices.ContainsFunc(k.fields, func(f field[R]) bool { return f.name == name }) {
			t.Errorf("%s.%s has no rule", k.noun, name)
		}
	}
	for _, f := range k.fields {
		fd := fields.ByName(protoreflect.Name(f.name))
		if fd == nil {
			t.Errorf("%s.%s has a rule and is no field", k.noun, f.name)
			continue
		}
		for _, part := range f.parts {
			if fd.Message().Fields().ByName(protoreflect.Name(part)) == nil {
				t.Errorf("%s.%s.%s may be updated and is no field", k.noun, f.name, part)
			}
		}
	}
}

// The API definition's own words about who may set what, as far as they go beyond "Optional".
func TestWhoMaySetAField(t *testing.T) {
	want := map[use][]string{
		immutable: {"name", "topic", "enable_message_ordering", "filter"},
		ignored:   {"satisfies_pzs", "state", "tags", "detached", "topic_message_retention_duration", "analytics_hub_subscription_info"},
	}
	checkUse(t, &topicKind, want)
	checkUse(t, &subscriptionKind, want)
}

func checkUse[R proto.Message](t *testing.T, k *kind[R], want map[use][]string) {
	for _, f := range k.fields {
		expected := mutable
		for use, names := range want {
			if slices.Contains(names, f.name) {
				expected = use
			}
		}
		if f.use != expected {
			t.Errorf("%s.%s: use %d, want %d", k.noun, f.name, f.use, expected)
		}
	}
}

func TestMaskRefusals(t *testing.T) {
	topic, subscription := sampleTopics(t)[0], sampleSubscriptions(t)[0]
	for _, test := range []struct {
		paths              []string // of a mask; nil: no mask
		topic, subscripton string   // texts; empty: taken
	}{
		{nil, "The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.",
			"The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list."},
		{[]string{}, "The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.",
			"The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list."},
		{[]string{"labels"}, "", ""},
		{[]string{"labels", "labels"}, "", ""},
		{[]string{"nosuch"}, unknownTopicPath("nosuch"), unknownSubscriptionPath("nosuch")},
		{[]string{"labels", ""}, unknownTopicPath(""), unknownSubscriptionPath("")},
		{[]string{"*"}, unknownTopicPath("*"), unknownSubscriptionPath("*")},
		{[]string{"labels.team"}, unknownTopicPath("labels.team"), unknownSubscriptionPath("labels.team")},
		{[]string{"messageRetentionDuration"}, unknownTopicPath("messageRetentionDuration"), unknownSubscriptionPath("messageRetentionDuration")},
		{[]string{"message_retention_duration.seconds"}, unknownTopicPath("message_retention_duration.seconds"), unknownSubscriptionPath("message_retention_duration.seconds")},
		{[]string{"schema_settings.encoding"}, "", unknownSubscriptionPath("schema_settings.encoding")},
		{[]string{"schema_settings."}, unknownTopicPath("schema_settings."), unknownSubscriptionPath("schema_settings.")},
		{[]string{"schema_settings.schema.x"}, unknownTopicPath("schema_settings.schema.x"), unknownSubscriptionPath("schema_settings.schema.x")},
		{[]string{"push_config.push_endpoint"}, unknownTopicPath("push_config.push_endpoint"), unknownSubscriptionPath("push_config.push_endpoint")},
		{[]string{"name"}, fixedTopicField("name"), fixedSubscriptionField("name")},
		{[]string{"name.x"}, unknownTopicPath("name.x"), unknownSubscriptionPath("name.x")},
		{[]string{"tags"}, fixedTopicField("tags"), fixedSubscriptionField("tags")},
		{[]string{"state"}, fixedTopicField("state"), fixedSubscriptionField("state")},
		{[]string{"satisfies_pzs"}, fixedTopicField("satisfies_pzs"), unknownSubscriptionPath("satisfies_pzs")},
		{[]string{"topic"}, unknownTopicPath("topic"), fixedSubscriptionField("topic")},
		{[]string{"labels", "enable_message_ordering"}, unknownTopicPath("enable_message_ordering"), fixedSubscriptionField("enable_message_ordering")},
		{[]string{"filter"}, unknownTopicPath("filter"), fixedSubscriptionField("filter")},
		{[]string{"detached"}, unknownTopicPath("detached"), fixedSubscriptionField("detached")},
		{[]string{"filter", "nosuch"}, unknownTopicPath("filter"), fixedSubscriptionField("filter")},
	} {
		t.Run(fmt.Sprint(test.paths), func(t *testing.T) {
			var mask *fieldmaskpb.FieldMask
			if test.paths != nil {
				mask = masked(test.paths...)
			}
			_, err := UpdateTopic(mustTopic(t, topic), topic, mask)
			takenOrRefused(t, err, test.topic)
			_, err = UpdateSubscription(mustSubscription(t, subscription), subscription, mask)
			takenOrRefused(t, err, test.subscripton)
		})
	}
}

func unknownTopicPath(path string) string {
	return "Invalid update_mask provided in the UpdateTopicRequest: " + path + " is not a known Topic field. Note that field paths must be of the form 'schema_settings' rather than 'schemaSetings'."
}

func unknownSubscriptionPath(path string) string {
	return "Invalid update_mask provided in the UpdateSubscriptionRequest: " + path + " is not a known Subscription field. Note that field paths must be of the form 'push_config' rather than 'pushConfig'."
}

func fixedTopicField(name string) string {
	return "Invalid update_mask provided in the UpdateTopicRequest: the '" + name + "' field in the Topic is not mutable."
}

func fixedSubscriptionField(name string) string {
	return "Invalid update_mask provided in the UpdateSubscriptionRequest: the '" + name + "' field in the Subscription is not mutable."
}

func takenOrRefused(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	refused(t, err, codes.InvalidArgument, text)
}

func mustTopic(t testing.TB, in *pubsubpb.Topic) *pubsubpb.Topic {
	t.Helper()
	topic, err := NewTopic(in)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func mustSubscription(t testing.TB, in *pubsubpb.Subscription) *pubsubpb.Subscription {
	t.Helper()
	subscription, err := NewSubscription(in, new(pubsubpb.Topic))
	if err != nil {
		t.Fatal(err)
	}
	return subscription
}

// An update changes the fields that its mask names to what they are in the resource sent, and no other. The state follows from the
// others, and an endpoint's version outlives an update that does not give one.
func TestUpdatesChangeWhatTheMaskNamesAndNothingElse(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	topics, subscriptions := sampleTopics(t), sampleSubscriptions(t)
	topics = append(topics, &pubsubpb.Topic{Name: topics[0].Name})
	subscriptions = append(subscriptions, &pubsubpb.Subscription{Name: subscriptions[0].Name, Topic: subscriptions[0].Topic})
	taken := 0
	for range 1000 {
		current, in := mustTopic(t, topics[random.IntN(len(topics))]), mustTopic(t, topics[random.IntN(len(topics))])
		taken += checkUpdate(t, random, &topicKind, current, in)
	}
	for range 1000 {
		current := mustSubscription(t, subscriptions[random.IntN(len(subscriptions))])
		in := mustSubscription(t, subscriptions[random.IntN(len(subscriptions))])
		taken += checkUpdate(t, random, &subscriptionKind, current, in)
	}
	if taken < 1200 {
		t.Errorf("only %d of 2000 updates were taken", taken)
	}
}

func checkUpdate[R proto.Message](t *testing.T, random *rand.Rand, k *kind[R], current, in R) (taken int) {
	t.Helper()
	var paths []string
	for _, f := range k.fields {
		if f.use == mutable && random.IntN(3) == 0 {
			paths = append(paths, f.name)
		}
	}
	if len(paths) == 0 {
		return 0
	}
	random.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	before, sent := Encode(current), Encode(in)
	next, err := k.update(current, in, masked(paths...))
	if !bytes.Equal(Encode(current), before) || !bytes.Equal(Encode(in), sent) {
		t.Fatalf("an update of %v changed what was passed in", paths)
	}
	if err != nil {
		if status.Code(err) != codes.InvalidArgument {
			t.Fatal(err)
		}
		return 0
	}
	for _, f := range k.fields {
		want := current
		if slices.Contains(paths, f.name) {
			want = in
		}
		if f.name == "state" || f.name == "push_config" && want.ProtoReflect().Get(descriptor(want, "push_config")).Message().Interface().(*pubsubpb.PushConfig).Attributes == nil {
			continue
		}
		if !onlyField(next, f.name).equal(onlyField(want, f.name)) {
			t.Fatalf("update of %v: %s is\n%v, want\n%v", paths, f.name, next, want)
		}
	}
	return 1
}

// part is a resource with one field of another.
type part struct{ proto.Message }

func onlyField(resource proto.Message, name string) part {
	alone := resource.ProtoReflect().New()
	assign(alone, resource.ProtoReflect(), descriptor(resource, name))
	return part{alone.Interface()}
}

func (p part) equal(other part) bool { return proto.Equal(p.Message, other.Message) }

func TestARefusedUpdateChangesNothing(t *testing.T) {
	current := mustSubscription(t, sampleSubscriptions(t)[0])
	before := proto.Clone(current)
	in := &pubsubpb.Subscription{Labels: map[string]string{"good": "v"}, AckDeadlineSeconds: 9}
	next, err := UpdateSubscription(current, in, masked("labels", "ack_deadline_seconds"))
	refused(t, err, codes.InvalidArgument, "Invalid ack deadline given (ack_deadline=9). The ack deadline must be between 10 and 600 seconds.")
	if next != nil {
		t.Errorf("%v was returned with an error", next)
	}
	same(t, "the current subscription", current, before)
}

func TestResultsShareNoMemoryWithArguments(t *testing.T) {
	in := &pubsubpb.Subscription{Name: "projects/p/subscriptions/sub", Topic: "projects/p/topics/topic",
		Labels: map[string]string{"a": "b"}, ExpirationPolicy: parseText(t, new(pubsubpb.ExpirationPolicy), "ttl { seconds: 86400 }")}
	created := mustSubscription(t, in)
	created.MessageRetentionDuration.Seconds-- // its default was the time to live
	if created.ExpirationPolicy.Ttl.Seconds != 86400 {
		t.Error("the retention and the time to live are one")
	}
	updated, err := UpdateSubscription(created, in, masked("labels"))
	if err != nil {
		t.Fatal(err)
	}
	updated.Labels["a"], updated.MessageRetentionDuration.Seconds = "c", 1
	if in.Labels["a"] != "b" || created.Labels["a"] != "b" || created.MessageRetentionDuration.Seconds == 1 {
		t.Error("a result shares memory with an argument")
	}
}

func TestUnknownFieldsAreDroppedFromRequestsAndKeptInStoredResources(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	in := sampleSubscriptions(t)[0]
	in.ProtoReflect().SetUnknown(unknown)
	in.RetryPolicy.ProtoReflect().SetUnknown(unknown)
	in.MessageTransforms[0].ProtoReflect().SetUnknown(unknown)
	created := mustSubscription(t, in)
	if bytes.Contains(Encode(created), unknown) {
		t.Error("an unknown field of a request was kept")
	}
	created.ProtoReflect().SetUnknown(unknown)
	stored, err := DecodeSubscription(created.Name, created.Topic, EncodeSubscription(created))
	if err != nil {
		t.Fatal(err)
	}
	updated, err := UpdateSubscription(stored, in, masked("retry_policy"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(Encode(updated), unknown); n != 1 {
		t.Errorf("%d unknown fields, want the one that was stored", n)
	}
}

func TestStoredResourcesComeBack(t *testing.T) {
	for _, sample := range sampleTopics(t) {
		topic := mustTopic(t, sample)
		stored := EncodeTopic(topic)
		back, err := DecodeTopic(topic.Name, stored)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the decoded topic", back, topic)
		other := proto.Clone(topic).(*pubsubpb.Topic)
		if other.Name = "projects/p/topics/of-another-name"; !bytes.Equal(EncodeTopic(other), stored) {
			t.Error("the stored form of a topic depends on its name")
		}
		if !bytes.Equal(EncodeTopic(back), stored) {
			t.Error("a topic's stored form changed")
		}
	}
	for _, sample := range sampleSubscriptions(t) {
		subscription := mustSubscription(t, sample)
		stored := EncodeSubscription(subscription)
		back, err := DecodeSubscription(subscription.Name, subscription.Topic, stored)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the decoded subscription", back, subscription)
		other := proto.Clone(subscription).(*pubsubpb.Subscription)
		other.Name, other.Topic = "projects/p/subscriptions/of-another-name", "projects/p/topics/of-another-name"
		if !bytes.Equal(EncodeSubscription(other), stored) {
			t.Error("the stored form of a subscription depends on its name or its topic")
		}
	}
	for _, damaged := range []string{"\x0a", "\x0a\x7fx", "\x07"} {
		if _, err := DecodeTopic("", []byte(damaged)); err == nil {
			t.Errorf("DecodeTopic(%q) has no error", damaged)
		}
		if _, err := DecodeSubscription("", "", []byte(damaged)); err == nil {
			t.Errorf("DecodeSubscription(%q) has no error", damaged)
		}
	}
}

func TestAResourceHasASize(t *testing.T) {
	in := sampleTopics(t)[0]
	in.MessageStoragePolicy.AllowedPersistenceRegions = []string{strings.Repeat("x", 512<<10)}
	_, err := NewTopic(in)
	size := proto.Size(mustTopic(t, sampleTopics(t)[0])) - len("europe-west3") + 512<<10 + 4 // two longer length prefixes
	refused(t, err, codes.InvalidArgument, fmt.Sprintf("The value for topic_size is too large. You passed %d in the request, but the maximum value is 524288.", size))
}

func TestMissingResourcesAreRefused(t *testing.T) {
	_, err := NewTopic(nil)
	refused(t, err, codes.InvalidArgument, badNameText(""))
	_, err = NewSubscription(nil, nil)
	refused(t, err, codes.InvalidArgument, badNameText(""))
	topic, err := UpdateTopic(mustTopic(t, sampleTopics(t)[0]), nil, masked("labels"))
	if err != nil || len(topic.Labels) != 0 {
		t.Errorf("%v, %v", topic, err)
	}
}

func FuzzSubscriptionsAreSettledOrRefused(f *testing.F) {
	for _, sample := range sampleSubscriptions(f) {
		f.Add(Encode(sample), "labels,push_config")
	}
	f.Add([]byte{}, "")
	f.Add(Encode(&pubsubpb.Subscription{Topic: "projects/p/topics/topic"}), "name")
	current := mustSubscription(f, sampleSubscriptions(f)[0])
	before := Encode(current)
	f.Fuzz(func(t *testing.T, encoded []byte, paths string) {
		in := new(pubsubpb.Subscription)
		if proto.Unmarshal(encoded, in) != nil {
			return
		}
		sent := proto.Clone(in)
		checkSettled(t, in)
		next, err := UpdateSubscription(current, in, masked(strings.Split(paths, ",")...))
		clientError(t, err)
		if err == nil {
			same(t, "an updated subscription, settled again", mustSubscription(t, next), withoutDetached(next))
		}
		if !bytes.Equal(Encode(current), before) {
			t.Fatal("the current subscription was changed")
		}
		same(t, "the subscription sent", in, sent)
	})
}

// checkSettled creates a subscription: what comes out of it is a fixed point.
func checkSettled(t *testing.T, in *pubsubpb.Subscription) {
	t.Helper()
	created, err := NewSubscription(in, new(pubsubpb.Topic))
	clientError(t, err)
	if err != nil {
		return
	}
	same(t, "a settled subscription, settled again", mustSubscription(t, created), created)
	var all []string
	for _, f := range subscriptionKind.fields {
		if f.use == mutable {
			all = append(all, f.name)
		}
	}
	updated, err := UpdateSubscription(created, created, masked(all...))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a subscription updated to itself", updated, created)
}

func withoutDetached(s *pubsubpb.Subscription) *pubsubpb.Subscription {
	s = proto.Clone(s).(*pubsubpb.Subscription)
	s.Detached = false
	return s
}

func FuzzTopicsAreSettledOrRefused(f *testing.F) {
	for _, sample := range sampleTopics(f) {
		f.Add(Encode(sample), "schema_settings.schema,labels")
	}
	f.Add(Encode(&pubsubpb.Topic{}), "schema_settings")
	current := mustTopic(f, sampleTopics(f)[0])
	before := Encode(current)
	f.Fuzz(func(t *testing.T, encoded []byte, paths string) {
		in := new(pubsubpb.Topic)
		if proto.Unmarshal(encoded, in) != nil {
			return
		}
		created, err := NewTopic(in)
		clientError(t, err)
		if err == nil {
			same(t, "a settled topic, settled again", mustTopic(t, created), created)
		}
		next, err := UpdateTopic(current, in, masked(strings.Split(paths, ",")...))
		clientError(t, err)
		if err == nil {
			same(t, "an updated topic, settled again", mustTopic(t, next), next)
		}
		if !bytes.Equal(Encode(current), before) {
			t.Fatal("the current topic was changed")
		}
	})
}

// clientError fails the test when a client's mistake is not answered as one, or at a length that no header takes.
func clientError(t *testing.T, err error) {
	t.Helper()
	if code := status.Code(err); err != nil && code != codes.InvalidArgument && code != codes.OutOfRange {
		t.Fatal(err)
	}
	if len(status.Convert(err).Message()) > 8*quotedBytesMax {
		t.Fatalf("a text of %d bytes", len(status.Convert(err).Message()))
	}
}
