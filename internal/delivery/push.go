package delivery

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// PushTarget is what a push subscription's configuration says to whoever delivers its messages. It is never changed in place.
type PushTarget struct {
	Subscription string               // its full name
	Config       *pubsubpb.PushConfig // with an endpoint
	AckDeadline  time.Duration        // how long the endpoint may take to answer
	Ordered      bool                 // messages keep the order of their keys
	Retry        bool                 // has a retry policy
}

// pushTarget reads a subscription's configuration; nil when nothing is to be pushed.
func pushTarget(c *pubsubpb.Subscription) *PushTarget {
	if c.GetPushConfig().GetPushEndpoint() == "" {
		return nil
	}
	return &PushTarget{
		Subscription: c.Name,
		Config:       c.PushConfig,
		AckDeadline:  time.Duration(c.AckDeadlineSeconds) * time.Second,
		Ordered:      c.EnableMessageOrdering,
		Retry:        c.RetryPolicy != nil,
	}
}

// PushTarget is where the subscription's messages are pushed now; nil when they are not. gone says that the subscription was deleted or
// detached, so that what is on its way to the endpoint has no meaning any more.
func (s *Subscription) PushTarget() (target *PushTarget, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return nil, s.ended != errDraining
	}
	return s.terms.push, s.terms.detached
}

// OpenPush attaches a taker for the subscription's endpoint. What it takes stays leased until the deadline when it leaves. Of an ordering
// key it has one message at a time. FAILED_PRECONDITION when the subscription is not pushed.
func (s *Subscription) OpenPush(deadline time.Duration) (*Taker, error) {
	t := s.newTaker()
	t.push, t.deadline = true, deadline
	return t, s.attach(t)
}

// pushBackoff is how long a message waits that an endpoint refused, on a subscription without a retry policy: production's bounds of its
// push backoff. It keeps a message that always fails from being pushed without a pause, which a retry policy with a minimum of 0 would let
// happen, too: its backoff grows from the least of a push. That the endpoint as a whole fails, and the whole subscription must wait, is for
// whoever pushes to notice.
func pushBackoff(c *pubsubpb.Subscription, t *terms) {
	switch r := &t.rules; {
	case t.push == nil:
	case c.RetryPolicy == nil:
		r.BackoffMin, r.BackoffMax = limit.PushBackoffMin, limit.PushBackoffMax
	case r.BackoffMin == 0:
		r.BackoffMin = limit.PushBackoffMin
		r.BackoffMax = max(r.BackoffMax, r.BackoffMin)
	}
}
