package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// script is a list of one transform, whose function f has the body.
func script(body string) []*pubsubpb.MessageTransform {
	return []*pubsubpb.MessageTransform{{Transform: &pubsubpb.MessageTransform_JavascriptUdf{
		JavascriptUdf: &pubsubpb.JavaScriptUDF{FunctionName: "f", Code: "function f(m, d) {" + body + "}"},
	}}}
}

func (b *bench) transformTopic(transforms []*pubsubpb.MessageTransform) {
	b.t.Helper()
	in := &pubsubpb.Topic{Name: topicName, MessageTransforms: transforms}
	if _, err := b.UpdateTopic(b.ctx, in, &fieldmaskpb.FieldMask{Paths: []string{"message_transforms"}}); err != nil {
		b.t.Fatal(err)
	}
}

// publishIDs publishes and gives the ids as a front would answer them.
func (b *bench) publishIDs(texts ...string) ([]uint64, error) {
	b.t.Helper()
	request := &pubsubpb.PublishRequest{Topic: topicName}
	for _, text := range texts {
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{Data: []byte(text)})
	}
	raw, err := proto.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	var p wire.Publish
	if err := p.Scan(raw); err != nil {
		b.t.Fatal(err)
	}
	first, err := b.Publish(b.ctx, &p)
	if err != nil {
		return nil, err
	}
	ids := p.IDs
	if ids == nil {
		ids = make([]uint64, p.Count)
	}
	for i := range ids {
		if ids[i] == 0 {
			ids[i], first = first, first+1
		}
	}
	return ids, nil
}

func dataOf(list []delivery.Delivery) (texts []string) {
	for i := range list {
		texts = append(texts, string(wire.Data(list[i].Message)))
	}
	return texts
}

func (b *bench) take(t *delivery.Taker) []delivery.Delivery {
	b.t.Helper()
	list, err := t.TakeNow(b.ctx, 1000, 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func TestTopicTransformsChangeWhatIsStored(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.transformTopic(script("if (m.data === 'drop') return null; m.data += '!'; return m"))
	ids, err := b.publishIDs("drop", "a", "drop", "b")
	if err != nil || len(ids) != 4 {
		t.Fatal(ids, err)
	}
	b.restart()
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	list := b.take(s)
	if got := dataOf(list); !slices.Equal(got, []string{"a!", "b!"}) {
		t.Fatalf("delivered %q", got)
	}
	if list[0].ID != ids[1] || list[1].ID != ids[3] {
		t.Errorf("stored messages have the ids %d and %d, but Publish answered %d", list[0].ID, list[1].ID, ids)
	}
	if ids[0] == ids[2] || ids[0] < 1<<62 || ids[2] < 1<<62 || ids[0] >= 1<<63 {
		t.Errorf("dropped messages have the ids %d and %d", ids[0], ids[2])
	}
	if ids, err := b.publishIDs("drop"); err != nil || len(ids) != 1 || ids[0] < 1<<62 {
		t.Errorf("a publish of which everything is dropped: %d, %v", ids, err)
	}
	b.transformTopic(nil)
	if _, err := b.publishIDs("drop"); err != nil {
		t.Fatal(err)
	}
	if got := dataOf(b.take(s)); !slices.Equal(got, []string{"drop"}) {
		t.Errorf("without transforms %q is delivered", got)
	}
}

func TestAFailedTopicTransformRefusesTheWholePublish(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.transformTopic(script("if (m.data === 'bad') throw new Error('no good'); return m"))
	_, err := b.publishIDs("a", "bad", "b")
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "(message=1): message transform 0: the function threw Error: no good") {
		t.Errorf("publish: %v", err)
	}
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	if got := dataOf(b.take(s)); len(got) != 0 {
		t.Errorf("delivered %q", got)
	}
}

func TestTransformsMayNotMakeARequestTooLarge(t *testing.T) {
	b := newBench(t)
	b.topicWith()
	b.transformTopic(script("m.data = 'x'.repeat(6000).repeat(1000); return m"))
	_, err := b.publishIDs("a", "b")
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "after the message transforms") {
		t.Errorf("publish: %v", err)
	}
}

