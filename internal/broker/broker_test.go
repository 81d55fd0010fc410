package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const (
	topicName = "projects/p/topics/events"
	subName   = "projects/p/subscriptions/worker"
)

// bench is a broker over the model engine, with time that moves only when told.
type bench struct {
	t      *testing.T
	ctx    context.Context
	clock  *sweeperClock
	engine engine.Engine
	*Broker
}

func newBench(t *testing.T) *bench {
	c := &sweeperClock{Manual: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	b := &bench{t: t, ctx: t.Context(), clock: c, engine: memory.Open(new(memory.Store), c)}
	b.open()
	t.Cleanup(func() { b.Close(context.Background()) })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	b.clock.opening()
	var err error
	b.Broker, err = Open(b.ctx, b.engine, Options{Clock: b.clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.t.Fatal(err)
	}
	b.settled()
}

// restart closes the broker and opens another on the same log.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.Close(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

// topicWith makes the topic and one subscription for each configuration.
func (b *bench) topicWith(subs ...*pubsubpb.Subscription) {
	b.t.Helper()
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: topicName}); err != nil {
		b.t.Fatal(err)
	}
	for _, s := range subs {
		s.Topic = topicName
		if s.Name == "" {
			s.Name = subName
		}
		if _, err := b.CreateSubscription(b.ctx, s); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) publish(texts ...string) {
	b.t.Helper()
	request := &pubsubpb.PublishRequest{Topic: topicName}
	for _, text := range texts {
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{Data: []byte(text)})
	}
	b.publishRequest(request)
}

