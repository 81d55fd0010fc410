package broker

import (
	"context"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// sweepEvery is how often retention is enforced and free space is reported.
const sweepEvery = time.Second

// sweep runs until ctx ends.
func (b *Broker) sweep(ctx context.Context) {
	defer close(b.sweepDone)
	wake := make(chan struct{}, 1)
	ring := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	timer := b.clock.AfterFunc(sweepEvery, ring)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		b.dropExpired(ctx)
		b.passOver(ctx)
		b.reclaim(ctx)
		timer.Reset(sweepEvery)
	}
}

// dropExpired acknowledges, for each subscription, what is older than its retention.
func (b *Broker) dropExpired(ctx context.Context) {
	now := b.clock.Wall()
	for _, s := range b.withBacklog() {
		s.mu.Lock()
		retention := s.terms.retention
		s.mu.Unlock()
		before, err := b.shard.OffsetAt(ctx, s.durable.Topic.ID, now-int64(retention))
		if err != nil {
			b.logger.Error("retention", "subscription", s.durable.Name, "error", err)
			continue
		}
		if before = min(before, s.durable.Topic.End()); before <= s.durable.Floor() {
			continue
		}
		note := ledger.AppendAckedBefore(nil, s.durable.ID, before)
		if err := b.shard.Enqueue([]engine.Record{{Kind: engine.KindNote, Body: note}}); err != nil {
			b.logger.Error("retention", "subscription", s.durable.Name, "error", err)
			return // the log takes nothing; Failed tells the rest
		}
		s.skipTo(before)
	}
}

// withBacklog lists the subscriptions that are not done with everything.
func (b *Broker) withBacklog() []*Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []*Subscription
	for _, s := range b.subByID {
		if s.durable.Floor() < s.durable.Topic.End() {
			list = append(list, s)
		}
	}
	return list
}

// skipTo forgets everything before the offset, what is out too.
func (s *Subscription) skipTo(off engine.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = max(s.cursor, off)
	if s.queue != nil {
		s.queue.DropBefore(uint64(off))
		s.feedStarved()
	}
}

// reclaim tells the engine, for each topic that changed, which messages nobody needs.
func (b *Broker) reclaim(ctx context.Context) {
	for _, t := range b.dirty.take() {
		before, again := b.needed(ctx, t)
		b.shard.Trim(t.durable.ID, before)
		if again {
			b.dirty.add(t)
		}
	}
}

// needed is the first offset of the topic that somebody needs; again says that time alone will change the answer.
func (b *Broker) needed(ctx context.Context, t *topic) (before engine.Offset, again bool) {
	b.mu.RLock()
	deleted, retention, subscriptions := t.durable.Deleted, t.retention, t.subscriptions
	b.mu.RUnlock()
	if deleted && len(subscriptions) == 0 {
		return engine.Everything, false
	}
	before = t.durable.End()
	for _, s := range subscriptions {
		before = min(before, s.durable.Floor())
	}
	if retention > 0 && !deleted {
		kept, err := b.shard.OffsetAt(ctx, t.durable.ID, b.clock.Wall()-int64(retention))
		if err != nil {
			b.logger.Error("retention", "topic", t.durable.Name, "error", err)
			return 0, true
		}
		before = min(before, kept)
		again = kept < t.durable.End()
	}
	return before, again
}
