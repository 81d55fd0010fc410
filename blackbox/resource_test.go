package blackbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func TestResourceNames(t *testing.T) {
	t.Parallel()
	s := common(t)
	good := []string{"abc", "A-b_c.d~e+f%g", strings.Repeat("x", 255), "Google"}
	bad := []string{"", "ab", strings.Repeat("x", 256), "1abc", "-abc", "goog", "google1", "a/b", "a b", "añb", "abc\n"}
	for _, id := range good {
		if _, err := s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName(id)}); err != nil {
			t.Errorf("topic %q: %v", id, err)
		}
		if _, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName(id), Topic: s.topicName(id)}); err != nil {
			t.Errorf("subscription %q: %v", id, err)
		}
	}
	for _, id := range bad {
		_, err := s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName(id)})
		wantStatus(t, err, codes.InvalidArgument, badName(s.topicName(id)))
		_, err = s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName(id), Topic: s.topicName("abc")})
		wantStatus(t, err, codes.InvalidArgument, badName(s.subName(id)))
	}
	for _, name := range []string{"", "abc", "topics/abc", "projects//topics/abc", "projects/p/subscriptions/abc", "/projects/p/topics/abc"} {
		_, err := s.CreateTopic(limited(t), &pb.Topic{Name: name})
		wantStatus(t, err, codes.InvalidArgument, badName(name))
	}
	for _, project := range []string{"example.com:project", "123456789"} {
		name := fmt.Sprintf("projects/%s/topics/t%d", project, time.Now().UnixNano())
		if _, err := s.CreateTopic(limited(t), &pb.Topic{Name: name}); err != nil {
			t.Errorf("project %s: %v", project, err)
		}
	}
}

func TestDuplicatesAndAbsentResources(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	missingTopic, missingSub := s.topicName("missing"), s.subName("missing")
	mask := &fieldmaskpb.FieldMask{Paths: []string{"labels"}}
	for _, c := range []struct {
		name string
		call func() error
		code codes.Code
		text string
	}{
		{"create topic again", func() error { _, err := s.CreateTopic(limited(t), &pb.Topic{Name: topic}); return err },
			codes.AlreadyExists, "Resource already exists in the project (resource=t-x)."},
		{"create subscription again", func() error {
			_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: sub, Topic: topic})
			return err
		}, codes.AlreadyExists, "Resource already exists in the project (resource=s-x)."},
		{"get topic", func() error { _, err := s.GetTopic(limited(t), &pb.GetTopicRequest{Topic: missingTopic}); return err },
			codes.NotFound, notFound},
		{"delete topic", func() error {
			_, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: missingTopic})
			return err
		},
			codes.NotFound, notFound},
		{"update topic", func() error {
			_, err := s.UpdateTopic(limited(t), &pb.UpdateTopicRequest{Topic: &pb.Topic{Name: missingTopic}, UpdateMask: mask})
			return err
		}, codes.NotFound, ""},
		{"list a topic's subscriptions", func() error {
			_, err := s.ListTopicSubscriptions(limited(t), &pb.ListTopicSubscriptionsRequest{Topic: missingTopic})
			return err
		}, codes.NotFound, notFound},
		{"subscribe to an absent topic", func() error {
			_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: missingSub, Topic: missingTopic})
			return err
		}, codes.NotFound, notFound},
		{"subscribe to nothing", func() error {
			_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: missingSub})
			return err
		}, codes.InvalidArgument, badName("")},
		{"get subscription", func() error {
			_, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: missingSub})
			return err
		}, codes.NotFound, notFound},
		{"delete subscription", func() error {
			_, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: missingSub})
			return err
		}, codes.NotFound, notFound},
		{"update subscription", func() error {
			_, err := s.sub.UpdateSubscription(limited(t), &pb.UpdateSubscriptionRequest{Subscription: &pb.Subscription{Name: missingSub}, UpdateMask: mask})
			return err
		}, codes.NotFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) { wantStatus(t, c.call(), c.code, c.text) })
	}
}

const notFound = "Resource not found (resource=missing)."

