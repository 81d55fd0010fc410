package clients

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/iam/apiv1/iampb"
	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// player is Google's Go client on a project.
type player struct {
	*pubsub.Client
	project string
	schemas pb.SchemaServiceClient // the library's own does not know the emulator's variable
}

func TestGo(t *testing.T) {
	addr := address(t)
	t.Setenv("PUBSUB_EMULATOR_HOST", addr) // which forbids t.Parallel, and makes this one play alone
	p := &player{project: project(t, "go")}
	var err error
	if p.Client, err = pubsub.NewClient(t.Context(), p.project); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.schemas = pb.NewSchemaServiceClient(conn)
	steps := map[string]func(*testing.T){
		"create": p.create, "publish": p.publish, "receive": p.receive, "pull": p.pullStep, "update": p.update, "filter": p.filter, "seek": p.seek,
		"snapshot": p.snapshot, "schema": p.schema, "dead letter": p.deadLetter, "exactly once": p.exactlyOnce, "permissions": p.permissions,
		"delete": p.delete,
	}
	for _, step := range story {
		if !t.Run(step, steps[step]) {
			return
		}
	}
}

func (p *player) topic(name string) string { return "projects/" + p.project + "/topics/" + name }
func (p *player) subscription(name string) string {
	return "projects/" + p.project + "/subscriptions/" + name
}
func (p *player) snapshotName(name string) string {
	return "projects/" + p.project + "/snapshots/" + name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, code codes.Code, err error) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("answered %v, want %v", err, code)
	}
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// pair makes a topic and a subscription of one name.
func (p *player) pair(t *testing.T, name string, changes ...func(*pb.Subscription)) {
	t.Helper()
	_, err := p.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: p.topic(name)})
	must(t, err)
	s := &pb.Subscription{Name: p.subscription(name), Topic: p.topic(name)}
	for _, change := range changes {
		change(s)
	}
	_, err = p.SubscriptionAdminClient.CreateSubscription(t.Context(), s)
	must(t, err)
}

func (p *player) send(ctx context.Context, name string, texts ...string) error {
	publisher := p.Publisher(name)
	defer publisher.Stop()
	for _, text := range texts {
		if _, err := publisher.Publish(ctx, &pubsub.Message{Data: []byte(text)}).Get(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pull pulls until there are n messages.
func (p *player) pull(t *testing.T, name string, n int) []*pb.ReceivedMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []*pb.ReceivedMessage
	for len(got) < n {
		answer, err := p.SubscriptionAdminClient.Pull(ctx, &pb.PullRequest{Subscription: p.subscription(name), MaxMessages: int32(n - len(got))})
		if err != nil {
			t.Fatalf("only %d of %d messages came: %v", len(got), n, err)
		}
		got = append(got, answer.ReceivedMessages...)
	}
	return got
}

// nothing fails when something is left.
func (p *player) nothing(t *testing.T, name string) {
	t.Helper()
	//lint:ignore SA1019 deprecated or not, clients use it
	answer, err := p.SubscriptionAdminClient.Pull(t.Context(), &pb.PullRequest{Subscription: p.subscription(name), MaxMessages: 100, ReturnImmediately: true})
	must(t, err)
	if len(answer.ReceivedMessages) > 0 {
		t.Fatalf("left: %v", answer.ReceivedMessages)
	}
}

func ids(got []*pb.ReceivedMessage) []string {
	all := make([]string, len(got))
	for i, r := range got {
		all[i] = r.AckId
	}
	return all
}

func texts(got []*pb.ReceivedMessage) []string {
	all := make([]string, len(got))
	for i, r := range got {
		all[i] = string(r.Message.Data)
	}
	slices.Sort(all)
	return all
}

func (p *player) ack(t *testing.T, name string, got []*pb.ReceivedMessage) error {
	t.Helper()
	return p.SubscriptionAdminClient.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: p.subscription(name), AckIds: ids(got)})
}

func (p *player) nack(t *testing.T, name string, got []*pb.ReceivedMessage) {
	t.Helper()
	must(t, p.SubscriptionAdminClient.ModifyAckDeadline(t.Context(), &pb.ModifyAckDeadlineRequest{Subscription: p.subscription(name), AckIds: ids(got)}))
}

