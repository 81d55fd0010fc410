package lease

// state is where a message is.
type state uint8

const (
	free    state = iota // no message: in the list of free slots
	anchor               // no message: both ends of a list
	ready                // in a line, to be taken
	behind               // in no list: behind another message of its key
	waiting              // in the wheel until its backoff or delay is over
	out                  // in its holder's list, and in the wheel until its deadline
	dead                 // in the list of the dead, or, while an earlier one of its key is there, in none
	forward              // in no list: the owner forwards it to the dead letter topic
	states
)

// entry is a message, 48 bytes; with its node in the wheel 64. Numbers instead of pointers: the garbage collector does not look inside.
type entry struct {
	offset uint64
	bytes  uint32
	turn   uint32 // of the last hand-out; 0: never given out
	holder uint32 // of out
	key    uint32 // 0: none
	// In a list, which is a ring through its anchor so that leaving it takes no knowledge of which one it is. next is 0 in no list.
	// Of a free slot, next is the next free slot.
	next, prev uint32
	// In the chain of its key, by offset.
	keyNext, keyPrev uint32
	failures         uint16
	reason           Reason // of the last failure
	state            state
}

func (e *entry) attempt() uint32 { return uint32(e.failures) + 1 }

// newEntry is a slot in a state that nothing is linked to yet.
func (q *Queue) newEntry(st state) uint32 {
	slot := q.free
	if slot == 0 {
		slot = q.entries.add()
	} else {
		q.free = q.entries.at(slot).next
	}
	*q.entries.at(slot) = entry{state: st}
	q.counts[st]++
	return slot
}

func (q *Queue) freeEntry(slot uint32) {
	e := q.entries.at(slot)
	q.counts[e.state]--
	*e = entry{next: q.free}
	q.free = slot
}

func (q *Queue) newAnchor() uint32 {
	slot := q.newEntry(anchor)
	q.empty(slot)
	return slot
}

func (q *Queue) empty(list uint32) {
	a := q.entries.at(list)
	a.next, a.prev = list, list
}

func (q *Queue) become(e *entry, st state) {
	q.counts[e.state]--
	q.counts[st]++
	e.state = st
}

// push puts a slot at the end of a list.
func (q *Queue) push(list, slot uint32) {
	a, e := q.entries.at(list), q.entries.at(slot)
	e.next, e.prev = list, a.prev
	q.entries.at(a.prev).next = slot
	a.prev = slot
}

func (q *Queue) unlink(e *entry) {
	q.entries.at(e.prev).next = e.next
	q.entries.at(e.next).prev = e.prev
	e.next, e.prev = 0, 0
}

// first is a list's first slot, 0 if it is empty.
func (q *Queue) first(list uint32) uint32 {
	if next := q.entries.at(list).next; next != list {
		return next
	}
	return 0
}
