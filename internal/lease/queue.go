package lease

import (
	"cmp"
	"math"
	"slices"

	"github.com/posthaste-io/posthaste/internal/wheel"
)

const (
	// againMax is how many hand-outs in a row may go to messages that were out before while new ones wait.
	againMax = 7

	// pagesKept is how many pages of the slab, 48 KiB each, an empty queue keeps for the next messages.
	pagesKept = 16
)

// Queue is the delivery state of one subscription. Not safe for concurrent use.
type Queue struct {
	rules   Rules
	entries slab[entry] // 0 is not used
	free    uint32      // first free slot
	counts  [states]int
	bytes   int64 // of all messages
	wheel   wheel.Wheel
	keys    keys
	holders []holder // by Holder; 0 is there always
	lines   lines    // for whoever comes
	graves  uint32   // list of the dead
	turns   Turns
	streak  int    // hand-outs since the last of a new message
	random  uint64 // of the jitter
	least   int64  // how long what fails now waits at least
	unseen  uint64 // the lowest offset that may be admitted next
	lowest  uint64 // no message has a lower offset
	out     int64  // bytes that are out
	batch   []uint32
	failed  []Failure
}

// lines are the messages that can be taken.
type lines struct{ again, fresh uint32 }

// of is the line for a message.
func (l *lines) of(e *entry) uint32 {
	if e.turn != 0 {
		return l.again
	}
	return l.fresh
}

// holder is what somebody has.
type holder struct {
	lines    lines  // firsts of keys that stick to the holder
	list     uint32 // what is out
	messages int
	bytes    int64
	status   status
}

type status uint8

const (
	absent status = iota
	joined
	retired // takes no more; gone when the last message is
)

// New is an empty queue. The seed decides the jitter of backoffs and the first turn; where queues for one subscription follow each other
// and their handles must not be mixed up, give each another.
func New(r Rules, seed uint64) *Queue {
	q := &Queue{rules: r, random: seed, lowest: math.MaxUint64}
	q.entries.add()
	first := uint32(q.draw())
	q.turns = Turns{void: first, last: first}
	q.lines = q.newLines()
	q.graves = q.newAnchor()
	q.holders = append(q.holders, q.newHolder())
	return q
}

func (q *Queue) newLines() lines { return lines{again: q.newAnchor(), fresh: q.newAnchor()} }

func (q *Queue) newHolder() holder {
	return holder{lines: q.newLines(), list: q.newAnchor(), status: joined}
}

// Turns says which handles the queue, and those that it goes on from, gave out.
func (q *Queue) Turns() Turns { return q.turns }

// GoOn makes a new queue number its hand-outs from where another ended, so that the handles of the two cannot be mixed up.
func (q *Queue) GoOn(from Turns) { q.turns = from }

// SetRules replaces the rules. What already waits or died is left as it is.
func (q *Queue) SetRules(r Rules) { q.rules = r }

// Len is how many messages the queue has.
func (q *Queue) Len() int {
	return q.counts[ready] + q.counts[behind] + q.counts[waiting] + q.counts[out] + q.counts[dead] + q.counts[forward]
}

// Ready is how many messages wait for a holder, or for an earlier message of their key. They can be taken one after the other if no key
// is held up.
func (q *Queue) Ready() int { return q.counts[ready] + q.counts[behind] }

// Waiting is how many messages wait for the end of a backoff or delay.
func (q *Queue) Waiting() int { return q.counts[waiting] }

// Outstanding is how many messages are out.
func (q *Queue) Outstanding() int { return q.counts[out] }

// Ahead is what has been read from the log and is not out, dead messages included: what the owner should bound.
func (q *Queue) Ahead() (messages int, bytes int64) { return q.Len() - q.counts[out], q.bytes - q.out }

// Held is what a holder has.
func (q *Queue) Held(h Holder) (messages int, bytes int64) {
	o := q.holder(h)
	return o.messages, o.bytes
}

// Has says whether Take would find something for the holder, given credit enough.
func (q *Queue) Has(h Holder) bool { return q.pick(h) != 0 }

