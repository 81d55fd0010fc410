package lease

import (
	"time"

	"github.com/posthaste-io/posthaste/internal/wheel"
)

// Ack says that a message is done. Without ExactlyOnce any handle of it will do, as long as the queue has the message; what the queue
// does not have may be acknowledged elsewhere.
func (q *Queue) Ack(now int64, h Handle, offset uint64) Verdict {
	return q.ack(now, h, offset, false)
}

// Discard is Ack for a message that its holder is not to see: what it has of the key may be acknowledged later, with ExactlyOnce, too.
func (q *Queue) Discard(now int64, h Handle, offset uint64) Verdict {
	return q.ack(now, h, offset, true)
}

func (q *Queue) ack(now int64, h Handle, offset uint64, anyOrder bool) Verdict {
	e := q.find(h, offset)
	switch {
	case e == nil:
		return Unknown
	case e.state == forward:
		return Stale
	case q.rules.ExactlyOnce:
		if v := q.valid(now, h, e); v != Done {
			return v
		}
		if e.keyPrev != 0 && !anyOrder {
			return Unordered
		}
	}
	q.remove(h.Slot)
	q.shrink()
	return Done
}

// Nack says that a message could not be handled: it failed.
func (q *Queue) Nack(now int64, h Handle, offset uint64) Verdict {
	return q.Fail(now, h, offset, Nacked)
}

// Fail is Nack for an owner that knows better why the message failed.
func (q *Queue) Fail(now int64, h Handle, offset uint64, why Reason) Verdict {
	e := q.find(h, offset)
	if e == nil {
		return Unknown
	}
	if v := q.valid(now, h, e); v != Done {
		return v
	}
	q.fail(now, h.Slot, e, why)
	return Done
}

// Keyed says whether a message has an ordering key, by which the queue delivers it in order.
func (q *Queue) Keyed(h Handle, offset uint64) bool {
	e := q.find(h, offset)
	return e != nil && e.key != 0
}

// Reject is Nack for a message that would fail at once again: it waits at least so many nanoseconds, without a backoff too.
func (q *Queue) Reject(now int64, h Handle, offset uint64, least int64) Verdict {
	q.least = least
	defer func() { q.least = 0 }()
	return q.Nack(now, h, offset)
}

// Extend replaces the deadline of a lease, by a later or an earlier one.
func (q *Queue) Extend(now int64, h Handle, offset uint64, deadline int64) Verdict {
	e := q.find(h, offset)
	if e == nil {
		return Unknown
	}
	if v := q.valid(now, h, e); v != Done {
		return v
	}
	q.wheel.Set(now, h.Slot, deadline)
	return Done
}

// Return puts a message that could not be handed over back into the line, without counting a failure.
func (q *Queue) Return(now int64, h Handle, offset uint64) Verdict {
	e := q.find(h, offset)
	if e == nil {
		return Unknown
	}
	if e.state != out || e.turn != h.Turn {
		return Stale
	}
	holder := Holder(e.holder)
	q.requeue(h.Slot, e)
	q.offer(h.Slot, e)
	q.dismiss(holder)
	return Done
}

// Drop forgets a message whatever its state, unless it is being forwarded: one that turned out to be done with, or gone from the log.
// Other than Ack it asks nothing of the handle but that it names the message.
func (q *Queue) Drop(h Handle, offset uint64) Verdict {
	e := q.find(h, offset)
	if e == nil {
		return Unknown
	}
	if e.state == forward {
		return Stale
	}
	q.remove(h.Slot)
	q.shrink()
	return Done
}

// find is the message that a handle was given for, whoever has it now; nil if the queue has it no more.
func (q *Queue) find(h Handle, offset uint64) *entry {
	if h.Slot >= q.entries.size || !q.turns.Has(h) {
		return nil
	}
	e := q.entries.at(h.Slot)
	if e.state <= anchor || e.offset != offset {
		return nil
	}
	return e
}

// valid says whether a handle is that of a lease that stands. Without ExactlyOnce a lease stands until Expire has noticed its end.
func (q *Queue) valid(now int64, h Handle, e *entry) Verdict {
	switch {
	case e.turn != h.Turn:
		return Stale
	case e.state != out:
		return Expired
	case !q.rules.ExactlyOnce:
		return Done
	}
	if deadline, set := q.wheel.At(h.Slot); !set || deadline <= now {
		return Expired
	}
	return Done
}

// Expire deals with leases whose deadline has passed, and lets go what has waited long enough. It returns how many of both. Of very many
// it deals with some: it looks at no more than most, and Next then says that it should be called again at once. What comes later in that
// case of what ends at one time is in no order, but for ordering keys.
func (q *Queue) Expire(now int64, most int) int {
	q.batch = q.batch[:0]
	for slot, ok := q.wheel.Due(now, &most); ok; slot, ok = q.wheel.Due(now, &most) {
		q.batch = append(q.batch, slot)
	}
	q.sortBatch()
	for _, slot := range q.batch {
		switch e := q.entries.at(slot); e.state {
		case out:
			first := q.firstExpired(now, slot)
			q.fail(now, first, q.entries.at(first), DeadlineExpired)
		case waiting:
			q.become(e, behind)
			q.offer(slot, e)
		default: // its lease ended with that of an earlier one of its key, just before
		}
	}
	return len(q.batch)
}

