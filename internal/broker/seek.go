package broker

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/fault"
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
	s, err := b.subscription(name)
	if err != nil {
		return err
	}
	if err := b.immovable(s); err != nil {
		return err
	}
	s.topic.space.Lock() // what is kept must not go before the seek needs it
	defer s.topic.space.Unlock()
	to, err := b.placeAt(ctx, s, at)
	if err != nil {
		return fault.Status(err)
	}
	return b.noteUse(ctx, s, ledger.AppendSeek(nil, s.durable.ID, to))
}

// SeekToSnapshot makes a subscription done with what the snapshot says, and with nothing that was published later.
func (b *Broker) SeekToSnapshot(ctx context.Context, name, to string) error {
	defer b.names.Lock(name, to)()
	s, err := b.subscription(name)
	if err != nil {
		return err
	}
	if err := b.immovable(s); err != nil {
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
		return fault.Status(err)
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
func (b *Broker) seekable(s *subscription, to string) (ledger.SnapshotID, error) {
	_, ordered := s.work.Properties()
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

func otherTopic(s *subscription, to string) error {
	return status.Errorf(codes.FailedPrecondition, "The subscription's topic %s is different from that of the snapshot %s; they must match in "+
		"order for Seek work. Note that if a topic is deleted and then re-created with the same name, it is considered a distinct topic for "+
		"these purposes.", s.topic.durable.Name, to)
}

// placeAt is what a seek to the time comes down to now.
func (b *Broker) placeAt(ctx context.Context, s *subscription, at int64) (to ledger.Seek, err error) {
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
func (b *Broker) sought(ctx context.Context, s *subscription) (ledger.Sought, error) {
	stale, err := b.shard.OffsetAt(ctx, s.topic.durable.ID, b.cutoff(b.retentionOf(s)))
	return ledger.Sought{Epoch: uint64(b.Epoch()), Time: b.clock.Wall(), Stale: stale}, err
}