// Admit takes in a message that was read from the log. Offsets must grow, except after Reset. The key counts only with Rules.Ordered;
// it is not kept.
func (q *Queue) Admit(offset uint64, bytes uint32, key []byte) {
	slot := q.admit(offset, bytes, key)
	q.offer(slot, q.entries.at(slot))
}

// AdmitAt is Admit for a message with a past: one that failed before a restart, or that must be delayed. With an ordering key, a delay
// holds up all that follows of the key.
func (q *Queue) AdmitAt(now int64, offset uint64, bytes uint32, key []byte, p Past) {
	slot := q.admit(offset, bytes, key)
	e := q.entries.at(slot)
	e.failures, e.reason = uint16(min(p.Failures, math.MaxUint16)), p.Reason
	if q.hopeless(e) {
		q.become(e, dead)
		q.bury(slot, e)
		return
	}
	if p.NotBefore > now {
		q.become(e, waiting)
		q.wheel.Set(now, slot, p.NotBefore)
		return
	}
	q.offer(slot, e)
}

func (q *Queue) admit(offset uint64, bytes uint32, key []byte) uint32 {
	if offset < q.unseen {
		panic("bug: lease: offset admitted twice, or out of order")
	}
	q.unseen = offset + 1
	q.lowest = min(q.lowest, offset)
	slot := q.newEntry(behind)
	e := q.entries.at(slot)
	e.offset, e.bytes = offset, bytes
	q.bytes += int64(bytes)
	if q.rules.Ordered && len(key) > 0 {
		q.enchain(q.keys.find(key), slot, e)
	}
	return slot
}

// offer lets a message that nothing holds up be taken, or stand behind its key's first.
func (q *Queue) offer(slot uint32, e *entry) {
	if e.key == 0 {
		q.become(e, ready)
		q.push(q.lines.of(e), slot)
	} else if c := q.keys.chains.at(e.key); c.pending == slot {
		q.wake(c)
	}
}

// Take gives the next message to a holder until the deadline. bytesMax is what is left of the holder's credit: a bigger message is given
// only if the holder has nothing, and nothing is given past it. ok is false when there is nothing for the holder.
func (q *Queue) Take(now int64, h Holder, bytesMax int64, deadline int64) (l Lease, ok bool) {
	o := q.holder(h)
	if o.status != joined {
		panic("bug: lease: a holder that retired takes")
	}
	slot := q.pick(h)
	if slot == 0 {
		return Lease{}, false
	}
	e := q.entries.at(slot)
	if int64(e.bytes) > bytesMax && o.messages > 0 {
		return Lease{}, false
	}
	q.streak++
	if e.turn == 0 {
		q.streak = 0
	}
	q.unlink(e)
	q.become(e, out)
	e.turn, e.holder = q.turns.next(), uint32(h)
	q.push(o.list, slot)
	o.messages++
	o.bytes += int64(e.bytes)
	q.out += int64(e.bytes)
	q.wheel.Set(now, slot, deadline)
	if e.key != 0 {
		c := q.keys.chains.at(e.key)
		c.out++
		c.holder, c.pending = h, e.keyNext
		q.wake(c)
	}
	return Lease{Handle: Handle{Slot: slot, Turn: e.turn}, Offset: e.offset, Bytes: e.bytes, Attempt: e.attempt()}, true
}

// pick is the message that the holder gets next, 0 if there is none.
func (q *Queue) pick(h Holder) uint32 {
	own := q.holders[h].lines
	if h == 0 {
		own = q.lines // whoever it is now, it is not who has the rest of the key
	}
	again := q.earlier(own.again, q.lines.again)
	if again != 0 && q.streak < againMax {
		return again
	}
	if fresh := q.earlier(own.fresh, q.lines.fresh); fresh != 0 {
		return fresh
	}
	return again
}

// earlier is which of the firsts of two lines has the lower offset.
func (q *Queue) earlier(a, b uint32) uint32 {
	x, y := q.first(a), q.first(b)
	if x == 0 || y != 0 && q.entries.at(y).offset < q.entries.at(x).offset {
		return y
	}
	return x
}

// Next is when Expire should be called, at the latest; ok is false when nothing is out or waits.
func (q *Queue) Next() (at int64, ok bool) { return q.wheel.Next() }

