package delivery

import (
	"context"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/bell"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/fault"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/reader"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// Delivery is one message on its way to a subscriber.
type Delivery struct {
	Message []byte // a PubsubMessage as its publisher sent it, or as transforms made it; valid until the taker's next Take or Release
	ID      uint64 // message id
	Time    int64  // publish time, Unix nanoseconds
	Attempt int32  // 1 for the first; 0 when the subscription has no dead letter policy
	Offset  engine.Offset
	Handle  lease.Handle
}

// Credit bounds what a taker holds at one time. Zero or less means without bound.
type Credit struct {
	MessagesMax int64
	BytesMax    int64
}

// Taker takes messages from a subscription on behalf of one subscriber. One goroutine at a time calls Take and Release; Kick and
// SetDeadline may be called by any.
type Taker struct {
	sub      *Subscription
	sleep    bell.Taker
	credit   Credit
	stream   bool          // holds its own leases, which go back when it leaves
	push     bool          // for the subscription's endpoint
	deadline time.Duration // 0: the subscription's; guarded by sub.mu
	holder   lease.Holder  // 0 for unary pulls without order; guarded by sub.mu
	reader   reader.Reader
	out      []Delivery
	present  bool             // it counts as use of the subscription
	chain    *transform.Chain // what out is to be transformed by
	hurried  bool             // there may be more, but so many messages were passed over that others should have their turn first
}

// OpenStream attaches a taker whose messages go back at once when it leaves.
func (s *Subscription) OpenStream(c Credit, deadline time.Duration) (*Taker, error) {
	t := s.newTaker()
	t.credit, t.deadline, t.stream = c, deadline, true
	return t, t.enter()
}

// OpenPull attaches a taker for one unary pull: what it takes stays leased when it leaves.
func (s *Subscription) OpenPull() (*Taker, error) {
	t := s.newTaker()
	return t, t.enter()
}

func (s *Subscription) newTaker() *Taker {
	return &Taker{sub: s, sleep: bell.NewTaker(), reader: reader.Reader{Shard: s.office.Shard, Topic: s.durable.Topic.ID}}
}

func (s *Subscription) attach(t *Taker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := t.refusal(); err != nil {
		return err
	}
	q := s.leases()
	q.takers = append(q.takers, t)
	if t.stream || s.terms.rules.Ordered && !t.push {
		t.holder = q.Join()
	}
	return nil
}

// enter attaches a taker whose presence is use of the subscription, until it leaves.
func (t *Taker) enter() error {
	if err := t.sub.attach(t); err != nil {
		return err
	}
	t.present = true
	t.sub.Usage.Enter()
	return nil
}

// exit says that a taker leaves.
func (t *Taker) exit() {
	if t.present {
		t.present = false
		t.sub.Usage.Exit(t.sub.office.Clock.Mono())
	}
}

// refusal says why the taker may not take from the subscription now. The caller holds the subscription's lock.
func (t *Taker) refusal() error {
	s := t.sub
	switch {
	case s.ended != nil:
		return s.ended
	case s.terms.detached:
		return ErrDetached
	case t.push != (s.terms.push != nil):
		return status.Error(codes.FailedPrecondition, "This method is not supported for this subscription type.")
	}
	return nil
}

// leases is the lease state, made when it is first needed. The caller holds s.mu.
func (s *Subscription) leases() *queue {
	if s.queue == nil {
		s.queues++
		s.queue = &queue{Queue: lease.New(s.terms.rules, uint64(s.durable.ID)<<32^s.queues)}
		if s.queues > 1 {
			s.queue.GoOn(s.turns)
		}
	}
	return s.queue
}

// Kick makes a waiting Take return, with nothing if there is nothing.
func (t *Taker) Kick() { t.sleep.Kick() }

// SetDeadline changes the ack deadline of what is taken from now on.
func (t *Taker) SetDeadline(d time.Duration) {
	t.sub.mu.Lock()
	t.deadline = d
	t.sub.mu.Unlock()
}

// Leave detaches the taker. What a stream holds goes back to the others at once.
func (t *Taker) Leave() { t.leave(false) }

// Abandon is Leave for a stream that broke. Where attempts are counted, what it holds has failed: a message that brings its subscriber
// down must not come back for ever.
func (t *Taker) Abandon() { t.leave(true) }

func (t *Taker) leave(broken bool) {
	s := t.sub
	t.quit()
	t.exit()
	if t.hurried {
		s.bell.Ring(1)
	}
	s.mu.Lock()
	drop := func(other *Taker) bool { return other == t }
	s.queue.takers = slices.DeleteFunc(s.queue.takers, drop)
	s.queue.starved = slices.DeleteFunc(s.queue.starved, drop)
	returned, now := 0, s.office.Clock.Mono()
	var failed journal
	switch {
	case t.holder == 0: // what it took stays out
	case t.stream && broken && s.terms.rules.AttemptsMax > 0 && s.ended == nil:
		returned = s.queue.Abandon(now, t.holder)
		failed = s.failed()
		s.arm(now)
		s.bury()
	case t.stream:
		returned = s.queue.Leave(now, t.holder)
	default:
		s.queue.Retire(t.holder)
	}
	s.relax()
	s.mu.Unlock()
	s.record(failed)
	t.reader.Release()
	s.bell.Ring(returned)
}

// relax forgets the lease state when nobody needs it. The caller holds s.mu.
func (s *Subscription) relax() {
	if q := s.queue; q != nil && len(q.takers) == 0 && q.Len() == 0 {
		s.turns, s.queue = q.Turns(), nil
		if q.timer != nil {
			q.timer.Stop()
		}
	}
}

// Take waits for messages and leases up to max of them to the taker, at most about bytesMax bytes. It returns none when it was
// kicked, when a filter let none of very many messages through, and when transforms left nothing of them. It fails when ctx ends and when the subscription no longer serves this kind of taker. What an earlier Take gave becomes
// invalid.
func (t *Taker) Take(ctx context.Context, max int, bytesMax int64) ([]Delivery, error) {
	t.Release()
	if err := t.fill(ctx, max, bytesMax, false); err != nil || len(t.out) > 0 {
		return t.transformed(ctx, bytesMax, err)
	}
	if t.hurried {
		return t.takeTurn(ctx, max, bytesMax)
	}
	select {
	case <-t.sleep.Woken():
	case <-ctx.Done():
		t.quit()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return t.takeTurn(ctx, max, bytesMax)
}

// TakeNow is Take without the wait.
func (t *Taker) TakeNow(ctx context.Context, max int, bytesMax int64) ([]Delivery, error) {
	for {
		out, err := t.takeTurn(ctx, max, bytesMax)
		if err != nil || len(out) > 0 || !t.hurried {
			return out, err
		}
	}
}

// takeTurn takes what can be taken in one go.
func (t *Taker) takeTurn(ctx context.Context, max int, bytesMax int64) ([]Delivery, error) {
	t.Release()
	if err := ctx.Err(); err != nil {
		t.quit()
		return nil, status.FromContextError(err).Err()
	}
	err := t.fill(ctx, max, bytesMax, true)
	if len(t.out) == 0 {
		t.quit()
	}
	return t.transformed(ctx, bytesMax, err)
}

// quit gets up from the line; if the bell was rung for the taker meanwhile, it passes that on.
func (t *Taker) quit() {
	if b := &t.sub.bell; b.GetUp(&t.sleep) {
		b.Ring(1)
	}
}

// Release gives back the memory of what was taken.
func (t *Taker) Release() {
	clear(t.out)
	t.out = t.out[:0]
	t.reader.Release()
}

// fill takes the taker's share of what there is. When there is nothing the taker lies down: it will be kicked. So it does when little
// is left and others have been rung for, unless it is its turn: whoever is fastest must not get everything.
func (t *Taker) fill(ctx context.Context, max int, bytesMax int64, itsTurn bool) error {
	s := t.sub
	t.hurried = false
	if s.Filtered() {
		defer s.tell(unwantedRunsMax) // after the lock is given back; a log that fails says so itself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if itsTurn {
		s.bell.GetUp(&t.sleep) // not earlier, or another might think that nobody is on the way
	}
	if err := t.refusal(); err != nil {
		return err
	}
	q := s.leases()
	polite := !itsTurn && s.bell.Called() > 0 && s.waiting() <= max
	if !polite {
		if err := t.takeShare(ctx, q, max, bytesMax); err != nil || len(t.out) > 0 || t.hurried {
			return err
		}
	}
	if t.exhausted(q) || !polite && q.Has(t.holder) { // what comes next is too big for the credit that is left
		s.starve(t)
		if itsTurn {
			s.bell.Ring(1)
		}
		return nil
	}
	s.bell.LieDown(&t.sleep)
	if s.bell.Called() > 0 {
		return nil // they will look, and ring for the next
	}
	if err := t.takeShare(ctx, q, max, bytesMax); err != nil || len(t.out) > 0 || t.hurried {
		s.bell.GetUp(&t.sleep)
		return err
	}
	if q.Ready() > 0 { // too big, or of a key that another holds
		s.starve(t)
	}
	return nil
}

// starve remembers that the taker waits for something to be settled. The caller holds s.mu.
func (s *Subscription) starve(t *Taker) {
	q := s.queue
	if !slices.Contains(q.starved, t) {
		q.starved = append(q.starved, t)
	}
	q.choosy = q.choosy || !t.exhausted(q)
}

// exhausted says whether the taker's credit is used up.
func (t *Taker) exhausted(q *queue) bool {
	if !t.stream {
		return false
	}
	messages, bytes := q.Held(t.holder)
	return t.credit.MessagesMax > 0 && int64(messages) >= t.credit.MessagesMax ||
		t.credit.BytesMax > 0 && messages > 0 && bytes >= t.credit.BytesMax
}

// waiting is about how many messages could be taken at once. The caller holds s.mu.
func (s *Subscription) waiting() int {
	fresh := 0
	if end := s.durable.Topic.End(); end > s.cursor {
		fresh = int(min(uint64(end-s.cursor), math.MaxInt32))
	}
	return fresh + s.queue.Ready()
}

// share is how many messages one taker should take now, so that a few messages spread over all who wait.
func (s *Subscription) share() int {
	able := max(1, len(s.queue.takers)-len(s.queue.starved))
	return max(1, (s.waiting()+able-1)/able)
}

// takeShare leases the taker's share to it, at most max messages and about bytesMax bytes. The caller holds s.mu.
func (t *Taker) takeShare(ctx context.Context, q *queue, max int, bytesMax int64) error {
	s := t.sub
	now := s.office.Clock.Mono()
	deadline := t.deadline
	if deadline == 0 {
		deadline = s.terms.deadline
	}
	count, credit := t.allowance(q, min(max, s.share()))
	s.unwanted.begin()
	for taken := int64(0); len(t.out) < count && taken < bytesMax; {
		l, ok := q.Take(now, t.holder, credit, now+int64(deadline))
		if !ok {
			if more, err := s.admit(ctx, q, &t.reader); err != nil && len(t.out) == 0 {
				return fault.Status(err)
			} else if !more {
				t.hurried = s.unwanted.enough()
				break
			}
			continue
		}
		m, found, err := t.reader.Find(ctx, engine.Offset(l.Offset))
		if err != nil {
			q.Return(now, l.Handle, l.Offset)
			return fault.Status(err)
		}
		if !found || m.Offset != engine.Offset(l.Offset) || s.dropped(&l) {
			q.Drop(l.Handle, l.Offset) // past its retention: gone from the log, or done with
			s.bury()
			continue
		}
		credit -= int64(l.Bytes)
		taken += int64(l.Bytes)
		if !s.terms.counted {
			l.Attempt = 0
		}
		t.out = append(t.out, Delivery{Message: m.Bytes, ID: m.ID, Time: m.Time, Offset: m.Offset, Handle: l.Handle, Attempt: int32(l.Attempt)})
	}
	if t.chain = s.terms.chain; len(t.out) > 0 {
		s.arm(now)
		if q.choosy {
			s.feedStarved() // another message comes next now
		}
		if s.waiting() > 0 {
			s.bell.Ring(1) // there is more: let the next one have it
		}
	}
	return nil
}

// allowance is how many messages, of at most count, and how many bytes the taker's credit allows now.
func (t *Taker) allowance(q *queue, count int) (messages int, bytes int64) {
	bytes = math.MaxInt64
	if !t.stream {
		return count, bytes
	}
	held, heldBytes := q.Held(t.holder)
	if t.credit.MessagesMax > 0 {
		count = int(min(int64(count), t.credit.MessagesMax-int64(held)))
	}
	if t.credit.BytesMax > 0 {
		bytes = t.credit.BytesMax - heldBytes
	}
	return count, bytes
}