func (p *player) create(t *testing.T) {
	topic, err := p.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: p.topic("orders"), Labels: map[string]string{"team": "sales"}})
	must(t, err)
	if topic.Labels["team"] != "sales" {
		t.Errorf("created %v", topic)
	}
	made, err := p.SubscriptionAdminClient.CreateSubscription(t.Context(),
		&pb.Subscription{Name: p.subscription("orders"), Topic: topic.Name, EnableMessageOrdering: true, AckDeadlineSeconds: 20})
	must(t, err)
	if !made.EnableMessageOrdering || made.AckDeadlineSeconds != 20 {
		t.Errorf("created %v", made)
	}
	_, err = p.TopicAdminClient.CreateTopic(t.Context(), &pb.Topic{Name: topic.Name})
	refused(t, codes.AlreadyExists, err)
	attached, err := p.TopicAdminClient.ListTopicSubscriptions(t.Context(), &pb.ListTopicSubscriptionsRequest{Topic: topic.Name}).Next()
	if err != nil || attached != made.Name {
		t.Errorf("attached: %s, %v", attached, err)
	}
}

func (p *player) publish(t *testing.T) {
	publisher := p.Publisher("orders")
	publisher.EnableMessageOrdering = true
	defer publisher.Stop()
	var results []*pubsub.PublishResult
	for n := range messages {
		m := &pubsub.Message{Data: fmt.Appendf(nil, "message %d", n), Attributes: map[string]string{"number": strconv.Itoa(n), "color": "red"}}
		// The last digit is the key, but messages that end with 7 have none: some of them are given back, which with a key would bring all
		// later ones of the key a second time.
		if n%keys != 7 {
			m.OrderingKey = "key-" + strconv.Itoa(n%keys)
		}
		results = append(results, publisher.Publish(t.Context(), m))
	}
	different := make(map[string]bool)
	for _, r := range results {
		id, err := r.Get(t.Context())
		must(t, err)
		different[id] = true
	}
	if len(different) != messages {
		t.Errorf("%d different ids", len(different))
	}
}

func (p *player) receive(t *testing.T) {
	var lock sync.Mutex
	nacked, ordered := make(map[int]bool), make(map[string][]int)
	var acked []int
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	err := p.Subscriber("orders").Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		lock.Lock()
		defer lock.Unlock()
		number, err := strconv.Atoi(m.Attributes["number"])
		if err != nil || string(m.Data) != fmt.Sprintf("message %d", number) || m.Attributes["color"] != "red" {
			t.Errorf("not what was published: %v", m)
		}
		if number%50 == 7 && !nacked[number] {
			nacked[number] = true
			m.Nack()
			return
		}
		acked = append(acked, number)
		if m.OrderingKey != "" {
			ordered[m.OrderingKey] = append(ordered[m.OrderingKey], number)
		}
		m.Ack()
		if len(acked) >= messages {
			done()
		}
	})
	must(t, err)
	if len(nacked) != messages/50 || len(acked) != messages {
		t.Fatalf("%d given back, %d acknowledged", len(nacked), len(acked))
	}
	slices.Sort(acked)
	for n := range messages {
		if acked[n] != n {
			t.Fatalf("not every message was acknowledged once: %v", acked)
		}
	}
	if len(ordered) != keys-1 {
		t.Errorf("keys: %v", slices.Collect(maps.Keys(ordered)))
	}
	for key, numbers := range ordered {
		if !slices.IsSorted(numbers) {
			t.Errorf("%s is out of order: %v", key, numbers)
		}
	}
	p.nothing(t, "orders")
}

func (p *player) pullStep(t *testing.T) {
	p.pair(t, "pulled")
	must(t, p.send(t.Context(), "pulled", "a", "b", "c", "d"))
	first := p.pull(t, "pulled", 4)
	same(t, texts(first), []string{"a", "b", "c", "d"})
	must(t, p.ack(t, "pulled", first[:2]))
	p.nack(t, "pulled", first[2:])
	again := p.pull(t, "pulled", 2)
	same(t, texts(again), texts(first[2:]))
	must(t, p.ack(t, "pulled", again))
	p.nothing(t, "pulled")
}

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