func (b *bench) publishRequest(request *pubsubpb.PublishRequest) {
	b.t.Helper()
	raw, err := proto.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	var p wire.Publish
	if err := p.Scan(raw); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Publish(b.ctx, &p); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) sub() *delivery.Subscription {
	b.t.Helper()
	s, err := b.Subscription(subName)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// durable is the subscription as the log has it.
func (b *bench) durable() *ledger.Subscription {
	b.t.Helper()
	s, err := b.subscription(subName)
	if err != nil {
		b.t.Fatal(err)
	}
	return s.durable
}

func (b *bench) stream(c delivery.Credit) *delivery.Taker {
	b.t.Helper()
	t, err := b.sub().OpenStream(c, 10*time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

// got is what a taker was given.
type got struct {
	text string
	id   wire.AckID
}

// now takes what there is at the moment, in batches of any size.
func (b *bench) now(t *delivery.Taker) (list []got) {
	b.t.Helper()
	for {
		deliveries, err := t.TakeNow(b.ctx, 1000, 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(deliveries) == 0 {
			return list
		}
		for i := range deliveries {
			list = append(list, b.read(&deliveries[i]))
		}
	}
}

func (b *bench) read(d *delivery.Delivery) got {
	return got{text: string(wire.Data(d.Message)), id: wire.AckID{
		Epoch: b.Epoch(), Subscription: b.sub().ID(), Offset: uint64(d.Offset), Slot: d.Handle.Slot, Turn: d.Handle.Turn,
	}}
}

func texts(list []got) []string {
	out := []string{}
	for _, g := range list {
		out = append(out, g.text)
	}
	return out
}

func ids(list []got) (out []wire.AckID) {
	for _, g := range list {
		out = append(out, g.id)
	}
	return out
}

func (b *bench) ack(list ...got) {
	b.t.Helper()
	if err := b.sub().Ack(b.ctx, ids(list), nil, true); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) expect(what string, list []got, want ...string) {
	b.t.Helper()
	if !slices.Equal(texts(list), append([]string{}, want...)) {
		b.t.Errorf("%s: got %q, want %q", what, texts(list), want)
	}
}

func TestMessagesReachASubscriptionInOrderAndAreGoneOnceAcknowledged(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b")
	b.publish("c")
	s := b.stream(delivery.Credit{})
	first := b.now(s)
	b.expect("first", first, "a", "b", "c")
	b.ack(first[0], first[2])
	b.clock.Advance(11 * time.Second)
	again := b.now(s)
	b.expect("after the deadline", again, "b")
	b.ack(again...)
	b.clock.Advance(time.Minute)
	b.expect("after all acks", b.now(s))
	s.Leave()
}

func TestARestartDeliversWhatWasNotAcknowledgedAndNothingElse(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b", "c", "d")
	s := b.stream(delivery.Credit{})
	first := b.now(s)
	b.ack(first[1], first[2])
	s.Leave()
	b.restart()
	s = b.stream(delivery.Credit{})
	b.expect("after the restart", b.now(s), "a", "d")
	s.Leave()
}

func TestAnAckIDFromBeforeARestartCountsUntilTheMessageIsOfferedAgain(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b", "c")
	s := b.stream(delivery.Credit{})
	old := b.now(s)
	s.Leave()
	oldEpoch := b.Epoch()
	b.restart()
	if b.Epoch() == oldEpoch {
		t.Fatal("the epoch did not change")
	}
	b.ack(old[1])
	s = b.stream(delivery.Credit{})
	b.expect("after the old ack", b.now(s), "a", "c")
	b.ack(old[0]) // offered again meanwhile: the old id means nothing
	b.clock.Advance(11 * time.Second)
	if again := texts(b.now(s)); len(again) != 2 {
		t.Errorf("after a stale ack: got %q, want both", again)
	}
	s.Leave()
}

func TestDeletingASubscriptionEndsItsTakers(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	s := b.stream(delivery.Credit{})
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Take(b.ctx, 1, 1); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := b.DeleteSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; status.Code(err) != codes.NotFound {
		t.Errorf("the taker ended with %v", err)
	}
	s.Leave()
	if _, err := b.Subscription(subName); status.Code(err) != codes.NotFound {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTheBacklogOfADeletedTopicCanBeDrained(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b")
	if err := b.DeleteTopic(b.ctx, topicName); err != nil {
		t.Fatal(err)
	}
	b.topicWith() // the same name, another topic
	b.publish("other")
	b.restart()
	c, err := b.GetSubscription(subName)
	if err != nil || c.Topic != "_deleted-topic_" {
		t.Errorf("topic %q, %v", c.GetTopic(), err)
	}
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.expect("drain", list, "a", "b")
	b.ack(list...)
	s.Leave()
}

func TestMessagesPastTheirRetentionAreDropped(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(10 * time.Minute)})
	b.publish("old")
	held := b.stream(delivery.Credit{MessagesMax: 1})
	b.expect("the old one", b.now(held), "old")
	b.clock.Advance(9 * time.Minute)
	b.publish("new")
	b.clock.Advance(2 * time.Minute)
	b.until("the old message is dropped", func() bool { return b.durable().Floor() == 1 })
	b.expect("after 11 minutes, by a stream that held the old one", b.now(held), "new")
	held.Leave()
}

func TestMessagesThatOutlivedTheirRetentionMeanwhileAreGoneAtTheStart(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(10 * time.Minute)})
	b.publish("old")
	b.clock.Advance(9 * time.Minute)
	b.publish("new")
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(2 * time.Minute)
	b.open()
	s := b.stream(delivery.Credit{})
	b.expect("before the first sweep", b.now(s), "new")
	s.Leave()
}

func TestUpdatesTakeEffectAndSurviveARestart(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	change := &pubsubpb.Subscription{Name: subName, AckDeadlineSeconds: 33, Labels: map[string]string{"a": "b"}}
	if _, err := b.UpdateSubscription(b.ctx, change, &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds", "labels"}}); err != nil {
		t.Fatal(err)
	}
	retention := &pubsubpb.Topic{Name: topicName, MessageRetentionDuration: durationpb.New(time.Hour)}
	if _, err := b.UpdateTopic(b.ctx, retention, &fieldmaskpb.FieldMask{Paths: []string{"message_retention_duration"}}); err != nil {
		t.Fatal(err)
	}
	before, err := b.GetSubscription(subName)
	if err != nil {
		t.Fatal(err)
	}
	b.restart()
	after, err := b.GetSubscription(subName)
	if err != nil || !proto.Equal(before, after) {
		t.Errorf("after the restart %v, %v; before %v", after, err, before)
	}
	if after.AckDeadlineSeconds != 33 || after.TopicMessageRetentionDuration.AsDuration() != time.Hour || after.Labels["a"] != "b" {
		t.Errorf("subscription %v", after)
	}
}

func TestOneOfManyConcurrentCreationsWins(t *testing.T) {
	b := newBench(t)
	var created, existed int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: topicName})
			mu.Lock()
			defer mu.Unlock()
			switch status.Code(err) {
			case codes.OK:
				created++
			case codes.AlreadyExists:
				existed++
			}
		})
	}
	all.Wait()
	if created != 1 || existed != 19 {
		t.Errorf("%d created, %d existed", created, existed)
	}
}

func TestListsPageThroughAllNamesInOrder(t *testing.T) {
	b := newBench(t)
	for i := range 25 {
		for _, project := range []string{"p", "p2", "other"} {
			if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: fmt.Sprintf("projects/%s/topics/t%02d", project, i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var names []string
	for token, pages := "", 0; ; pages++ {
		page, next, err := b.ListTopics("projects/p", 10, token)
		if err != nil || pages > 3 {
			t.Fatal(pages, err)
		}
		for _, topic := range page {
			names = append(names, topic.Name)
		}
		if token = next; token == "" {
			break
		}
	}
	if len(names) != 25 || !slices.IsSorted(names) || names[24] != "projects/p/topics/t24" {
		t.Errorf("names %v", names)
	}
}
