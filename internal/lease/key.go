package lease

import "hash/maphash"

// chain is an ordering key that has messages in the queue. They are linked by offset: first those that are out, all with one holder,
// then those that are not.
type chain struct {
	hash    uint64
	head    uint32
	tail    uint32
	pending uint32 // the first that is not out
	out     uint32 // how many are out
	holder  Holder // with whom; says nothing when none is
}

// keys finds chains by ordering key. A key is known by its 64-bit hash alone: should two keys share one, they share a chain, which keeps
// the order of both. The seed is random, so that nobody can make keys that do; nothing else depends on it.
type keys struct {
	chains slab[chain] // 0 is not used
	free   uint32      // list through head
	table  []uint32    // open addressing; chain numbers, 0: empty
	used   int
	seed   maphash.Seed
	seeded bool
}

const tableMin = 16

// find is the chain of a key, an empty new one if there is none.
func (k *keys) find(key []byte) uint32 {
	if !k.seeded {
		k.seed, k.seeded = maphash.MakeSeed(), true
		k.chains.add()
	}
	if 4*(k.used+1) > 3*len(k.table) {
		k.resize(max(tableMin, 2*len(k.table)))
	}
	hash := maphash.Bytes(k.seed, key)
	mask := uint64(len(k.table) - 1)
	at := hash & mask
	for ; k.table[at] != 0; at = (at + 1) & mask {
		if k.chains.at(k.table[at]).hash == hash {
			return k.table[at]
		}
	}
	number := k.free
	if number == 0 {
		number = k.chains.add()
	} else {
		k.free = k.chains.at(number).head
	}
	*k.chains.at(number) = chain{hash: hash}
	k.table[at] = number
	k.used++
	return number
}

// drop forgets a chain. Later ones of the same cluster move up, so that the table never fills with marks of what was.
func (k *keys) drop(number uint32) {
	mask := uint64(len(k.table) - 1)
	hole := k.chains.at(number).hash & mask
	for k.table[hole] != number {
		hole = (hole + 1) & mask
	}
	for at := hole; ; {
		at = (at + 1) & mask
		if k.table[at] == 0 {
			break
		}
		if home := k.chains.at(k.table[at]).hash & mask; (at-home)&mask >= (at-hole)&mask {
			k.table[hole] = k.table[at]
			hole = at
		}
	}
	k.table[hole] = 0
	k.used--
	*k.chains.at(number) = chain{head: k.free}
	k.free = number
}

func (k *keys) resize(size int) {
	old := k.table
	k.table = make([]uint32, size)
	mask := uint64(size - 1)
	for _, number := range old {
		if number == 0 {
			continue
		}
		at := k.chains.at(number).hash & mask
		for k.table[at] != 0 {
			at = (at + 1) & mask
		}
		k.table[at] = number
	}
}

// reset forgets all chains and their memory.
func (k *keys) reset() { *k = keys{} }

// enchain puts an entry at the end of a key's chain.
func (q *Queue) enchain(number, slot uint32, e *entry) {
	c := q.keys.chains.at(number)
	e.key, e.keyPrev = number, c.tail
	if c.tail == 0 {
		c.head = slot
	} else {
		q.entries.at(c.tail).keyNext = slot
	}
	c.tail = slot
	if c.pending == 0 {
		c.pending = slot
	}
}

// unchain takes an entry, which is in no list, out of its key's chain, and lets the key go on.
func (q *Queue) unchain(slot uint32, e *entry, wasOut bool) {
	c := q.keys.chains.at(e.key)
	if e.keyPrev == 0 {
		c.head = e.keyNext
	} else {
		q.entries.at(e.keyPrev).keyNext = e.keyNext
	}
	if e.keyNext == 0 {
		c.tail = e.keyPrev
	} else {
		q.entries.at(e.keyNext).keyPrev = e.keyPrev
	}
	if c.head == 0 {
		q.keys.drop(e.key)
		return
	}
	first := c.pending == slot
	if first {
		c.pending = e.keyNext
	}
	if first || wasOut && c.out == 0 {
		q.wake(c)
	}
	if e.keyPrev == 0 {
		q.bury(c.head, q.entries.at(c.head))
	}
}

// wake puts the first message of a key that is not out into the line where it belongs now, unless it waits for something else.
func (q *Queue) wake(c *chain) {
	if c.pending == 0 {
		return
	}
	e := q.entries.at(c.pending)
	switch e.state {
	case ready: // maybe in the line of somebody who has nothing of the key any more
		q.unlink(e)
	case behind:
		q.become(e, ready)
	default:
		return
	}
	lines := &q.lines
	if c.out > 0 {
		lines = &q.holders[c.holder].lines
	}
	q.push(lines.of(e), c.pending)
}

// bury puts a dead message into the list for forwarding. One that has an ordering key waits until it is the first of it, so that the dead
// letter topic sees a key's messages in order.
func (q *Queue) bury(slot uint32, e *entry) {
	if e.state == dead && e.next == 0 && e.keyPrev == 0 {
		q.push(q.graves, slot)
	}
}
