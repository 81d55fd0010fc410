package broker

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/ledger"
)

var (
	errDetached      = status.Error(codes.FailedPrecondition, "Subscription is detached.")
	errDetachedTwice = status.Error(codes.FailedPrecondition, "Subscription already detached.")
)

// DetachSubscription takes a subscription off its topic for ever and drops its backlog. Streams and pulls end with FAILED_PRECONDITION, as
// does a second call. The topic no longer knows it, and may be deleted and forgotten before it.
func (b *Broker) DetachSubscription(ctx context.Context, name string) error {
	defer b.names.Lock(name)()
	s, err := b.Subscription(name)
	if err != nil {
		return err
	}
	b.mu.RLock()
	already := s.durable.Detached
	b.mu.RUnlock()
	if already {
		return errDetachedTwice
	}
	return b.noteUse(ctx, s, ledger.AppendDetached(nil, s.durable.ID))
}

// detach follows a detachment. The caller holds b.mu.
func (b *Broker) detach(d *ledger.Subscription, topicForgotten bool) {
	s := b.subByID[d.ID]
	b.leaveTopic(s, topicForgotten)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms.push != nil {
		b.pushes.Add(s)
	}
	s.terms.detached, s.terms.push = true, nil
	s.cursor, s.recovered = d.Floor(), 0
	s.unwanted = unwanted{}
	if s.queue != nil {
		s.queue.Reset()
	}
	s.turns.Void()
	s.wakeAll()
}

// leaveTopic takes a subscription out of its topic's list. The caller holds b.mu.
func (b *Broker) leaveTopic(s *Subscription, forgotten bool) {
	t := s.topic
	t.subscriptions = slices.DeleteFunc(slices.Clone(t.subscriptions), func(other *Subscription) bool { return other == s })
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
