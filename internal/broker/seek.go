package broker

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// A seek is exact. It takes effect at its place in the log: what was acknowledged before that is part of what it changes, and what was
// acknowledged by leases from before it, but stands behind it in the log, has no effect. Three things see to that: acknowledgements
// name the number of seeks that they have seen, the lease queue voids its handles, and ack ids from before a restart count only if
// they are younger than the last seek.

// SeekToTime makes a subscription done with everything published before a time, Unix nanoseconds, and with nothing of what is kept and
// was published then or later. What is acknowledged and not kept cannot come back.
func (b *Broker) SeekToTime(ctx context.Context, name string, at int64) error {
	defer b.names.Lock(name)()
	s, err := b.Subscription(name)
	if err != nil {
		return err
	}
	if err := s.immovable(); err != nil {
		return err
	}
	s.topic.space.Lock() // what is kept must not go before the seek needs it
	defer s.topic.space.Unlock()
	to, err := b.placeAt(ctx, s, at)
	if err != nil {
		return unavailable(err)
	}
	return b.noteUse(ctx, s, ledger.AppendSeek(nil, s.durable.ID, to))
}

// SeekToSnapshot makes a subscription done with what the snapshot says, and with nothing that was published later.
func (b *Broker) SeekToSnapshot(ctx context.Context, name, to string) error {
	defer b.names.Lock(name, to)()
	s, err := b.Subscription(name)
	if err != nil {
		return err
	}
	if err := s.immovable(); err != nil {
		return err
	}
	s.topic.space.Lock() // what is kept must not go before the seek needs it
	defer s.topic.space.Unlock()
	id, err := b.seekable(s, to)
	if err != nil {
		return err
	}
	sought, err := b.sought(ctx, s)
	if err != nil {
		return unavailable(err)
	}
	seeks := s.durable.Seeks()
	if err := b.noteUse(ctx, s, ledger.AppendSeekSnapshot(nil, s.durable.ID, sought, id)); err != nil {
		return err
	}
	if s.durable.Seeks() == seeks {
		return otherTopic(s, to) // which was deleted meanwhile
	}
	return nil
}

// seekable finds the snapshot to which the subscription may be moved.
func (b *Broker) seekable(s *Subscription, to string) (ledger.SnapshotID, error) {
	s.mu.Lock()
	ordered := s.terms.rules.Ordered
	s.mu.Unlock()
	b.mu.RLock()
	defer b.mu.RUnlock()
	sn, err := b.findSnapshot(to)
	switch {
	case err != nil:
		return 0, err
	case sn.topic != s.topic:
		return 0, otherTopic(s, to)
	case ordered && !sn.durable.Ordered:
		return 0, status.Errorf(codes.FailedPrecondition, "The subscription %s has message ordering enabled, but the snapshot %s was created "+
			"from a subscription without it. Seeking to it may cause out-of-order redelivery.", s.durable.Name, to)
	}
	return sn.durable.ID, nil
}

func otherTopic(s *Subscription, to string) error {
	return status.Errorf(codes.FailedPrecondition, "The subscription's topic %s is different from that of the snapshot %s; they must match in "+
		"order for Seek work. Note that if a topic is deleted and then re-created with the same name, it is considered a distinct topic for "+
		"these purposes.", s.topic.durable.Name, to)
}

// placeAt is what a seek to the time comes down to now.
func (b *Broker) placeAt(ctx context.Context, s *Subscription, at int64) (to ledger.Seek, err error) {
	if to.Sought, err = b.sought(ctx, s); err != nil {
		return to, err
	}
	if to.Before, err = b.shard.OffsetAt(ctx, s.topic.durable.ID, at); err != nil {
		return to, err
	}
	byTopic, err := b.topicKeeps(ctx, s.topic)
	if err != nil {
		return to, err
	}
	bySubscription, err := b.subscriptionKeeps(ctx, s)
	if err != nil {
		return to, err
	}
	to.Before = min(to.Before, s.topic.durable.End())
	to.Open = max(to.Before, min(byTopic, bySubscription))
	return to, nil
}

// sought is what the subscription is to remember of a seek now.
func (b *Broker) sought(ctx context.Context, s *Subscription) (ledger.Sought, error) {
	s.mu.Lock()
	retention := s.terms.retention
	s.mu.Unlock()
	stale, err := b.shard.OffsetAt(ctx, s.topic.durable.ID, b.cutoff(retention))
	return ledger.Sought{Epoch: uint64(b.Epoch()), Time: b.clock.Wall(), Stale: stale}, err
}

// immovable says why the subscription cannot be moved.
func (s *Subscription) immovable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms.detached {
		return errDetached
	}
	return nil
}

// follow makes the subscription go on from where a seek has put it: nothing is out, nothing waits, and no message has failed yet. The
// caller holds Broker.mu.
func (s *Subscription) follow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeks = s.durable.Seeks()
	s.cursor, s.recovered = s.durable.Floor(), s.topic.durable.End()
	s.unwanted.known, s.unwanted.runs = false, s.unwanted.runs[:0]
	if s.queue != nil {
		s.queue.Reset()
	}
	s.turns.Void()
	s.feedStarved() // takers have their whole credit again
	s.wakeAll()
}

// valid says whether a handle was given out since the last seek. The caller holds s.mu.
func (s *Subscription) valid(h lease.Handle) bool {
	if s.queue != nil {
		return s.queue.Turns().Has(h)
	}
	return s.turns.Has(h)
}
