package broker

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// at publishes each text a second after the one before and gives the publish times.
func (b *bench) at(texts ...string) (times []int64) {
	b.t.Helper()
	for _, text := range texts {
		b.clock.Advance(time.Second)
		b.publish(text)
		times = append(times, b.clock.Wall())
	}
	return times
}

func (b *bench) seek(at int64) {
	b.t.Helper()
	if err := b.SeekToTime(b.ctx, subName, at); err != nil {
		b.t.Fatal(err)
	}
}

// drain takes and acknowledges what there is.
func (b *bench) drain(t *delivery.Taker) []got {
	b.t.Helper()
	list := b.now(t)
	b.ack(list...)
	return list
}

func retaining() *pubsubpb.Subscription { return &pubsubpb.Subscription{RetainAckedMessages: true} }

func TestASeekBackDeliversAgainWhatIsRetained(t *testing.T) {
	b := newBench(t)
	b.topicWith(retaining())
	times := b.at("a", "b", "c", "d")
	s := b.stream(delivery.Credit{})
	b.expect("first", b.drain(s), "a", "b", "c", "d")
	b.seek(times[1])
	b.expect("from the second on", b.drain(s), "b", "c", "d")
	b.seek(times[1] + 1)
	b.expect("from just after the second on", b.drain(s), "c", "d")
	b.seek(0)
	b.expect("from the beginning", b.now(s), "a", "b", "c", "d")
	b.restart()
	s = b.stream(delivery.Credit{})
	b.expect("after a restart", b.drain(s), "a", "b", "c", "d")
	b.restart()
	s = b.stream(delivery.Credit{})
	b.expect("after another", b.drain(s))
	s.Leave()
}

func TestASeekForwardPurges(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	times := b.at("a", "b", "c", "d")
	s := b.stream(delivery.Credit{MessagesMax: 2})
	b.expect("held", b.now(s), "a", "b")
	b.seek(times[2])
	b.expect("after the seek, with all credit again", b.now(s), "c", "d")
	b.seek(b.clock.Wall() + int64(time.Hour))
	b.expect("after the purge", b.now(s))
	b.publish("e")
	b.expect("what is published after a purge", b.drain(s), "e")
	b.restart()
	s = b.stream(delivery.Credit{})
	b.expect("after a restart", b.now(s))
	s.Leave()
}

func TestWhatIsAcknowledgedAndNotRetainedDoesNotComeBack(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{}, &pubsubpb.Subscription{Name: otherSub}) // the other keeps all in the log
	b.at("a", "b", "c", "d")
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.ack(list[0], list[2])
	b.seek(0)
	b.expect("after the seek", b.now(s), "b", "d")
	s.Leave()
}

func TestTopicRetentionReachesBackBeforeTheSubscription(t *testing.T) {
	b := newBench(t)
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: topicName, MessageRetentionDuration: durationpb.New(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	times := b.at("a", "b")
	for _, name := range []string{subName, otherSub} {
		if _, err := b.CreateSubscription(b.ctx, &pubsubpb.Subscription{Name: name, Topic: topicName, RetainAckedMessages: name == otherSub}); err != nil {
			t.Fatal(err)
		}
	}
	b.at("c")
	s := b.stream(delivery.Credit{})
	b.expect("a new subscription begins with its creation", b.drain(s), "c")
	b.seek(times[1])
	b.expect("after the seek", b.drain(s), "b", "c")
	b.seek(0)
	b.expect("after a seek to before what is retained", b.drain(s), "a", "b", "c")
	none := &pubsubpb.Topic{Name: topicName}
	if _, err := b.UpdateTopic(b.ctx, none, &fieldmaskpb.FieldMask{Paths: []string{"message_retention_duration"}}); err != nil {
		t.Fatal(err)
	}
	b.seek(0)
	b.expect("after the topic retains no more", b.now(s))
	if err := b.SeekToTime(b.ctx, otherSub, 0); err != nil {
		t.Fatal(err)
	}
	other, err := b.Subscription(otherSub)
	if err != nil {
		t.Fatal(err)
	}
	o, err := other.OpenPull()
	if err != nil {
		t.Fatal(err)
	}
	b.expect("what a subscription retains begins with itself", b.now(o), "c")
	o.Leave()
	s.Leave()
}

func TestAckIDsFromBeforeASeekHaveNoEffect(t *testing.T) {
	for name, config := range map[string]*pubsubpb.Subscription{
		"at least once": {}, "exactly once": {EnableExactlyOnceDelivery: true}, "ordered": {EnableMessageOrdering: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			config.RetainAckedMessages = true
			b.topicWith(config)
			b.at("a", "b")
			s := b.stream(delivery.Credit{})
			old := b.now(s)
			b.ack(old[1])
			s.Leave() // with nothing out, the lease state is made anew
			b.seek(0)
			s = b.stream(delivery.Credit{})
			b.expect("after the seek", b.now(s), "a", "b")
			verdicts := make([]delivery.Verdict, 2)
			if err := b.sub().Ack(b.ctx, ids(old), verdicts, true); err != nil {
				t.Fatal(err)
			}
			if verdicts[0] != delivery.Unknown || verdicts[1] != delivery.Unknown {
				t.Errorf("verdicts %v", verdicts)
			}
			b.sub().Modify(ids(old), verdicts, time.Hour)
			b.clock.Advance(11 * time.Second)
			again := b.now(s)
			b.expect("old ids neither acknowledge nor extend", again, "a", "b")
			s.Leave()
			b.restart()
			b.ack(old...)
			s = b.stream(delivery.Credit{})
			b.expect("nor do they after a restart", b.now(s), "a", "b")
			s.Leave()
		})
	}
}

