package broker

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

var errDetachedTwice = status.Error(codes.FailedPrecondition, "Subscription already detached.")

// DetachSubscription takes a subscription off its topic for ever and drops its backlog. Streams and pulls end with FAILED_PRECONDITION, as
// does a second call. The topic no longer knows it, and may be deleted and forgotten before it.
func (b *Broker) DetachSubscription(ctx context.Context, name string) error {
	defer b.names.Lock(name)()
	s, err := b.subscription(name)
	if err != nil {
		return err
	}
	if b.immovable(s) != nil {
		return errDetachedTwice
	}
	return b.noteUse(ctx, s, ledger.AppendDetached(nil, s.durable.ID))
}

// immovable says why the subscription cannot be moved.
func (b *Broker) immovable(s *subscription) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s.durable.Detached {
		return delivery.ErrDetached
	}
	return nil
}

// detach follows a detachment. The caller holds b.mu.
func (b *Broker) detach(d *ledger.Subscription, topicForgotten bool) {
	s := b.subByID[d.ID]
	b.leaveTopic(s, topicForgotten)
	s.work.Detach()
}

// leaveTopic takes a subscription out of its topic's list. The caller holds b.mu.
func (b *Broker) leaveTopic(s *subscription, forgotten bool) {
	t := s.topic
	t.subscriptions = slices.DeleteFunc(slices.Clone(t.subscriptions), func(other *subscription) bool { return other == s })
	b.dirtied(t)
	if forgotten {
		delete(b.topicByID, t.durable.ID)
	}
}

// topicOf is the running topic; if that is forgotten, one that stands for it. The caller holds b.mu, or is the engine.
func (b *Broker) topicOf(d *ledger.Topic) *topic {
	if t := b.topicByID[d.ID]; t != nil {
		return t
	}
	return &topic{durable: d}
}