func TestSubscriptionDefaults(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topicName("some")
	retained := &pb.Topic{Name: topic, MessageRetentionDuration: durationpb.New(time.Hour)}
	if _, err := s.CreateTopic(limited(t), retained); err != nil {
		t.Fatal(err)
	}
	sub := s.subscription(t, "some", topic)
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.Subscription{
		Name: sub, Topic: topic,
		PushConfig:                    &pb.PushConfig{},
		AckDeadlineSeconds:            10,
		MessageRetentionDuration:      durationpb.New(7 * 24 * time.Hour),
		ExpirationPolicy:              &pb.ExpirationPolicy{Ttl: durationpb.New(31 * 24 * time.Hour)},
		State:                         pb.Subscription_ACTIVE,
		TopicMessageRetentionDuration: durationpb.New(time.Hour),
	}
	if !proto.Equal(got, want) {
		t.Errorf("subscription is\n %v\nwant\n %v", got, want)
	}
}

func TestSubscriptionValidation(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "some")
	for _, c := range []struct {
		name   string
		change func(*pb.Subscription)
		code   codes.Code
		text   string
	}{
		{"ack deadline of 9 s", func(r *pb.Subscription) { r.AckDeadlineSeconds = 9 }, codes.InvalidArgument,
			"Invalid ack deadline given (ack_deadline=9). The ack deadline must be between 10 and 600 seconds."},
		{"ack deadline of 601 s", func(r *pb.Subscription) { r.AckDeadlineSeconds = 601 }, codes.InvalidArgument,
			"Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 10 and 600 seconds."},
		{"retention of 9m59s", func(r *pb.Subscription) { r.MessageRetentionDuration = durationpb.New(599 * time.Second) }, codes.InvalidArgument,
			"The value for message retention duration is out of bounds. You passed 9m59s in the request, but the value must be between 10m and 744h."},
		{"expiration after 1h", func(r *pb.Subscription) { r.ExpirationPolicy = &pb.ExpirationPolicy{Ttl: durationpb.New(time.Hour)} },
			codes.InvalidArgument, "The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h."},
		{"dead letters to an absent topic", func(r *pb.Subscription) {
			r.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: s.topicName("missing")}
		}, codes.NotFound, notFound},
		{"filter of 257 bytes", func(r *pb.Subscription) { r.Filter = `attributes:` + strings.Repeat("x", 246) }, codes.InvalidArgument, ""},
		{"label in capitals", func(r *pb.Subscription) { r.Labels = map[string]string{"Upper": "x"} }, codes.InvalidArgument,
			`You have passed an invalid argument to the service (argument=Invalid labels: Invalid field "labels"; key "Upper" does not conform to ` +
				`regular expression "[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"; first character "U" is not a non-uppercased letter ` +
				`(Unicode character class Ll or Lo)).`},
		{"maximum backoff of 601 s", func(r *pb.Subscription) {
			r.RetryPolicy = &pb.RetryPolicy{MaximumBackoff: durationpb.New(601 * time.Second)}
		}, codes.InvalidArgument,
			"The value for maximum_backoff is out of bounds. You passed 601s in the request, but the value must be between 0s and 600s."},
		{"maximum backoff below the minimum", func(r *pb.Subscription) {
			r.RetryPolicy = &pb.RetryPolicy{MinimumBackoff: durationpb.New(60 * time.Second), MaximumBackoff: durationpb.New(30 * time.Second)}
		}, codes.InvalidArgument, "The value for maximum_backoff is too small. You passed 30s in the request, but the minimum value is 60s."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &pb.Subscription{Name: s.subName("refused"), Topic: topic}
			c.change(r)
			_, err := s.sub.CreateSubscription(limited(t), r)
			wantStatus(t, err, c.code, c.text)
			if _, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: r.Name}); status.Code(err) != codes.NotFound {
				t.Errorf("refused subscription is there: %v", err)
			}
		})
	}
}

