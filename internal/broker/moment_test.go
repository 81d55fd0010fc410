package broker

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// moments lets a test do something in the middle of something else: right before the log looks for a time, or right before it takes
// records in. Each is done once.
type moments struct {
	engine.Engine
	beforeOffsetAt, beforeBlock atomic.Pointer[func()]
}

type momentShard struct {
	engine.Shard
	*moments
}

func (m *moments) Own(ctx context.Context, id engine.ShardID, machine engine.Machine) (engine.Shard, error) {
	shard, err := m.Engine.Own(ctx, id, machine)
	return &momentShard{shard, m}, err
}

func once(p *atomic.Pointer[func()]) {
	if f := p.Swap(nil); f != nil {
		(*f)()
	}
}

func (s *momentShard) OffsetAt(ctx context.Context, t engine.TopicID, unixNano int64) (engine.Offset, error) {
	once(&s.beforeOffsetAt)
	return s.Shard.OffsetAt(ctx, t, unixNano)
}

func (s *momentShard) Append(ctx context.Context, recs []engine.Record) error {
	if recs[0].Kind == engine.KindBlock {
		once(&s.beforeBlock)
	}
	if err := ctx.Err(); err != nil {
		return err // a log that has much to do asks that before it takes anything in
	}
	return s.Shard.Append(ctx, recs)
}

// momentous is a bench with moments, whose trims are remembered.
func momentous(t *testing.T) (*bench, *trimWitness, *moments) {
	b, w := witnessed(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	m := &moments{Engine: w}
	b.engine = m
	b.open()
	return b, w, m
}

func TestASnapshotThatIsMadeWhileSpaceIsReclaimedKeepsWhatItNeeds(t *testing.T) {
	b, w, m := momentous(t)
	topic := &pubsubpb.Topic{Name: topicName, MessageRetentionDuration: durationpb.New(10 * time.Minute)}
	if _, err := b.CreateTopic(b.ctx, topic); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateSubscription(b.ctx, &pubsubpb.Subscription{Name: subName, Topic: topicName}); err != nil {
		t.Fatal(err)
	}
	b.publish("a", "b")
	b.clock.Advance(11 * time.Minute)
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	id := b.topic(topicName).durable.ID
	done := make(chan struct{})
	meanwhile := func() {
		defer close(done)
		b.snapshot(snapName)
		b.ack(list...)
	}
	b.settled()
	m.beforeOffsetAt.Store(&meanwhile)
	b.dirtied(b.topic(topicName))
	b.reclaim(b.ctx)
	<-done
	if before := w.trim(id); before != 0 {
		t.Errorf("a trim of everything before %d, and the snapshot needs it", before)
	}
	if err := b.SeekToSnapshot(b.ctx, subName, snapName); err != nil {
		t.Fatal(err)
	}
	b.expect("after the seek", b.drain(s), "a", "b")
	s.Leave()
}

// A snapshot that is made of a subscription which moves back and forth while space is reclaimed would be overlooked.
func TestNoSpaceIsReclaimedWhileASubscriptionMoves(t *testing.T) {
	b, _, m := momentous(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a")
	b.snapshot(snapName)
	for what, move := range map[string]func() error{
		"to a time":     func() error { return b.SeekToTime(b.ctx, subName, 0) },
		"to a snapshot": func() error { return b.SeekToSnapshot(b.ctx, subName, snapName) },
	} {
		looked := false
		meanwhile := func() {
			looked = true
			if space := &b.topic(topicName).space; space.TryLock() {
				space.Unlock()
				t.Errorf("%s: space may be reclaimed", what)
			}
		}
		b.settled()
		m.beforeOffsetAt.Store(&meanwhile)
		if err := move(); err != nil || !looked {
			t.Errorf("%s: looked %v, %v", what, looked, err)
		}
	}
}

func TestAnAcknowledgementCountsAlthoughItsCallerIsGone(t *testing.T) {
	b, _, _ := momentous(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a")
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	gone, leave := context.WithCancel(b.ctx)
	leave()
	if err := b.sub().Ack(gone, ids(list), nil, true); err != nil && status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	b.clock.Advance(time.Minute) // longer than its lease
	if again := b.now(s); len(again) == 0 && !b.durable().Acked(engine.Offset(list[0].id.Offset)) {
		t.Error("the message is neither acknowledged nor delivered again")
	}
	s.Leave()
}

func TestWhatIsPublishedToATopicThatIsForgottenMeanwhileIsTrimmed(t *testing.T) {
	b, w, m := momentous(t)
	b.topicWith()
	id := b.topic(topicName).durable.ID
	meanwhile := func() {
		if err := b.DeleteTopic(b.ctx, topicName); err != nil {
			t.Error(err)
		}
		b.until("the engine forgets the topic", func() bool { return w.trim(id) == engine.Everything })
		b.settled()
		w.mu.Lock()
		delete(w.trims, id)
		w.mu.Unlock()
	}
	m.beforeBlock.Store(&meanwhile)
	b.publish("late")
	b.until("the engine forgets the topic again", func() bool { return w.trim(id) == engine.Everything })
}

func TestASeekBackOutlastsAClockThatIsSetForward(t *testing.T) {
	b := newBench(t)
	topic := &pubsubpb.Topic{Name: topicName, MessageRetentionDuration: durationpb.New(24 * time.Hour)}
	if _, err := b.CreateTopic(b.ctx, topic); err != nil {
		t.Fatal(err)
	}
	config := &pubsubpb.Subscription{Name: subName, Topic: topicName, MessageRetentionDuration: durationpb.New(10 * time.Minute)}
	if _, err := b.CreateSubscription(b.ctx, config); err != nil {
		t.Fatal(err)
	}
	b.publish("a")
	for range 20 {
		b.clock.Advance(time.Minute)
	}
	b.seek(0)
	b.clock.SetWall(time.Unix(0, b.clock.Wall()).Add(time.Hour))
	b.dropExpired(b.ctx)
	s := b.stream(delivery.Credit{})
	b.expect("a moment after the seek", b.now(s), "a")
	s.Leave()
}

func TestAFailureBeforeTheUnixEpochDoesNotEndTheLog(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	b.clock.SetWall(time.Unix(-1000, 0))
	b.publish("a")
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.sub().Modify(ids(list), nil, 0)
	s.Leave()
	b.restart()
	if f, failed := b.durable().Failure(engine.Offset(list[0].id.Offset)); !failed || f.Failures != 1 {
		t.Errorf("failures after a restart: %+v", f)
	}
}
