// Package wheel is a hashed timing wheel: one place that waits for every ack deadline, backoff and delay of a subscription.
//
// Items are dense small numbers, the slots of somebody's slab, so that an item costs 16 bytes and nothing is allocated per operation.
// There is no clock inside: now is an argument, in nanoseconds of a clock that never goes back.
//
// Three rules, which the code below keeps visible:
//
//  1. An item is due when the tick of its time is over: never before its time, and at most one [Tick] after it.
//  2. An item sits in the slot of its time, or in an earlier one: a later slot would break rule 1.
//  3. Slots stand for the ticks [cursor, cursor+len(heads)), each for exactly one, and hold every item that is set.
//
// Rule 2 is what makes moving a deadline forward one store: the item stays where it is, and is put into its proper slot when the
// old one comes up. The same holds for items beyond the horizon, which are parked in the last slot.
package wheel

import "math/bits"

const (
	tickBits = 26
	// Tick is the width of a slot, about 67 ms: a power of two so that a slot is found with a shift, and short enough that together
	// with a late timer an expiry is noticed within 100 ms.
	Tick = int64(1) << tickBits

	// A wheel begins with slotsFew (a horizon of 17 s in 1 KiB) and goes to slotsMany (68 s, more than the lease that clients ask for
	// by default) once it holds enough items for parking to cost more than the slots.
	slotsFew  = 256
	slotsMany = 1024
	manyItems = 2 * slotsFew

	pageBits  = 10
	pageNodes = 1 << pageBits

	// firstMark in prev says: first of its slot, whose number is in the other bits.
	firstMark = uint32(1) << 31
)

// Wheel holds items and the times at which they are due. The zero value is an empty wheel and costs nothing. Not safe for concurrent use.
type Wheel struct {
	cursor int64    // tick of the earliest slot
	count  int      // items that are set
	heads  []uint32 // per slot: number+1 of its first item, 0 for none
	busy   []uint64 // bit per slot that has an item
	// Nodes by item. Pages and not one slice, so that growing never copies millions of nodes; the first page grows by doubling, since
	// most subscriptions never have more than a handful of messages out.
	pages [][]node
}

// node is an item. Links hold item numbers + 1.
type node struct {
	at   int64
	next uint32 // 0: last of its slot
	prev uint32 // 0: not set
}

// Len is how many items are set.
func (w *Wheel) Len() int { return w.count }

// Set makes the item due at a time, instead of when it was due before. A time that is past counts as now. Items are numbers below
// 2^31-1, best small ones.
func (w *Wheel) Set(now int64, item uint32, at int64) {
	at = max(at, now)
	n := w.grown(item)
	switch {
	case n.prev == 0:
		w.begin(now)
		w.count++
	case at >= n.at:
		n.at = at // rule 2 holds without a move
		return
	default:
		w.unlink(n)
	}
	n.at = at
	w.link(item, n)
	if w.count > manyItems && len(w.heads) < slotsMany {
		w.widen()
	}
}

// Clear forgets the item. It need not be set.
func (w *Wheel) Clear(item uint32) {
	if int(item>>pageBits) >= len(w.pages) || int(item%pageNodes) >= len(w.pages[item>>pageBits]) {
		return
	}
	if n := w.node(item); n.prev != 0 {
		w.unlink(n)
		n.prev = 0
		w.count--
	}
}

// At is when the item is due; ok is false when it is not set.
func (w *Wheel) At(item uint32) (at int64, ok bool) {
	if int(item>>pageBits) >= len(w.pages) || int(item%pageNodes) >= len(w.pages[item>>pageBits]) {
		return 0, false
	}
	n := w.node(item)
	return n.at, n.prev != 0
}

// Due takes out one item that is due, earlier ticks first, in no order within a tick. Call it until ok is false; items may be set and
// cleared in between. It counts left down by each item that it looks at, and gives up at 0: what it has not come to then is what Next
// gives, and another call goes on there.
func (w *Wheel) Due(now int64, left *int) (item uint32, ok bool) {
	end := now >> tickBits // ticks before this one are over
	if w.count == 0 {
		return 0, false
	}
	if behind := end - int64(len(w.heads)); w.cursor < behind {
		w.cursor = behind // after a long pause all slots are over: one round meets each item once
	}
	for ; w.cursor < end && *left > 0; *left-- {
		ahead := w.firstBusy()
		if w.cursor+ahead >= end {
			w.cursor = end
			break
		}
		w.cursor += ahead
		item = w.heads[w.slot(w.cursor)] - 1
		n := w.node(item)
		w.unlink(n)
		if n.at>>tickBits < end {
			n.prev = 0
			w.count--
			*left--
			return item, true
		}
		w.link(item, n) // its time was moved, or it was parked: its tick is after the cursor's, so this ends
	}
	return 0, false
}