func TestTransformsThatCannotRunAreRefused(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	bad := append(script("return m"), script("return m")...)
	bad[1].GetJavascriptUdf().FunctionName = "g"
	mask := &fieldmaskpb.FieldMask{Paths: []string{"message_transforms"}}
	for name, change := range map[string]func() error{
		"CreateTopic": func() error {
			_, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: topicName + "2", MessageTransforms: bad})
			return err
		},
		"UpdateTopic": func() error {
			_, err := b.UpdateTopic(b.ctx, &pubsubpb.Topic{Name: topicName, MessageTransforms: bad}, mask)
			return err
		},
		"CreateSubscription": func() error {
			_, err := b.CreateSubscription(b.ctx, &pubsubpb.Subscription{Name: subName + "2", Topic: topicName, MessageTransforms: bad})
			return err
		},
		"UpdateSubscription": func() error {
			_, err := b.UpdateSubscription(b.ctx, &pubsubpb.Subscription{Name: subName, MessageTransforms: bad}, mask)
			return err
		},
	} {
		want := `Invalid message_transforms[1]: the code does not define the function "g"`
		if err := change(); status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestSubscriptionTransformsChangeWhatIsDelivered(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageTransforms: script("if (m.data === 'drop') return null; m.data += d.message_id; return m")})
	ids, err := b.publishIDs("a", "drop", "b")
	if err != nil {
		t.Fatal(err)
	}
	s := b.stream(delivery.Credit{})
	list := b.take(s)
	if got, want := dataOf(list), []string{"a" + digits(ids[0]), "b" + digits(ids[2])}; !slices.Equal(got, want) {
		t.Fatalf("delivered %q, want %q", got, want)
	}
	if err := b.sub().Ack(b.ctx, []wire.AckID{b.ackID(&list[0]), b.ackID(&list[1])}, nil, true); err != nil {
		t.Fatal(err)
	}
	s.Leave()
	b.restart()
	if floor, end := b.durable().Floor(), b.durable().Topic.End(); floor != end {
		t.Errorf("the subscription is done up to %d of %d: a dropped message counts as acknowledged", floor, end)
	}
}

func TestWithExactlyOnceAndOrderWhatTransformsDropHoldsUpNoAck(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{
		EnableMessageOrdering: true, EnableExactlyOnceDelivery: true, MessageTransforms: script("return m.data === 'drop' ? null : m"),
	})
	for _, text := range []string{"a", "drop", "b"} {
		b.publishKeyed("k", text)
	}
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	list := b.take(s)
	if got := dataOf(list); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("delivered %q", got)
	}
	verdicts := make([]delivery.Verdict, 2)
	if err := b.sub().Ack(b.ctx, []wire.AckID{b.ackID(&list[0]), b.ackID(&list[1])}, verdicts, true); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(verdicts, []delivery.Verdict{delivery.Done, delivery.Done}) {
		t.Errorf("acknowledged: %v", verdicts)
	}
	if floor, end := b.durable().Floor(), b.durable().Topic.End(); floor != end {
		t.Errorf("the subscription is done up to %d of %d", floor, end)
	}
}

func digits(id uint64) string {
	return string(wire.AppendPublishIDs(nil, id, []uint64{0})[2:])
}

func (b *bench) ackID(d *delivery.Delivery) wire.AckID {
	return wire.AckID{Epoch: b.Epoch(), Subscription: b.sub().ID(), Offset: uint64(d.Offset), Slot: d.Handle.Slot, Turn: d.Handle.Turn}
}

func TestWhenEverythingIsDroppedTakingGoesOn(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageTransforms: script("return m.data === 'keep' ? m : null")})
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	for range 50 {
		b.publish("drop", "drop", "drop")
	}
	b.publish("keep")
	if got := dataOf(b.take(s)); !slices.Equal(got, []string{"keep"}) {
		t.Errorf("took %q", got)
	}
}

