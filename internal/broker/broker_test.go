package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
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
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
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
	clock  *clock.Manual
	engine engine.Engine
	*Broker
}

func newBench(t *testing.T) *bench {
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	b := &bench{t: t, ctx: t.Context(), clock: c, engine: memory.Open(new(memory.Store), c)}
	b.open()
	t.Cleanup(func() { b.Close(context.Background()) })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	b.Broker, err = Open(b.ctx, b.engine, Options{Clock: b.clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.t.Fatal(err)
	}
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

func (b *bench) sub() *Subscription {
	b.t.Helper()
	s, err := b.Subscription(subName)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) stream(c Credit) *Taker {
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
func (b *bench) now(t *Taker) (list []got) {
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

func (b *bench) read(d *Delivery) got {
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
	s := b.stream(Credit{})
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
	s := b.stream(Credit{})
	first := b.now(s)
	b.ack(first[1], first[2])
	s.Leave()
	b.restart()
	s = b.stream(Credit{})
	b.expect("after the restart", b.now(s), "a", "d")
	s.Leave()
}

func TestAnAckIDFromBeforeARestartCountsUntilTheMessageIsOfferedAgain(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b", "c")
	s := b.stream(Credit{})
	old := b.now(s)
	s.Leave()
	oldEpoch := b.Epoch()
	b.restart()
	if b.Epoch() == oldEpoch {
		t.Fatal("the epoch did not change")
	}
	b.ack(old[1])
	s = b.stream(Credit{})
	b.expect("after the old ack", b.now(s), "a", "c")
	b.ack(old[0]) // offered again meanwhile: the old id means nothing
	b.clock.Advance(11 * time.Second)
	if again := texts(b.now(s)); len(again) != 2 {
		t.Errorf("after a stale ack: got %q, want both", again)
	}
	s.Leave()
}

func TestABrokenStreamGivesItsMessagesBackAtOnce(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b", "c")
	first, second := b.stream(Credit{}), b.stream(Credit{})
	held := b.now(first)
	b.expect("first stream", held, "a", "b", "c")
	b.ack(held[1])
	b.expect("second stream, all being held", b.now(second))
	first.Leave()
	b.expect("second stream", b.now(second), "a", "c")
	second.Leave()
}

func TestAPullKeepsItsLeasesAfterItEnded(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{AckDeadlineSeconds: 20})
	b.publish("a")
	p, err := b.sub().OpenPull()
	if err != nil {
		t.Fatal(err)
	}
	b.expect("pull", b.now(p), "a")
	p.Leave()
	s := b.stream(Credit{})
	b.clock.Advance(19 * time.Second)
	b.expect("before the subscription's deadline", b.now(s))
	b.clock.Advance(1200 * time.Millisecond)
	b.expect("after it", b.now(s), "a")
	s.Leave()
}

func TestANackOrANewDeadlineTakesEffectAtOnce(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b")
	s := b.stream(Credit{})
	held := b.now(s)
	b.sub().Modify(ids(held[:1]), nil, 0)
	again := b.now(s)
	b.expect("after a nack", again, "a")
	b.sub().Modify(ids(held[1:]), nil, time.Minute)
	b.ack(again...)
	b.clock.Advance(59 * time.Second)
	b.expect("before the longer deadline", b.now(s))
	b.clock.Advance(2 * time.Second)
	b.expect("after it", b.now(s), "b")
	s.Leave()
}

func TestFlowControlHoldsToTheMessage(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	for i := range 50 {
		b.publish(fmt.Sprintf("%05d", i))
	}
	size := int64(len("00000") + 2) // what is stored of a message: its data, tag and length
	tests := []struct {
		credit Credit
		want   int
	}{{Credit{MessagesMax: 7}, 7}, {Credit{BytesMax: 5 * size}, 5}, {Credit{BytesMax: 1}, 1}, {Credit{}, 50}, {Credit{MessagesMax: 3, BytesMax: 100 * size}, 3}}
	for _, test := range tests {
		s := b.stream(test.credit)
		held := b.now(s)
		if len(held) != test.want {
			t.Errorf("%+v: %d messages out, want %d", test.credit, len(held), test.want)
		}
		s.Leave()
	}
	s := b.stream(Credit{MessagesMax: 2})
	for range 25 {
		held := b.now(s)
		if len(held) != 2 {
			t.Fatalf("%d messages out, want 2", len(held))
		}
		b.ack(held...)
	}
	s.Leave()
}

func TestFewMessagesSpreadOverAllWhoWait(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	const streams, messages = 4, 40
	counts := make([]int, streams)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	total := 0
	for i := range streams {
		s := b.stream(Credit{})
		all.Go(func() {
			defer s.Leave()
			for {
				list, err := s.Take(ctx, 1000, 1<<20)
				if err != nil {
					return
				}
				mu.Lock()
				counts[i] += len(list)
				if total += len(list); total == messages {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for b.sub().bell.Asleep() < streams {
		runtime.Gosched() // until all of them sleep
	}
	b.publish(slices.Repeat([]string{"x"}, messages)...)
	all.Wait()
	for i, n := range counts {
		if n < messages/streams/3 {
			t.Errorf("stream %d got %d of %d messages: %v", i, n, messages, counts)
		}
	}
}

func TestASleepingTakerIsWokenByAPublishAndByANack(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	first, second := b.stream(Credit{MessagesMax: 1}), b.stream(Credit{})
	var held []got
	done := make(chan []Delivery, 1)
	take := func() {
		list, err := second.Take(b.ctx, 10, 1<<20)
		if err != nil {
			t.Error(err)
		}
		done <- list
	}
	b.publish("a")
	held = b.now(first)
	go take()
	b.asleep(1)
	b.sub().Modify(ids(held), nil, 0)
	if list := <-done; len(list) != 1 {
		t.Fatalf("woken by a nack with %d messages", len(list))
	}
	go take()
	b.asleep(1)
	b.publish("b")
	if list := <-done; len(list) != 1 {
		t.Fatalf("woken by a publish with %d messages", len(list))
	}
	first.Leave()
	second.Leave()
}

// asleep waits until n takers sleep.
func (b *bench) asleep(n int32) {
	for int32(b.sub().bell.Asleep()) < n {
		runtime.Gosched()
	}
}

func TestDeletingASubscriptionEndsItsTakers(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	s := b.stream(Credit{})
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Take(b.ctx, 1, 1); err != nil {
				ended <- err
				return
			}
		}
	}()
	b.asleep(1)
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
	s := b.stream(Credit{})
	list := b.now(s)
	b.expect("drain", list, "a", "b")
	b.ack(list...)
	s.Leave()
}

func TestMessagesPastTheirRetentionAreDropped(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(10 * time.Minute)})
	b.publish("old")
	held := b.stream(Credit{MessagesMax: 1})
	b.expect("the old one", b.now(held), "old")
	b.clock.Advance(9 * time.Minute)
	b.publish("new")
	b.clock.Advance(2 * time.Minute)
	sub := b.sub()
	b.until("the old message is dropped", func() bool { return sub.durable.Floor() == 1 })
	b.expect("after 11 minutes, by a stream that held the old one", b.now(held), "new")
	held.Leave()
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