// Next is when Due should be called: the end of the earliest slot that holds an item. That item may turn out to be due later.
func (w *Wheel) Next() (at int64, ok bool) {
	if w.count == 0 {
		return 0, false
	}
	return (w.cursor + w.firstBusy() + 1) << tickBits, true
}

// Shrink gives memory back if no item is set, up to a little that is kept for the next ones.
func (w *Wheel) Shrink() {
	if w.count == 0 && len(w.pages) > 1 {
		clear(w.pages[1:])
		w.pages = w.pages[:1]
	}
}

// begin makes room for slots, and brings an empty wheel's cursor to the present: while it was empty nobody had to call Due.
func (w *Wheel) begin(now int64) {
	if w.heads == nil {
		w.heads = make([]uint32, slotsFew)
		w.busy = make([]uint64, slotsFew/64)
		w.cursor = now >> tickBits
	}
	if w.count == 0 {
		w.cursor = max(w.cursor, now>>tickBits)
	}
}

// widen replaces the slots by more of them.
func (w *Wheel) widen() {
	old := w.heads
	w.heads = make([]uint32, slotsMany)
	w.busy = make([]uint64, slotsMany/64)
	for _, first := range old {
		for link := first; link != 0; {
			n := w.node(link - 1)
			item, next := link-1, n.next
			w.link(item, n)
			link = next
		}
	}
}

// link puts a node into the slot of its time: the last one if that lies beyond the horizon, the earliest for a clock that went back.
func (w *Wheel) link(item uint32, n *node) {
	tick := min(max(n.at>>tickBits, w.cursor), w.cursor+int64(len(w.heads))-1)
	slot := w.slot(tick)
	n.next, n.prev = w.heads[slot], firstMark|slot
	if n.next != 0 {
		w.node(n.next - 1).prev = item + 1
	}
	w.heads[slot] = item + 1
	w.busy[slot/64] |= 1 << (slot % 64)
}

// unlink takes a node out of its slot; the caller sets prev.
func (w *Wheel) unlink(n *node) {
	if n.next != 0 {
		w.node(n.next - 1).prev = n.prev
	}
	if n.prev&firstMark == 0 {
		w.node(n.prev - 1).next = n.next
		return
	}
	slot := n.prev &^ firstMark
	w.heads[slot] = n.next
	if n.next == 0 {
		w.busy[slot/64] &^= 1 << (slot % 64)
	}
}

// firstBusy is the distance, in ticks, from the cursor to the first slot that holds an item. There must be one.
func (w *Wheel) firstBusy() int64 {
	from := w.slot(w.cursor)
	words := uint32(len(w.busy))
	word := from / 64
	set := w.busy[word] &^ (1<<(from%64) - 1)
	for range words {
		if set != 0 {
			break
		}
		word = (word + 1) % words
		set = w.busy[word] // the last round sees the first word again, with the bits before the cursor
	}
	if set == 0 {
		panic("bug: wheel: items are counted that no slot holds")
	}
	found := word*64 + uint32(bits.TrailingZeros64(set))
	return int64((found - from) % uint32(len(w.heads)))
}

func (w *Wheel) slot(tick int64) uint32 { return uint32(tick) & uint32(len(w.heads)-1) }

func (w *Wheel) node(item uint32) *node { return &w.pages[item>>pageBits][item%pageNodes] }

// grown is the node of an item, made if there is none yet.
func (w *Wheel) grown(item uint32) *node {
	for int(item>>pageBits) >= len(w.pages) {
		w.pages = append(w.pages, nil)
	}
	page := &w.pages[item>>pageBits]
	if int(item%pageNodes) >= len(*page) {
		w.growPage(page, item)
	}
	return &(*page)[item%pageNodes]
}

func (w *Wheel) growPage(page *[]node, item uint32) {
	size := pageNodes
	if item < pageNodes {
		size = max(8, 1<<bits.Len32(item))
	}
	grown := make([]node, size)
	copy(grown, *page)
	*page = grown
}