// TestAnAcknowledgementThatTheLogTakesInBehindASeekHasNoEffect holds an acknowledgement up between its verdict and the log.
func TestAnAcknowledgementThatTheLogTakesInBehindASeekHasNoEffect(t *testing.T) {
	b := newBench(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	gate := &gate{Engine: b.engine, waiting: make(chan struct{}), pass: make(chan struct{})}
	b.engine = gate
	b.open()
	b.topicWith(retaining())
	b.at("a", "b")
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	gate.shut.Store(true)
	acked := make(chan error)
	go func() { acked <- b.sub().Ack(b.ctx, ids(list), nil, false) }()
	<-gate.waiting
	b.seek(0)
	close(gate.pass)
	if err := <-acked; err != nil {
		t.Fatal(err)
	}
	b.ack(b.now(s)[0])
	s.Leave()
	b.restart()
	s = b.stream(delivery.Credit{})
	b.expect("after the seek and a late acknowledgement from before it", b.now(s), "b")
	s.Leave()
}

// gate is an engine that holds up what is enqueued while it is shut.
type gate struct {
	engine.Engine
	shut          atomic.Bool
	waiting, pass chan struct{}
}

type gatedShard struct {
	engine.Shard
	gate *gate
}

func (g *gate) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	shard, err := g.Engine.Own(ctx, id, m)
	return &gatedShard{shard, g}, err
}

func (s *gatedShard) Enqueue(records []engine.Record) error {
	if s.gate.shut.Swap(false) {
		close(s.gate.waiting)
		<-s.gate.pass
	}
	return s.Shard.Enqueue(records)
}

func TestWhatASeekBringsBackStaysForTheRetentionAgain(t *testing.T) {
	b := newBench(t)
	topic := &pubsubpb.Topic{Name: topicName, MessageRetentionDuration: durationpb.New(24 * time.Hour)}
	if _, err := b.CreateTopic(b.ctx, topic); err != nil {
		t.Fatal(err)
	}
	config := &pubsubpb.Subscription{Name: subName, Topic: topicName, MessageRetentionDuration: durationpb.New(10 * time.Minute)}
	if _, err := b.CreateSubscription(b.ctx, config); err != nil {
		t.Fatal(err)
	}
	b.at("a")
	b.until("the message is dropped", func() bool { return b.durable().Floor() == 1 })
	b.seek(0)
	sought := b.clock.Wall()
	b.until("the message is dropped again", func() bool { return b.durable().Floor() == 1 })
	if stayed := time.Duration(b.clock.Wall() - sought); stayed < 10*time.Minute || stayed > 10*time.Minute+3*time.Second {
		t.Errorf("stayed for %v", stayed)
	}
}

