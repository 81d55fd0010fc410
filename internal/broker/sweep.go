package broker

import (
	"context"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// sweepEvery is how often retention is enforced and free space is reported.
const sweepEvery = time.Second

// sweep runs until ctx ends.
func (b *Broker) sweep(ctx context.Context) {
	defer close(b.sweepDone)
	wake := make(chan struct{}, 1) // has room: the timer is set again only after the last one was seen
	timer := b.clock.AfterFunc(sweepEvery, func() { wake <- struct{}{} })
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		b.sweepOnce(ctx)
		timer.Reset(sweepEvery)
	}
}

// sweepOnce gives up what nobody needs any more at this moment.
func (b *Broker) sweepOnce(ctx context.Context) {
	b.calendar.Observe(b.clock.Both())
	b.expire(ctx)
	b.dropExpired(ctx)
	b.dropExpiredSnapshots(ctx)
	b.office.PassOver(ctx, b.filtered())
	b.reclaim(ctx)
}

// dropExpired acknowledges, for each subscription, what is older than its retention.
func (b *Broker) dropExpired(ctx context.Context) {
	for _, s := range b.withBacklog() {
		retention, seeks := b.retentionOf(s), s.work.Seeks()
		if sought := s.durable.Sought(); s.durable.Floor() < sought.Stale && sought.Time > b.cutoff(retention) {
			continue // what a seek brought back that was past its retention stays for that time again
		}
		before, err := b.shard.OffsetAt(ctx, s.durable.Topic.ID, b.cutoff(retention))
		if err != nil {
			b.logger.Error("retention", "subscription", s.durable.Name, "error", err)
			continue
		}
		if before = min(before, s.durable.Topic.End()); before <= s.durable.Floor() {
			continue
		}
		note := ledger.AppendAckedBefore(nil, s.durable.ID, seeks, before)
		if err := b.shard.Enqueue([]engine.Record{{Kind: engine.KindNote, Body: note}}); err != nil {
			b.logger.Error("retention", "subscription", s.durable.Name, "error", err)
			return // the log takes nothing; Failed tells the rest
		}
		s.work.SkipTo(before, seeks)
	}
}

// fellBehind says that there is something that the subscription is not done with.
func (b *Broker) fellBehind(s *subscription) { b.behind.Add(s, &s.behind) }

// withBacklog lists the subscriptions that are not done with everything.
func (b *Broker) withBacklog() []*subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := slices.DeleteFunc(b.behind.Take(), func(s *subscription) bool {
		return b.subByID[s.durable.ID] != s || s.durable.Floor() >= s.durable.Topic.End()
	})
	for _, s := range list {
		b.fellBehind(s) // until a sweep finds that it is not
	}
	return list
}

// retentionOf is how long the subscription keeps a message.
func (b *Broker) retentionOf(s *subscription) time.Duration {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return s.retention
}

// cutoff is the publish time before which messages have outlived a retention.
func (b *Broker) cutoff(r time.Duration) int64 {
	mono, wall := b.clock.Both()
	return b.calendar.Cutoff(mono, wall, r)
}

// dirtied says that something may have become free in a topic.
func (b *Broker) dirtied(t *topic) { b.dirty.Add(t, &t.dirty) }

// reclaim tells the engine, for each topic that changed, which messages nobody needs.
func (b *Broker) reclaim(ctx context.Context) {
	for _, t := range b.dirty.Take() {
		t.space.Lock()
		before, again := b.needed(ctx, t)
		b.shard.Trim(t.durable.ID, before)
		t.space.Unlock()
		if again {
			b.dirtied(t)
		}
	}
}

// needed is the first offset of the topic that somebody needs; again says that time alone will change it. The caller holds t.space, so that no
// subscription moves back. Snapshots are looked at last: one that is made later begins where its subscription was seen, or behind that.
func (b *Broker) needed(ctx context.Context, t *topic) (before engine.Offset, again bool) {
	b.mu.RLock()
	deleted, subscriptions := t.durable.Deleted, t.subscriptions
	b.mu.RUnlock()
	if deleted && len(subscriptions) == 0 {
		return engine.Everything, false
	}
	end := t.durable.End()
	kept, err := b.topicKeeps(ctx, t)
	before = min(kept, end)
	for _, s := range subscriptions {
		var from engine.Offset
		if err == nil {
			from, err = b.subscriptionKeeps(ctx, s)
		}
		kept = min(kept, from)
		before = min(before, from, s.durable.Floor())
	}
	b.mu.RLock()
	for _, s := range t.snapshots {
		before = min(before, s.keeps)
	}
	b.mu.RUnlock()
	if err != nil {
		b.logger.Error("retention", "topic", t.durable.Name, "error", err)
		return 0, true
	}
	return before, kept < end
}

// topicKeeps is the first offset that the topic's own retention keeps: its end if it has none.
func (b *Broker) topicKeeps(ctx context.Context, t *topic) (engine.Offset, error) {
	b.mu.RLock()
	deleted, retention := t.durable.Deleted, t.retention
	b.mu.RUnlock()
	if deleted || retention == 0 {
		return t.durable.End(), nil
	}
	return b.shard.OffsetAt(ctx, t.durable.ID, b.cutoff(retention))
}

// subscriptionKeeps is the first offset that the subscription keeps whether it is acknowledged or not: its topic's end if it does not.
func (b *Broker) subscriptionKeeps(ctx context.Context, s *subscription) (engine.Offset, error) {
	b.mu.RLock()
	retain, retention := s.retain && !s.durable.Detached, s.retention
	b.mu.RUnlock()
	if !retain {
		return s.topic.durable.End(), nil
	}
	from, err := b.shard.OffsetAt(ctx, s.durable.Topic.ID, b.cutoff(retention))
	return max(from, s.durable.Start), err
}

// filtered lists the subscriptions that have a filter and something to pass over, perhaps, or to tell the log.
func (b *Broker) filtered() []*delivery.Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]*delivery.Subscription, 0, len(b.filters))
	for s := range b.filters {
		list = append(list, s.work)
	}
	return list
}