func (p *player) update(t *testing.T) {
	name := p.subscription("pulled")
	changed, err := p.SubscriptionAdminClient.UpdateSubscription(t.Context(), &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: name, AckDeadlineSeconds: 77, Labels: map[string]string{"a": "b"}, ExpirationPolicy: &pb.ExpirationPolicy{}},
		UpdateMask:   mask("ack_deadline_seconds", "labels", "expiration_policy"),
	})
	must(t, err)
	if changed.AckDeadlineSeconds != 77 || changed.Labels["a"] != "b" || changed.ExpirationPolicy == nil || changed.ExpirationPolicy.Ttl != nil {
		t.Errorf("updated: %v", changed)
	}
	topic, err := p.TopicAdminClient.UpdateTopic(t.Context(), &pb.UpdateTopicRequest{
		Topic:      &pb.Topic{Name: p.topic("pulled"), MessageRetentionDuration: durationpb.New(time.Hour)},
		UpdateMask: mask("message_retention_duration"),
	})
	must(t, err)
	if topic.MessageRetentionDuration.AsDuration() != time.Hour {
		t.Errorf("updated: %v", topic)
	}
	_, err = p.SubscriptionAdminClient.UpdateSubscription(t.Context(),
		&pb.UpdateSubscriptionRequest{Subscription: &pb.Subscription{Name: name}, UpdateMask: mask("enable_message_ordering")})
	refused(t, codes.InvalidArgument, err)
}

func (p *player) filter(t *testing.T) {
	p.pair(t, "filtered", func(s *pb.Subscription) {
		s.Filter = `attributes.color = "red" AND NOT hasPrefix(attributes.size, "x")`
	})
	publisher := p.Publisher("filtered")
	defer publisher.Stop()
	for _, each := range [][2]string{{"red", "xl"}, {"blue", "s"}, {"red", "s"}} {
		m := &pubsub.Message{Data: []byte(each[0] + " " + each[1]), Attributes: map[string]string{"color": each[0], "size": each[1]}}
		_, err := publisher.Publish(t.Context(), m).Get(t.Context())
		must(t, err)
	}
	got := p.pull(t, "filtered", 1)
	same(t, texts(got), []string{"red s"})
	must(t, p.ack(t, "filtered", got))
	p.nothing(t, "filtered")
}

func (p *player) seekTo(t *testing.T, name string, in time.Duration) {
	t.Helper()
	_, err := p.SubscriptionAdminClient.Seek(t.Context(), &pb.SeekRequest{Subscription: p.subscription(name), Target: &pb.SeekRequest_Time{Time: timestamppb.New(time.Now().Add(in))}})
	must(t, err)
}

func (p *player) seek(t *testing.T) {
	p.pair(t, "sought", func(s *pb.Subscription) { s.RetainAckedMessages = true })
	must(t, p.send(t.Context(), "sought", "a", "b", "c"))
	must(t, p.ack(t, "sought", p.pull(t, "sought", 3)))
	p.seekTo(t, "sought", -time.Hour)
	same(t, texts(p.pull(t, "sought", 3)), []string{"a", "b", "c"})
	p.seekTo(t, "sought", time.Hour)
	p.nothing(t, "sought")
}

