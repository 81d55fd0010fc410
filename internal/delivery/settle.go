package delivery

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/fault"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// records and settlements are scratch that would otherwise be made for each request.
var (
	records     = sync.Pool{New: func() any { return new([1]engine.Record) }}
	settlements = sync.Pool{New: func() any { return new(settlement) }}
)

// settlement collects the offsets that one request acknowledges.
type settlement struct {
	offsets []uint64
	note    []byte
}

// Verdict is what became of an ack id.
type Verdict = lease.Verdict

// What a front tells apart of verdicts; all but Done and Unordered are permanent failures.
const (
	Done      = lease.Done
	Stale     = lease.Stale
	Expired   = lease.Expired
	Unknown   = lease.Unknown
	Unordered = lease.Unordered
)

// Properties are what a subscriber's library wants to know of the subscription.
func (s *Subscription) Properties() (exactlyOnce, ordered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terms.rules.ExactlyOnce, s.terms.rules.Ordered
}

// Ack acknowledges messages. With wait it returns when that is durable; without, a crash within engine.LazyMax may undo it. What became
// of each id is written to verdicts unless that is nil; an id of a message that is no longer out takes no effect.
func (s *Subscription) Ack(ctx context.Context, ids []wire.AckID, verdicts []Verdict, wait bool) error {
	return s.ackAll(ctx, ids, verdicts, wait, false)
}

// ackAll is Ack; discard says that nobody saw the messages.
func (s *Subscription) ackAll(ctx context.Context, ids []wire.AckID, verdicts []Verdict, wait, discard bool) error {
	set := settlements.Get().(*settlement)
	defer settlements.Put(set)
	set.offsets = set.offsets[:0]
	now := s.office.Clock.Mono()
	s.Usage.Touch(now)
	s.mu.Lock()
	for i := range ids {
		v := s.ack(now, &ids[i], discard)
		if v == lease.Done || wait && s.unsettled(&ids[i], v) {
			set.offsets = append(set.offsets, ids[i].Offset)
		}
		if verdicts != nil {
			verdicts[i] = v
		}
	}
	seeks := s.seeks
	s.feedStarved()
	if s.terms.rules.Ordered && s.queue != nil && s.queue.Ready() > 0 {
		s.bell.Ring(1) // a key that its holder is done with may go to another
	}
	s.mu.Unlock()
	if len(set.offsets) == 0 {
		return nil
	}
	slices.Sort(set.offsets)
	set.note = ledger.AppendAcked(set.note[:0], s.durable.ID, seeks, set.offsets)
	one := records.Get().(*[1]engine.Record)
	defer records.Put(one)
	one[0] = engine.Record{Kind: engine.KindNote, Body: set.note}
	if wait {
		// Whether or not the caller waits any longer, the leases have ended: the log must hear of it.
		return fault.Status(s.office.Shard.Append(context.Background(), one[:]))
	}
	return fault.Status(s.office.Shard.Enqueue(one[:]))
}

// ack settles one message; Done says that the log must hear of it. The caller holds s.mu.
func (s *Subscription) ack(now int64, id *wire.AckID, discard bool) lease.Verdict {
	if id.Epoch == s.office.epoch() {
		switch h := (lease.Handle{Slot: id.Slot, Turn: id.Turn}); {
		case s.queue == nil:
			return lease.Unknown
		case discard:
			return s.queue.Discard(now, h, id.Offset)
		default:
			return s.queue.Ack(now, h, id.Offset)
		}
	}
	// Given out before a restart: it still counts as long as the message was not offered again and the subscription was not moved.
	off := engine.Offset(id.Offset)
	if uint64(id.Epoch) <= s.durable.Sought().Epoch || s.terms.rules.ExactlyOnce || off < s.cursor || off >= s.recovered || s.durable.Acked(off) {
		return lease.Unknown
	}
	return lease.Done
}

// unsettled says whether a message was acknowledged before, by somebody who did not wait, and the log has not taken that in yet: whoever
// waits must not be told so earlier. Saying it to the log twice does no harm. The caller holds s.mu.
func (s *Subscription) unsettled(id *wire.AckID, v Verdict) bool {
	off := engine.Offset(id.Offset)
	return v == lease.Unknown && id.Epoch == s.office.epoch() && !s.terms.rules.ExactlyOnce && off < s.cursor && !s.durable.Acked(off) &&
		s.valid(lease.Handle{Slot: id.Slot, Turn: id.Turn})
}