func TestSeekRefusals(t *testing.T) {
	b := newBench(t)
	b.topicWith()
	if err := b.SeekToTime(b.ctx, subName, 0); status.Code(err) != codes.NotFound {
		t.Errorf("of no subscription: %v", err)
	}
	if err := b.SeekToTime(b.ctx, "bad", 0); status.Code(err) != codes.InvalidArgument {
		t.Errorf("of a bad name: %v", err)
	}
}

func TestRetainedMessagesAreKeptAsLongAsTheyCanBeSought(t *testing.T) {
	b, w := witnessed(t)
	config := retaining()
	config.MessageRetentionDuration = durationpb.New(10 * time.Minute)
	b.topicWith(config)
	b.at("a", "b")
	published := b.clock.Wall()
	s := b.stream(delivery.Credit{})
	b.drain(s)
	id := b.topic(topicName).durable.ID
	b.until("a trim of what is ten minutes old", func() bool { return w.trim(id) == 2 })
	if age := time.Duration(b.clock.Wall() - published); age < 10*time.Minute || age > 10*time.Minute+3*time.Second {
		t.Errorf("dropped after %v", age)
	}
	b.at("c")
	published = b.clock.Wall()
	b.drain(s)
	config = &pubsubpb.Subscription{Name: subName}
	if _, err := b.UpdateSubscription(b.ctx, config, &fieldmaskpb.FieldMask{Paths: []string{"retain_acked_messages"}}); err != nil {
		t.Fatal(err)
	}
	b.until("a trim once nothing is retained", func() bool { return w.trim(id) == 3 })
	if age := time.Duration(b.clock.Wall() - published); age > 3*time.Second {
		t.Errorf("dropped after %v", age)
	}
	s.Leave()
}

// TestAMillionMessagesAreRolledBackAtOnce: a seek costs the same however far it goes.
func TestAMillionMessagesAreRolledBackAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes a million messages")
	}
	b := newBench(t)
	b.topicWith(retaining())
	batch := slices.Repeat([]string{"x"}, 1000)
	first := b.at("first")[0]
	for range 1000 {
		b.publish(batch...)
	}
	quickest := time.Hour
	for range 5 { // of which a busy machine holds up some
		b.seek(b.clock.Wall() + 1)
		begun := time.Now()
		b.seek(first)
		quickest = min(quickest, time.Since(begun))
	}
	if quickest > time.Second {
		t.Errorf("took %v", quickest)
	}
	if floor := b.durable().Floor(); floor != 0 {
		t.Errorf("floor %d", floor)
	}
}

func TestASeekOfAFilteredSubscriptionBringsBackWhatItWants(t *testing.T) {
	b := newBench(t)
	config := retaining()
	config.Filter = wantsYes
	b.topicWith(config)
	b.publishWanted(0, 20, 5)
	s := b.stream(delivery.Credit{})
	b.expect("first", b.drain(s), "4", "9", "14", "19")
	b.seek(0)
	b.expect("after the seek", b.drain(s), "4", "9", "14", "19")
	s.Leave()
}

func TestASeekForgetsFailures(t *testing.T) {
	b := newBench(t)
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: "projects/p/topics/dead"}); err != nil {
		t.Fatal(err)
	}
	config := retaining()
	config.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: "projects/p/topics/dead", MaxDeliveryAttempts: 5}
	config.RetryPolicy = &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Minute)}
	b.topicWith(config)
	b.at("a")
	attempt := func(s *delivery.Taker) (int32, wire.AckID) {
		t.Helper()
		list, err := s.TakeNow(b.ctx, 10, 1<<20)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d messages, %v", len(list), err)
		}
		return list[0].Attempt, b.read(&list[0]).id
	}
	s := b.stream(delivery.Credit{})
	first, id := attempt(s)
	b.sub().Modify([]wire.AckID{id}, nil, 0)
	b.seek(0)
	again, id := attempt(s) // and no backoff
	if first != 1 || again != 1 {
		t.Errorf("attempts %d and, after the seek, %d", first, again)
	}
	b.sub().Modify([]wire.AckID{id}, nil, 0)
	b.clock.Advance(time.Second)
	b.seek(0)
	s.Leave()
	b.restart()
	s = b.stream(delivery.Credit{})
	if n, _ := attempt(s); n != 1 {
		t.Errorf("attempt %d after a seek and a restart", n)
	}
	s.Leave()
}
