package broker

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// trimWitness remembers the latest trim of each topic.
type trimWitness struct {
	engine.Engine
	mu    sync.Mutex
	trims map[engine.TopicID]engine.Offset
}

type witnessedShard struct {
	engine.Shard
	witness *trimWitness
}

func (w *trimWitness) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	shard, err := w.Engine.Own(ctx, id, m)
	return &witnessedShard{shard, w}, err
}

func (s *witnessedShard) Trim(t engine.TopicID, before engine.Offset) {
	s.witness.mu.Lock()
	s.witness.trims[t] = before
	s.witness.mu.Unlock()
	s.Shard.Trim(t, before)
}

func (w *trimWitness) trim(t engine.TopicID) engine.Offset {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trims[t]
}

// witnessed is a bench whose trims are remembered.
func witnessed(t *testing.T) (*bench, *trimWitness) {
	b := newBench(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	w := &trimWitness{Engine: b.engine, trims: map[engine.TopicID]engine.Offset{}}
	b.engine = w
	b.open()
	return b, w
}

// until lets the sweeper's seconds pass until the condition holds.
func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	for range 10_000_000 {
		if holds() {
			return
		}
		if b.clock.sweeperRests() {
			b.clock.Advance(sweepEvery)
		}
		runtime.Gosched()
	}
	b.t.Fatalf("never: %s", what)
}

const otherSub = "projects/p/subscriptions/other"

func TestTrimFollowsTheSlowestSubscription(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{}, &pubsubpb.Subscription{Name: otherSub})
	b.publish("0", "1", "2", "3", "4", "5")
	id := b.topic(topicName).durable.ID
	s := b.stream(delivery.Credit{})
	mine := b.now(s)
	b.ack(mine...)
	other, err := b.Subscription(otherSub)
	if err != nil {
		t.Fatal(err)
	}
	o, err := other.OpenStream(delivery.Credit{}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	theirs := b.now(o)
	for _, n := range []int{0, 1, 3} { // a gap at 2
		theirs[n].id.Subscription = other.ID()
		if err := other.Ack(b.ctx, ids(theirs[n:n+1]), nil, true); err != nil {
			t.Fatal(err)
		}
	}
	b.until("a trim up to the gap", func() bool { return w.trim(id) == 2 })
	if err := b.DeleteSubscription(b.ctx, otherSub); err != nil {
		t.Fatal(err)
	}
	b.until("a trim of all once the slow one is gone", func() bool { return w.trim(id) == 6 })
	s.Leave()
	o.Leave()
}

func TestATopicWithoutSubscriptionsKeepsNothingUnlessItRetains(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith()
	b.publish("a", "b")
	id := b.topic(topicName).durable.ID
	b.until("a trim of everything published", func() bool { return w.trim(id) == 2 })

	retain := &pubsubpb.Topic{Name: "projects/p/topics/retaining", MessageRetentionDuration: durationpb.New(time.Hour)}
	if _, err := b.CreateTopic(b.ctx, retain); err != nil {
		t.Fatal(err)
	}
	kept := b.topic(retain.Name).durable.ID
	b.publishRequest(&pubsubpb.PublishRequest{Topic: retain.Name, Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}})
	published := b.clock.Wall()
	b.until("a trim of what is an hour old", func() bool { return w.trim(kept) == 1 })
	if age := time.Duration(b.clock.Wall() - published); age < time.Hour || age > time.Hour+3*time.Second {
		t.Errorf("dropped after %v", age)
	}
}

func TestADeletedTopicIsForgottenWithItsLastSubscription(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a")
	id := b.topic(topicName).durable.ID
	if err := b.DeleteTopic(b.ctx, topicName); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	b.until("the engine forgets the topic", func() bool { return w.trim(id) == engine.Everything })
}

// TestRetentionFindsABacklogHoweverItCameAbout is about where the sweeper learns that a subscription has one.
func TestRetentionFindsABacklogHoweverItCameAbout(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(b *bench)
	}{
		{"by publishing", func(b *bench) { b.publish("m") }},
		{"before a restart", func(b *bench) {
			b.publish("m")
			b.restart()
		}},
		{"by a seek", func(b *bench) {
			at := b.clock.Wall()
			b.publish("m")
			s := b.stream(delivery.Credit{})
			b.ack(b.now(s)...)
			s.Leave()
			b.until("the sweeper knows of none", func() bool { return len(b.withBacklog()) == 0 })
			b.seek(at)
		}},
		{"while an older one was dropped", func(b *bench) {
			b.publish("older")
			b.until("the sweeper drops it", func() bool { return b.durable().Floor() == 1 })
			b.publish("m")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.topicWith(&pubsubpb.Subscription{RetainAckedMessages: true, MessageRetentionDuration: durationpb.New(10 * time.Minute)})
			c.make(b)
			end := b.durable().Topic.End()
			if b.durable().Floor() == end {
				t.Fatal("no backlog")
			}
			made := b.clock.Wall()
			b.until("the backlog is dropped", func() bool { return b.durable().Floor() == end })
			if age := time.Duration(b.clock.Wall() - made); age > 10*time.Minute+3*time.Second {
				t.Errorf("dropped after %v", age)
			}
		})
	}
}

// TestASweepVisitsNobodyWhoIsIdle counts whom it comes to: with very many subscriptions the sweeper must not work its way through all.
func TestASweepVisitsNobodyWhoIsIdle(t *testing.T) {
	const count = 600
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{Filter: `attributes:a`}, &pubsubpb.Subscription{Name: otherSub, ExpirationPolicy: &pubsubpb.ExpirationPolicy{}})
	for i := range count {
		in := &pubsubpb.Subscription{Name: fmt.Sprintf("projects/p/subscriptions/idle-%d", i), Topic: topicName}
		if _, err := b.CreateSubscription(b.ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.filtered()); n != 1 {
		t.Errorf("%d subscriptions with a filter", n)
	}
	if n := len(b.withBacklog()); n != 0 {
		t.Errorf("%d subscriptions with a backlog", n)
	}
	if n := b.looks.Len(); n != count+1 {
		t.Errorf("%d subscriptions with a time to live", n)
	}
	most := 0
	for range 2 * int(activeLookEvery/time.Second) {
		b.settled()
		b.mu.Lock()
		var due []*subscription
		for s, ok := b.looks.Due(b.clock.Mono() + int64(sweepEvery)); ok; s, ok = b.looks.Due(b.clock.Mono() + int64(sweepEvery)) {
			due = append(due, s)
		}
		for _, s := range due {
			b.looks.Set(s, b.clock.Mono()+int64(sweepEvery))
		}
		most = max(most, len(due))
		b.mu.Unlock()
		b.clock.Advance(sweepEvery)
	}
	if fair := count / int(activeLookEvery/time.Second); most > 3*fair {
		t.Errorf("up to %d of %d subscriptions are looked at in one sweep, with %d the work would be even", most, count, fair)
	}
	for _, name := range []string{subName, "projects/p/subscriptions/idle-7"} {
		if err := b.DeleteSubscription(b.ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if filtered, looks := len(b.filtered()), b.looks.Len(); filtered != 0 || looks != count-1 {
		t.Errorf("after deleting two, %d have a filter and %d a time to live", filtered, looks)
	}
}