func (p *player) snapshot(t *testing.T) {
	p.pair(t, "frozen")
	must(t, p.send(t.Context(), "frozen", "a", "b"))
	name := p.snapshotName("frozen")
	made, err := p.SubscriptionAdminClient.CreateSnapshot(t.Context(),
		&pb.CreateSnapshotRequest{Name: name, Subscription: p.subscription("frozen"), Labels: map[string]string{"a": "b"}})
	must(t, err)
	if made.Topic != p.topic("frozen") || made.Labels["a"] != "b" {
		t.Errorf("created %v", made)
	}
	must(t, p.ack(t, "frozen", p.pull(t, "frozen", 2)))
	_, err = p.SubscriptionAdminClient.Seek(t.Context(), &pb.SeekRequest{Subscription: p.subscription("frozen"), Target: &pb.SeekRequest_Snapshot{Snapshot: name}})
	must(t, err)
	got := p.pull(t, "frozen", 2)
	same(t, texts(got), []string{"a", "b"})
	must(t, p.ack(t, "frozen", got))
	changed, err := p.SubscriptionAdminClient.UpdateSnapshot(t.Context(),
		&pb.UpdateSnapshotRequest{Snapshot: &pb.Snapshot{Name: name, Labels: map[string]string{"c": "d"}}, UpdateMask: mask("labels")})
	must(t, err)
	if len(changed.Labels) != 1 || changed.Labels["c"] != "d" {
		t.Errorf("updated %v", changed)
	}
	must(t, p.SubscriptionAdminClient.DeleteSnapshot(t.Context(), &pb.DeleteSnapshotRequest{Snapshot: name}))
	_, err = p.SubscriptionAdminClient.GetSnapshot(t.Context(), &pb.GetSnapshotRequest{Snapshot: name})
	refused(t, codes.NotFound, err)
}

func (p *player) schema(t *testing.T) {
	parent := "projects/" + p.project
	definition := `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}`
	made, err := p.schemas.CreateSchema(t.Context(),
		&pb.CreateSchemaRequest{Parent: parent, SchemaId: "order", Schema: &pb.Schema{Type: pb.Schema_AVRO, Definition: definition}})
	must(t, err)
	_, err = p.TopicAdminClient.CreateTopic(t.Context(),
		&pb.Topic{Name: p.topic("checked"), SchemaSettings: &pb.SchemaSettings{Schema: made.Name, Encoding: pb.Encoding_JSON}})
	must(t, err)
	_, err = p.SubscriptionAdminClient.CreateSubscription(t.Context(), &pb.Subscription{Name: p.subscription("checked"), Topic: p.topic("checked")})
	must(t, err)
	must(t, p.send(t.Context(), "checked", `{"id": "17"}`))
	refused(t, codes.InvalidArgument, p.send(t.Context(), "checked", `{"id": 17}`))
	got := p.pull(t, "checked", 1)
	same(t, texts(got), []string{`{"id": "17"}`})
	if encoding := got[0].Message.Attributes["googclient_schemaencoding"]; encoding != "JSON" {
		t.Errorf("encoding %q", encoding)
	}
	must(t, p.ack(t, "checked", got))
	listed, err := p.schemas.ListSchemas(t.Context(), &pb.ListSchemasRequest{Parent: parent})
	must(t, err)
	if len(listed.Schemas) != 1 || listed.Schemas[0].Name != made.Name {
		t.Errorf("listed %v", listed)
	}
	_, err = p.schemas.ValidateSchema(t.Context(), &pb.ValidateSchemaRequest{Parent: parent, Schema: &pb.Schema{Type: pb.Schema_AVRO, Definition: "{"}})
	refused(t, codes.InvalidArgument, err)
	must(t, p.TopicAdminClient.DeleteTopic(t.Context(), &pb.DeleteTopicRequest{Topic: p.topic("checked")}))
	_, err = p.schemas.DeleteSchema(t.Context(), &pb.DeleteSchemaRequest{Name: made.Name})
	must(t, err)
	_, err = p.schemas.GetSchema(t.Context(), &pb.GetSchemaRequest{Name: made.Name})
	refused(t, codes.NotFound, err)
}

func (p *player) deadLetter(t *testing.T) {
	p.pair(t, "dead")
	p.pair(t, "alive", func(s *pb.Subscription) {
		s.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: p.topic("dead"), MaxDeliveryAttempts: 5}
	})
	must(t, p.send(t.Context(), "alive", "poison"))
	for attempt := range int32(5) {
		got := p.pull(t, "alive", 1)
		if got[0].DeliveryAttempt != attempt+1 {
			t.Fatalf("attempt %d instead of %d", got[0].DeliveryAttempt, attempt+1)
		}
		p.nack(t, "alive", got)
	}
	moved := p.pull(t, "dead", 1)
	same(t, texts(moved), []string{"poison"})
	if a := moved[0].Message.Attributes; a["CloudPubSubDeadLetterSourceSubscription"] != "alive" || a["CloudPubSubDeadLetterSourceDeliveryCount"] != "5" {
		t.Errorf("attributes %v", a)
	}
	must(t, p.ack(t, "dead", moved))
	p.nothing(t, "alive")
}