func TestAFailedSubscriptionTransformIsANack(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{
		MessageTransforms: script("if (m.data === 'bad') throw 1; return m"),
		RetryPolicy:       &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(5 * time.Second), MaximumBackoff: durationpb.New(5 * time.Second)},
	})
	b.publish("bad", "good")
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	if got := dataOf(b.take(s)); !slices.Equal(got, []string{"good"}) {
		t.Fatalf("delivered %q", got)
	}
	mask := &fieldmaskpb.FieldMask{Paths: []string{"message_transforms"}}
	if _, err := b.UpdateSubscription(b.ctx, &pubsubpb.Subscription{Name: subName}, mask); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(4 * time.Second)
	if got := dataOf(b.take(s)); len(got) != 0 {
		t.Errorf("%q came before its backoff", got)
	}
	b.clock.Advance(2 * time.Second)
	list := b.take(s)
	if got := dataOf(list); !slices.Equal(got, []string{"bad"}) {
		t.Errorf("%q came after the backoff", got)
	}
}

func TestAFailedTransformDoesNotSpin(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageTransforms: script("throw 1")})
	runs := &countingRunner{Runner: b.runner}
	b.office.Transforms = runs
	b.publish("x")
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	for range 10 {
		if got := b.take(s); len(got) != 0 {
			t.Fatalf("delivered %q", dataOf(got))
		}
	}
	if runs.messages != 1 {
		t.Errorf("a transform ran %d times without a pause", runs.messages)
	}
	b.clock.Advance(2 * time.Second)
	b.take(s)
	if runs.messages != 2 {
		t.Errorf("after the pause it has run %d times, want 2", runs.messages)
	}
}

// countingRunner counts messages, and fails when it is told to.
type countingRunner struct {
	transform.Runner
	messages int
	err      error
}

func (r *countingRunner) Run(ctx context.Context, c *transform.Chain, in []transform.Input) ([]transform.Outcome, error) {
	if r.err != nil {
		return nil, r.err
	}
	r.messages += len(in)
	return r.Runner.Run(ctx, c, in)
}

func TestAFailureHoldsBackTheRestOfItsKey(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{EnableMessageOrdering: true, MessageTransforms: script("if (m.data === 'a2' && !m.attributes.ok) throw 1; return m")})
	for _, m := range []struct{ key, text string }{{"a", "a1"}, {"a", "a2"}, {"b", "b1"}, {"a", "a3"}} {
		b.publishRequest(&pubsubpb.PublishRequest{Topic: topicName, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(m.text), OrderingKey: m.key}}})
	}
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	var got []string
	for range 5 {
		got = append(got, dataOf(b.take(s))...)
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"a1", "b1"}) {
		t.Fatalf("delivered %q", got)
	}
	if _, err := b.UpdateSubscription(b.ctx, &pubsubpb.Subscription{Name: subName}, &fieldmaskpb.FieldMask{Paths: []string{"message_transforms"}}); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(2 * time.Second)
	got = nil
	for range 5 {
		got = append(got, dataOf(b.take(s))...)
	}
	if !slices.Equal(got, []string{"a2", "a3"}) {
		t.Errorf("then delivered %q", got)
	}
}

func TestWhatTransformsMadeTooLargeGoesBack(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageTransforms: script("m.data = m.data.repeat(400).repeat(1000); return m"), DeadLetterPolicy: nil})
	b.publish("a", "b", "c", "d", "e")
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	var all string
	for range 5 {
		list, err := s.TakeNow(b.ctx, 1000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for i := range list {
			size += len(list[i].Message)
			all += string(wire.Data(list[i].Message)[:1])
		}
		if size > 1<<20 {
			t.Errorf("%d bytes were taken at once", size)
		}
	}
	if all != "abcde" {
		t.Errorf("taken: %q", all)
	}
}

func TestARunnerThatCannotWorkGivesMessagesBack(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageTransforms: script("return m")})
	runner := &countingRunner{Runner: b.runner, err: errors.New("no process")}
	b.office.Transforms = runner
	b.publish("a", "b")
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	if _, err := s.TakeNow(b.ctx, 10, 1<<20); status.Code(err) != codes.Unavailable {
		t.Errorf("take: %v", err)
	}
	runner.err = nil
	if got := dataOf(b.take(s)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("then delivered %q", got)
	}
}