func TestUpdateMasks(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	for _, c := range []struct {
		paths []string
		text  string
	}{
		{nil, "The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list."},
		{[]string{"colour"}, "Invalid update_mask provided in the UpdateSubscriptionRequest: colour is not a known Subscription field. " +
			"Note that field paths must be of the form 'push_config' rather than 'pushConfig'."},
		{[]string{"enable_message_ordering"},
			"Invalid update_mask provided in the UpdateSubscriptionRequest: the 'enable_message_ordering' field in the Subscription is not mutable."},
		{[]string{"labels", "filter"}, "Invalid update_mask provided in the UpdateSubscriptionRequest: the 'filter' field in the Subscription is not mutable."},
	} {
		_, err := s.sub.UpdateSubscription(limited(t), &pb.UpdateSubscriptionRequest{
			Subscription: &pb.Subscription{Name: sub, Labels: map[string]string{"half": "applied"}},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: c.paths},
		})
		wantStatus(t, err, codes.InvalidArgument, c.text)
	}
	_, err := s.UpdateTopic(limited(t), &pb.UpdateTopicRequest{Topic: &pb.Topic{Name: topic}})
	wantStatus(t, err, codes.InvalidArgument, "The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.")

	got, err := s.sub.UpdateSubscription(limited(t), &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: sub, AckDeadlineSeconds: 77, Labels: map[string]string{"a": "b"}, RetainAckedMessages: true},
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds", "labels"}},
	})
	if err != nil || got.AckDeadlineSeconds != 77 || got.Labels["a"] != "b" || got.Labels["half"] != "" || got.RetainAckedMessages {
		t.Errorf("update gave %v, %v; want the two named fields changed and nothing else", got, err)
	}
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	s := common(t)
	var want []string
	for i := range 25 {
		want = append(want, s.topic(t, fmt.Sprintf("t%02d", i)))
	}
	var got []string
	r := &pb.ListTopicsRequest{Project: "projects/" + s.project, PageSize: 10}
	for pages := 0; ; pages++ {
		answer, err := s.ListTopics(limited(t), r)
		if err != nil || pages > 3 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, topic := range answer.Topics {
			got = append(got, topic.Name)
		}
		if answer.NextPageToken == "" {
			break
		}
		r.PageToken = answer.NextPageToken
	}
	if !slices.Equal(got, want) {
		t.Errorf("lists give %q, want %q", got, want)
	}
	_, err := s.ListTopics(limited(t), &pb.ListTopicsRequest{Project: "projects/" + s.project, PageSize: -1})
	wantStatus(t, err, codes.InvalidArgument, "")
	_, err = s.ListTopics(limited(t), &pb.ListTopicsRequest{})
	wantStatus(t, err, codes.InvalidArgument, badName(""))
	for i := range 3 {
		s.subscription(t, fmt.Sprint("sub", i), want[0])
	}
	attached, err := s.ListTopicSubscriptions(limited(t), &pb.ListTopicSubscriptionsRequest{Topic: want[0]})
	if err != nil || len(attached.Subscriptions) != 3 || attached.Subscriptions[0] != s.subName("sub0") {
		t.Errorf("the topic's subscriptions are %v, %v", attached.GetSubscriptions(), err)
	}
}

func TestDeletedTopicLeavesItsBacklog(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a", "b")
	st := s.stream(t, &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 60, MaxOutstandingMessages: 1})
	held := st.take(t, 1)
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || got.Topic != "_deleted-topic_" {
		t.Errorf("subscription's topic is %q, %v; want _deleted-topic_", got.GetTopic(), err)
	}
	_, err = s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("late")}}})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=t-x).")
	// The stream lives on and the rest of the backlog can be had.
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{held[0].AckId}})
	rest := st.take(t, 1)
	if rest[0].Message.MessageId == held[0].Message.MessageId {
		t.Errorf("message %q came again", rest[0].Message.Data)
	}
	// A topic of the same name is another topic.
	s.topic(t, "t-x")
	s.publish(t, topic, "new")
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{rest[0].AckId}})
	st.silent(t, 500*time.Millisecond)
	attached, err := s.ListTopicSubscriptions(limited(t), &pb.ListTopicSubscriptionsRequest{Topic: topic})
	if err != nil || len(attached.Subscriptions) != 0 {
		t.Errorf("the new topic has subscriptions %v, %v", attached.GetSubscriptions(), err)
	}
}

