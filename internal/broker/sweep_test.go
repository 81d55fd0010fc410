package broker

import (
	"context"
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
		if b.clock.Timers() > 0 { // the sweeper has done its work and waits again
			b.clock.Advance(time.Second)
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
