package delivery

import (
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/bell"
	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/filter"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/usage"
)

// Subscription is a subscription at work: its place in the topic and what is out with which subscriber. It costs little while
// nobody takes from it and nothing is outstanding. It is safe for concurrent use.
type Subscription struct {
	// Usage is when it was last used. Whoever acknowledges something of it uses it, and so do streams and pulls as long as they are there.
	Usage usage.Usage

	office  *Office
	durable *ledger.Subscription
	bell    bell.Bell

	mu        sync.Mutex
	terms     *terms        // never changed in place: others have the same
	ended     error         // why nobody may take any more: deleted, or the broker stops
	queue     *queue        // nil while idle
	queues    uint64        // how many there have been
	turns     lease.Turns   // of the last queue, while idle
	seeks     uint64        // how many seeks cursor and leases have followed
	cursor    engine.Offset // the next offset to read from the log for the first time
	recovered engine.Offset // offsets before it may have been acknowledged before they were read
	unwanted  *unwanted     // nil without a filter; the pointer never changes

	forwarding bool  // a forwarder runs
	warnedAt   int64 // when it last said in vain that dead letters cannot be forwarded, by the monotonic clock
}

// queue is what a subscription has as long as somebody takes from it or something is out. Most subscriptions have none, most of the time.
type queue struct {
	*lease.Queue
	takers   []*Taker
	starved  []*Taker // without credit until something of theirs is settled
	choosy   bool     // some of the starved have credit, but not for the message that came next
	timer    clock.Timer
	wakeAt   int64           // when the timer rings, by the monotonic clock; 0: it does not
	failures []lease.Failure // scratch of failed
}

// terms are what a subscription's configuration means for delivery.
type terms struct {
	deadline time.Duration
	rules    lease.Rules
	filter   *filter.Filter   // nil: every message is wanted
	chain    *transform.Chain // nil: messages are delivered as they are stored
	counted  bool             // subscribers are told the delivery attempt
	push     *PushTarget      // nil: subscribers pull
	detached bool

	deadLetterTopic string // "": none
}

// shared gives a copy of terms: the last one that it gave, if that is equal, as most subscriptions are made alike.
func (o *Office) shared(t terms) *terms {
	if last := o.alike.Load(); last != nil && *last == t {
		return last
	}
	o.alike.Store(&t)
	return &t
}

func readTerms(c *pubsubpb.Subscription) (terms, error) {
	var wanted *filter.Filter
	if c.Filter != "" {
		var err error
		if wanted, err = filter.Parse(c.Filter); err != nil {
			return terms{}, fmt.Errorf("stored filter of %s: %w", c.Name, err)
		}
	}
	t := terms{
		filter:   wanted,
		chain:    transform.NewChain(c.MessageTransforms, false),
		deadline: time.Duration(c.AckDeadlineSeconds) * time.Second,
		rules: lease.Rules{
			Ordered:     c.EnableMessageOrdering,
			ExactlyOnce: c.EnableExactlyOnceDelivery,
			BackoffMin:  c.GetRetryPolicy().GetMinimumBackoff().AsDuration(),
			BackoffMax:  c.GetRetryPolicy().GetMaximumBackoff().AsDuration(),
			AttemptsMax: int(c.GetDeadLetterPolicy().GetMaxDeliveryAttempts()),
			Journal:     c.DeadLetterPolicy != nil,
		},
		counted:  c.DeadLetterPolicy != nil,
		push:     pushTarget(c),
		detached: c.Detached,

		deadLetterTopic: c.GetDeadLetterPolicy().GetDeadLetterTopic(),
	}
	pushBackoff(c, &t)
	if t.detached {
		t.push = nil
	}
	return t, nil
}

// Open sets a subscription to work at what it is not done with, by its configuration. Its number, its name and its topic are those of the
// ledger.
func (o *Office) Open(d *ledger.Subscription, config *pubsubpb.Subscription) (*Subscription, error) {
	t, err := readTerms(config)
	if err != nil {
		return nil, err
	}
	s := &Subscription{
		office: o, durable: d, terms: o.shared(t), cursor: d.Floor(), recovered: d.Topic.End(), seeks: d.Seeks(),
	}
	if t.filter != nil {
		s.unwanted = new(unwanted)
	}
	mono, wall := o.Clock.Both()
	s.Usage.Remember(mono, wall, d.Active())
	if t.push != nil {
		o.pushes.Add(s) // last: from now on others know it
	}
	return s, nil
}

// Read takes over what the subscription's configuration says now.
func (s *Subscription) Read(config *pubsubpb.Subscription) error {
	t, err := readTerms(config)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms.push != nil || t.push != nil {
		s.office.pushes.Add(s)
	}
	s.terms = s.office.shared(t)
	if s.queue != nil {
		s.queue.SetRules(t.rules)
	}
	s.wakeAll()
	return nil
}

// ID is the subscription's number, which ack ids carry.
func (s *Subscription) ID() uint64 { return uint64(s.durable.ID) }

// Name is the subscription's full name.
func (s *Subscription) Name() string { return s.durable.Name }

// Ring wakes a taker: the topic has a message more. It never waits for who uses the subscription.
func (s *Subscription) Ring() { s.bell.Ring(1) }

// Filtered says whether the subscription has a filter, which never changes.
func (s *Subscription) Filtered() bool { return s.unwanted != nil }

// Detach follows a detachment from the topic, which the ledger has: nothing is out any more, and takers end with [ErrDetached].
func (s *Subscription) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms.push != nil {
		s.office.pushes.Add(s)
	}
	t := *s.terms
	t.detached, t.push = true, nil
	s.terms = s.office.shared(t)
	s.cursor, s.recovered = s.durable.Floor(), 0
	if s.unwanted != nil {
		*s.unwanted = unwanted{}
	}
	if s.queue != nil {
		s.queue.Reset()
	}
	s.turns.Void()
	s.wakeAll()
}

// ErrDetached is what takers of a detached subscription end with.
var ErrDetached = status.Error(codes.FailedPrecondition, "Subscription is detached.")

// errDraining is what takers end with when the broker stops: clients reconnect by themselves.
var errDraining = status.Error(codes.Unavailable, "The broker is shutting down. Please try again.")

// Delete ends every taker with NOT_FOUND.
func (s *Subscription) Delete() { s.end(catalog.NotFound(s.durable.Name)) }

// Drain ends every taker with UNAVAILABLE, as the broker stops.
func (s *Subscription) Drain() { s.end(errDraining) }

// end makes every taker's next Take, and the one that waits, fail with err.
func (s *Subscription) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	if s.terms.push != nil {
		s.office.pushes.Add(s)
	}
	s.wakeAll()
}

// wakeAll makes every taker look at the subscription anew. The caller holds s.mu.
func (s *Subscription) wakeAll() {
	if s.queue == nil {
		return
	}
	for _, t := range s.queue.takers {
		t.Kick()
	}
}