// DropBefore forgets all messages below an offset, those that are out too; it leaves alone what is being forwarded. It returns how many.
// It looks at every message, but only if there is one to drop.
func (q *Queue) DropBefore(offset uint64) int {
	if offset <= q.lowest {
		return 0
	}
	dropped, lowest := 0, uint64(math.MaxUint64)
	for slot := uint32(1); slot < q.entries.size; slot++ {
		e := q.entries.at(slot)
		switch {
		case e.state == free || e.state == anchor:
		case e.offset < offset && e.state != forward:
			q.remove(slot)
			dropped++
		default:
			lowest = min(lowest, e.offset)
		}
	}
	q.lowest = lowest
	q.shrink()
	return dropped
}

// Reset forgets all messages, as for a seek: any offset may be admitted again. Holders stay; handles from before are void.
func (q *Queue) Reset() {
	for slot := uint32(1); slot < q.entries.size; slot++ {
		switch e := q.entries.at(slot); e.state {
		case free:
		case anchor:
			q.empty(slot)
		default:
			q.wheel.Clear(slot)
			q.freeEntry(slot)
		}
	}
	q.keys.reset()
	q.turns.Void()
	q.bytes, q.out, q.streak, q.unseen, q.lowest = 0, 0, 0, 0, math.MaxUint64
	q.failed = nil
	for h := range q.holders {
		q.holders[h].messages, q.holders[h].bytes = 0, 0
		q.dismiss(Holder(h))
	}
	q.shrink()
}

// remove forgets a message, in whatever state it is, and lets its key go on.
func (q *Queue) remove(slot uint32) {
	e := q.entries.at(slot)
	was, h := e.state, Holder(e.holder)
	switch {
	case was == out:
		q.takeBack(slot, e)
	case was == waiting:
		q.wheel.Clear(slot)
	case e.next != 0:
		q.unlink(e)
	}
	if e.key != 0 {
		q.unchain(slot, e, was == out)
	}
	q.bytes -= int64(e.bytes)
	q.freeEntry(slot)
	if was == out {
		q.dismiss(h)
	}
}

// takeBack ends a lease. The message then is in no list.
func (q *Queue) takeBack(slot uint32, e *entry) {
	o := &q.holders[e.holder]
	o.messages--
	o.bytes -= int64(e.bytes)
	q.out -= int64(e.bytes)
	q.unlink(e)
	q.wheel.Clear(slot)
	q.become(e, behind)
	if e.key != 0 {
		q.keys.chains.at(e.key).out--
	}
}

// requeue ends a lease and, rule 3, those of all later messages of its key.
func (q *Queue) requeue(slot uint32, e *entry) {
	if e.key == 0 {
		q.takeBack(slot, e)
		return
	}
	c := q.keys.chains.at(e.key)
	if c.pending != 0 {
		if p := q.entries.at(c.pending); p.state == ready {
			q.unlink(p)
			q.become(p, behind)
		}
	}
	c.pending = slot
	for at := slot; at != 0; {
		later := q.entries.at(at)
		if later.state != out {
			break
		}
		q.takeBack(at, later)
		at = later.keyNext
	}
}

// sortBatch puts the batch into the order of offsets, in which a key's messages must be looked at.
func (q *Queue) sortBatch() {
	slices.SortFunc(q.batch, func(a, b uint32) int {
		return cmp.Compare(q.entries.at(a).offset, q.entries.at(b).offset)
	})
}

// shrink gives back what an empty queue has no use for. Anchors keep their slots.
func (q *Queue) shrink() {
	if len(q.entries.pages) <= pagesKept || q.Len() > 0 {
		return
	}
	size := uint32(1)
	for slot := uint32(1); slot < q.entries.size; slot++ {
		if q.entries.at(slot).state == anchor {
			size = slot + 1
		}
	}
	q.entries.cut(size)
	q.free = 0
	for slot := size - 1; slot > 0; slot-- {
		if e := q.entries.at(slot); e.state == free {
			e.next, q.free = q.free, slot
		}
	}
	q.wheel.Shrink()
	q.keys.reset()
	q.batch = nil
}