// firstExpired is the message whose failure takes this one, whose lease is over, along: the earliest before it in its key's chain up to
// which all leases are over. The wheel may not have come to that one yet.
func (q *Queue) firstExpired(now int64, slot uint32) uint32 {
	for {
		before := q.entries.at(slot).keyPrev
		if before == 0 || q.entries.at(before).state != out {
			return slot
		}
		if deadline, set := q.wheel.At(before); set && deadline/wheel.Tick >= now/wheel.Tick {
			return slot
		}
		slot = before
	}
}

// fail counts a failure and decides what becomes of the message.
func (q *Queue) fail(now int64, slot uint32, e *entry, why Reason) {
	holder := Holder(e.holder)
	q.requeue(slot, e)
	e.reason = why
	if e.failures++; e.failures == 0 {
		e.failures--
	}
	wait := int64(0)
	if q.hopeless(e) {
		q.become(e, dead)
		q.bury(slot, e)
	} else {
		wait = q.backoff(e.failures)
		q.delay(now, slot, e, wait)
	}
	if q.rules.Journal {
		q.failed = append(q.failed, Failure{Offset: e.offset, Failures: uint32(e.failures), Reason: why, Wait: time.Duration(wait)})
	}
	q.dismiss(holder)
}

// hopeless says whether a message failed as often as the rules allow.
func (q *Queue) hopeless(e *entry) bool {
	return q.rules.AttemptsMax > 0 && int(e.failures) >= q.rules.AttemptsMax
}

// delay lets a message wait before it is offered again.
func (q *Queue) delay(now int64, slot uint32, e *entry, wait int64) {
	if wait > 0 {
		q.become(e, waiting)
		q.wheel.Set(now, slot, now+wait)
		return
	}
	q.offer(slot, e)
}

// backoff is how long a message waits that failed so often, in nanoseconds.
func (q *Queue) backoff(failures uint16) int64 {
	least := max(int64(q.rules.BackoffMin), q.least)
	most := max(least, int64(q.rules.BackoffMax))
	if least <= 0 {
		return 0
	}
	wait := least
	for range max(failures, 1) - 1 {
		if wait >= most/2 {
			wait = most
			break
		}
		wait *= 2
	}
	if room := uint64(wait / 10); room > 0 {
		wait += int64(q.draw() % room)
	}
	return min(wait, most)
}

// draw is the next number of a splitmix64 sequence: good enough for jitter, 8 bytes of state.
func (q *Queue) draw() uint64 {
	q.random += 0x9e3779b97f4a7c15
	z := q.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Failures appends to dst the failures since the last call, with Rules.Journal, so that counts can outlive the process.
func (q *Queue) Failures(dst []Failure) []Failure {
	dst = append(dst, q.failed...)
	q.failed = q.failed[:0]
	return dst
}

// Dead is a message that failed as often as the rules allow, for the owner to forward. Forwarded or ForwardFailed must follow; until
// then the message's key, if it has one, is held up. Of one key, messages come in order.
func (q *Queue) Dead() (l Lease, why Reason, ok bool) {
	slot := q.first(q.graves)
	if slot == 0 {
		return Lease{}, 0, false
	}
	e := q.entries.at(slot)
	q.unlink(e)
	q.become(e, forward)
	if e.turn == 0 {
		e.turn = q.turns.next() // it was never given out; the owner needs a handle
	}
	return Lease{Handle: Handle{Slot: slot, Turn: e.turn}, Offset: e.offset, Bytes: e.bytes, Attempt: uint32(e.failures)}, e.reason, true
}

// Forwarded says that a dead message is safe elsewhere: it is done here. False means that the queue was reset meanwhile.
func (q *Queue) Forwarded(h Handle, offset uint64) bool {
	e := q.find(h, offset)
	if e == nil || e.state != forward || e.turn != h.Turn {
		return false
	}
	q.remove(h.Slot)
	q.shrink()
	return true
}

// Burials says whether Dead has a message to give.
func (q *Queue) Burials() bool { return q.first(q.graves) != 0 }

// ForwardFailed says that a dead message could not be forwarded: it is delivered again, after its backoff and no earlier than after the
// wait, and is dead again if that fails too. False means that the queue was reset meanwhile.
func (q *Queue) ForwardFailed(now int64, h Handle, offset uint64, wait time.Duration) bool {
	e := q.find(h, offset)
	if e == nil || e.state != forward || e.turn != h.Turn {
		return false
	}
	q.become(e, behind)
	q.delay(now, h.Slot, e, max(int64(wait), q.backoff(e.failures)))
	return true
}