func TestDeletedSubscriptionEndsItsStreamsAndPulls(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	st := s.stream(t, open(sub))
	burst(t, s, topic, st, 1)
	pulled := make(chan error, 1)
	ctx := limited(t)
	go func() {
		_, err := s.sub.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: 1})
		pulled <- err
	}()
	select {
	case err := <-pulled:
		t.Fatalf("pull answered %v, want it to wait", err)
	case <-time.After(300 * time.Millisecond):
	}
	if _, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: sub}); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, st.end(t), codes.NotFound, "")
	wantStatus(t, <-pulled, codes.NotFound, "")
	_, err := s.sub.Pull(limited(t), immediately(sub, 1))
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=s-x).")
	// The backlog is gone: a subscription of the same name begins empty.
	s.subscription(t, "s-x", topic)
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Errorf("a new subscription of the same name got %q", dataOf(got))
	}
	s.publish(t, topic, "new")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "new" {
		t.Errorf("a new subscription of the same name got %q", got)
	}
}

func TestSubscriptionBeginsAtItsCreation(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "some")
	s.publish(t, topic, "before")
	sub := s.subscription(t, "some", topic)
	s.publish(t, topic, "after")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "after" {
		t.Errorf("%q came first", got)
	}
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Errorf("%q came as well", dataOf(got))
	}
}

func TestProjectsAreApart(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	other := *s
	other.project = s.project + "-other"
	otherTopic, otherSub := other.pair(t, "x")
	s.publish(t, topic, "mine")
	other.publish(t, otherTopic, "yours")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "mine" {
		t.Errorf("%q came", got)
	}
	if got := dataOf(other.pull(t, otherSub, 1)); got[0] != "yours" {
		t.Errorf("%q came", got)
	}
	// A subscription may follow a topic of another project.
	across := other.subscription(t, "across", topic)
	s.publish(t, topic, "across")
	if got := dataOf(s.pull(t, across, 1)); got[0] != "across" {
		t.Errorf("%q came", got)
	}
}

func TestConcurrentCreateAndDelete(t *testing.T) {
	t.Parallel()
	s := common(t)
	allowed := func(err error) bool {
		switch status.Code(err) {
		case codes.OK, codes.AlreadyExists, codes.NotFound:
			return true
		}
		return false
	}
	topic, sub := s.topicName("some"), s.subName("some")
	ctx := limited(t)
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			for i := range 60 {
				var err error
				switch (worker + i) % 6 {
				case 0, 1:
					_, err = s.CreateTopic(ctx, &pb.Topic{Name: topic})
				case 2:
					_, err = s.sub.CreateSubscription(ctx, &pb.Subscription{Name: sub, Topic: topic})
				case 3:
					_, err = s.Publish(ctx, &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("x")}}})
				case 4:
					_, err = s.sub.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: sub})
				case 5:
					_, err = s.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: topic})
				}
				if !allowed(err) {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	workers.Wait()
	// Whatever came out of it, the names work.
	_, _ = s.sub.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: sub}) // may be absent
	_, _ = s.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: topic})                        // may be absent
	s.topic(t, "some")
	s.subscription(t, "some", topic)
	s.publish(t, topic, "works")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "works" {
		t.Errorf("%q came", got)
	}
}

func TestManyTopicsAndSubscriptionsAtOnce(t *testing.T) {
	t.Parallel()
	s := common(t)
	ctx := limited(t)
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			for i := range 25 {
				id := fmt.Sprintf("x%d-%d", worker, i)
				topic, sub := s.topicName(id), s.subName(id)
				if _, err := s.CreateTopic(ctx, &pb.Topic{Name: topic}); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.sub.CreateSubscription(ctx, &pb.Subscription{Name: sub, Topic: topic}); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Publish(ctx, &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte(id)}}}); err != nil {
					t.Error(err)
					return
				}
				answer, err := s.sub.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: 2})
				if err != nil || len(answer.ReceivedMessages) != 1 || string(answer.ReceivedMessages[0].Message.Data) != id {
					t.Errorf("pull of %s: %v, %v", id, answer, err)
				}
			}
		})
	}
	workers.Wait()
}