func (p *player) exactlyOnce(t *testing.T) {
	p.pair(t, "once", func(s *pb.Subscription) { s.EnableExactlyOnceDelivery = true })
	const count = 20
	var sent []string
	for n := range count {
		sent = append(sent, strconv.Itoa(n))
	}
	must(t, p.send(t.Context(), "once", sent...))
	var lock sync.Mutex
	var confirmed []string
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	err := p.Subscriber("once").Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		if verdict, err := m.AckWithResult().Get(t.Context()); err != nil || verdict != pubsub.AcknowledgeStatusSuccess {
			t.Errorf("%s: %v %v", m.Data, verdict, err)
		}
		lock.Lock()
		defer lock.Unlock()
		if confirmed = append(confirmed, string(m.Data)); len(confirmed) == count {
			done()
		}
	})
	must(t, err)
	slices.Sort(confirmed)
	slices.Sort(sent)
	same(t, confirmed, sent)

	must(t, p.send(t.Context(), "once", "late"))
	old := p.pull(t, "once", 1)
	p.nack(t, "once", old)
	fresh := p.pull(t, "once", 1)
	refused(t, codes.InvalidArgument, p.ack(t, "once", old))
	must(t, p.ack(t, "once", fresh))
}

func (p *player) permissions(t *testing.T) {
	name := p.topic("orders")
	before, err := p.TopicAdminClient.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: name})
	must(t, err)
	if len(before.Bindings) != 0 {
		t.Errorf("a new topic has %v", before)
	}
	before.Bindings = []*iampb.Binding{{Role: "roles/pubsub.publisher", Members: []string{"user:a@example.com"}}}
	_, err = p.TopicAdminClient.SetIamPolicy(t.Context(), &iampb.SetIamPolicyRequest{Resource: name, Policy: before})
	must(t, err)
	after, err := p.TopicAdminClient.GetIamPolicy(t.Context(), &iampb.GetIamPolicyRequest{Resource: name})
	must(t, err)
	if len(after.Bindings) != 1 || after.Bindings[0].Role != "roles/pubsub.publisher" {
		t.Errorf("stored %v", after)
	}
	wanted := []string{"pubsub.topics.get", "pubsub.topics.publish"}
	held, err := p.TopicAdminClient.TestIamPermissions(t.Context(), &iampb.TestIamPermissionsRequest{Resource: name, Permissions: wanted})
	must(t, err)
	slices.Sort(held.Permissions)
	same(t, held.Permissions, wanted)
}

func (p *player) delete(t *testing.T) {
	parent := "projects/" + p.project
	for s, err := range p.SubscriptionAdminClient.ListSubscriptions(t.Context(), &pb.ListSubscriptionsRequest{Project: parent}).All() {
		must(t, err)
		must(t, p.SubscriptionAdminClient.DeleteSubscription(t.Context(), &pb.DeleteSubscriptionRequest{Subscription: s.Name}))
	}
	for topic, err := range p.TopicAdminClient.ListTopics(t.Context(), &pb.ListTopicsRequest{Project: parent}).All() {
		must(t, err)
		must(t, p.TopicAdminClient.DeleteTopic(t.Context(), &pb.DeleteTopicRequest{Topic: topic.Name}))
	}
	_, err := p.TopicAdminClient.GetTopic(t.Context(), &pb.GetTopicRequest{Topic: p.topic("orders")})
	refused(t, codes.NotFound, err)
	_, err = p.SubscriptionAdminClient.GetSubscription(t.Context(), &pb.GetSubscriptionRequest{Subscription: p.subscription("orders")})
	refused(t, codes.NotFound, err)
}