// Modify gives messages a new ack deadline from now; 0 gives them back at once, or after their backoff. What became of each id is
// written to verdicts unless that is nil; an id of a message that is no longer out takes no effect.
func (s *Subscription) Modify(ids []wire.AckID, verdicts []Verdict, deadline time.Duration) {
	s.modifyAll(ids, verdicts, deadline, lease.Nacked)
}

// Fail gives messages back, at once or after their backoff, for a reason that their dead letters will tell.
func (s *Subscription) Fail(ids []wire.AckID, why Reason) { s.modifyAll(ids, nil, 0, why) }

func (s *Subscription) modifyAll(ids []wire.AckID, verdicts []Verdict, deadline time.Duration, why Reason) {
	s.record(s.modifyLocked(ids, verdicts, deadline, why))
}

// modifyLocked is modifyAll under the lock; it returns what is for record.
func (s *Subscription) modifyLocked(ids []wire.AckID, verdicts []Verdict, deadline time.Duration, why Reason) (failed journal) {
	now := s.office.Clock.Mono()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil {
		for i := range verdicts {
			verdicts[i] = lease.Unknown
		}
		return journal{}
	}
	order := s.nackOrder(ids, deadline)
	for i := range ids {
		if order != nil {
			i = order[i]
		}
		v := s.modify(now, &ids[i], deadline, why)
		if verdicts != nil {
			verdicts[i] = v
		}
	}
	failed = s.failed()
	s.arm(now)
	s.bell.Ring(s.queue.Ready())
	s.feedStarved()
	return failed
}

// nackOrder is the order in which the nacks of one request are taken; nil is the given one. A nack ends the leases of all later messages of its
// ordering key, so that their own nacks, which clients send in no order, would be refused and not count as failures: of messages with a key
// the later come first. Others come back in the order given. The caller holds s.mu.
func (s *Subscription) nackOrder(ids []wire.AckID, deadline time.Duration) []int {
	if deadline > 0 || len(ids) < 2 || !s.terms.rules.Ordered {
		return nil
	}
	order, others := make([]int, 0, len(ids)), []int(nil)
	for i, id := range ids {
		if s.queue.Keyed(lease.Handle{Slot: id.Slot, Turn: id.Turn}, id.Offset) {
			order = append(order, i)
		} else {
			others = append(others, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ids[b].Offset, ids[a].Offset) })
	return append(order, others...)
}

// modify changes one deadline. The caller holds s.mu.
func (s *Subscription) modify(now int64, id *wire.AckID, deadline time.Duration, why Reason) lease.Verdict {
	if id.Epoch != s.office.epoch() {
		return lease.Unknown
	}
	h := lease.Handle{Slot: id.Slot, Turn: id.Turn}
	if deadline > 0 {
		return s.queue.Extend(now, h, id.Offset, now+int64(deadline))
	}
	return s.queue.Fail(now, h, id.Offset, why)
}

// feedStarved wakes the takers that have credit again, and the forwarder if there is something for it. The caller holds s.mu.
func (s *Subscription) feedStarved() {
	if s.queue == nil {
		return
	}
	s.bury()
	q := s.queue
	keep := q.starved[:0]
	q.choosy = false
	for _, t := range q.starved {
		if t.exhausted(q) {
			keep = append(keep, t)
			continue
		}
		t.Kick()
	}
	clear(q.starved[len(keep):])
	q.starved = keep
	s.relax()
}

// arm sets the timer for the next deadline, if it is not set for that or an earlier one. The caller holds s.mu.
func (s *Subscription) arm(now int64) {
	q := s.queue
	at, ok := q.Next()
	if !ok || q.wakeAt != 0 && q.wakeAt <= at {
		return
	}
	q.wakeAt = at
	wait := time.Duration(max(0, at-now))
	if q.timer == nil {
		q.timer = s.office.Clock.AfterFunc(wait, s.expire)
		return
	}
	q.timer.Reset(wait)
}

// expireMax bounds how many leases end under the subscription's lock at a time: about 5 ms of work. Millions may end at one moment.
const expireMax = 20_000

// expire offers again what was not acknowledged in time.
func (s *Subscription) expire() { s.record(s.expireLocked()) }

// expireLocked is expire under the lock; it returns what is for record.
func (s *Subscription) expireLocked() (failed journal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil {
		return journal{}
	}
	s.queue.wakeAt = 0
	now := s.office.Clock.Mono()
	s.queue.Expire(now, expireMax) // if that was not all, the timer rings at once
	failed = s.failed()
	s.arm(now)
	s.feedStarved()
	if s.queue != nil {
		s.bell.Ring(s.queue.Ready())
	}
	return failed
}
