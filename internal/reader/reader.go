// Package reader finds stored messages by their offsets.
package reader

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// Reader finds a topic's messages by their offsets. It remembers where it is, so that going forward costs nothing but the step.
// The bytes it gives stay valid until Release. It is not safe for concurrent use.
type Reader struct {
	Shard engine.Shard
	Topic engine.TopicID // may be changed after Release

	aside *Reader // of Find; made when it is first needed

	// Of a reader aside: how much it read last, 0 of any other, and where that began and ended.
	bytesMax    int
	began, next engine.Offset

	batch engine.Batch
	spent []engine.Batch // whose messages are still in use, by their first offsets
	block int            // in batch.Blocks
	index uint32         // of the message that rest begins with, in that block
	rest  []byte
	last  Message // what At gave last: it is asked for when a message is admitted and again when it is taken
}

// How much is read at a time: going forward, and at first for messages that stand apart.
const (
	readBytesMax  = 1 << 20
	asideBytesMin = 4 << 10
)

// Message is a stored message and what the log knows of it.
type Message struct {
	Offset engine.Offset
	ID     uint64
	Time   int64  // Unix nanoseconds
	Bytes  []byte // a PubsubMessage, as its publisher sent it
}

// At gives the message at the offset or, when that is gone, the next there is; false when there is none.
func (r *Reader) At(ctx context.Context, off engine.Offset) (Message, bool, error) {
	if r.last.Bytes != nil && r.last.Offset == off {
		return r.last, true, nil
	}
	if !r.seek(off) && !r.recall(off) {
		if err := r.load(ctx, off); err != nil || len(r.batch.Blocks) == 0 {
			return Message{}, false, err
		}
		off = max(off, r.batch.Blocks[0].First)
		if !r.seek(off) {
			panic("bug: a block that was read for an offset does not hold it")
		}
	}
	b := &r.batch.Blocks[r.block]
	bytes, rest := wire.Next(r.rest)
	r.last = Message{Offset: off, ID: b.ID + uint64(r.index), Time: b.Time, Bytes: bytes}
	r.rest, r.index = rest, r.index+1
	return r.last, true, nil
}

// Find is At for a message that was admitted before. One that stands apart from what the reader has at hand, as those do that are delivered
// again and those that had to wait for their ordering key, is looked for aside, so that the reader keeps its place. Many of them may come in
// any order: nothing that is at hand is read again, and little is read ahead until they turn out to follow each other.
func (r *Reader) Find(ctx context.Context, off engine.Offset) (Message, bool, error) {
	if n := len(r.batch.Blocks); n > 0 && off >= r.batch.Blocks[0].First && off < r.batch.Blocks[n-1].End() {
		return r.At(ctx, off)
	}
	if r.aside == nil {
		r.aside = &Reader{Shard: r.Shard, bytesMax: asideBytesMin}
	}
	r.aside.Topic = r.Topic
	return r.aside.At(ctx, off)
}

// seek goes to an offset in the blocks at hand.
func (r *Reader) seek(off engine.Offset) bool {
	blocks := r.batch.Blocks
	if r.block >= len(blocks) || off < blocks[r.block].First || off >= blocks[r.block].End() {
		at := r.block + 1 // most often it is the next one
		if at >= len(blocks) || off < blocks[at].First || off >= blocks[at].End() {
			at = sort.Search(len(blocks), func(i int) bool { return off < blocks[i].End() })
		}
		if at == len(blocks) || off < blocks[at].First {
			return false
		}
		r.enter(at)
	}
	want := uint32(off - blocks[r.block].First)
	if want < r.index {
		r.enter(r.block)
	}
	r.rest = wire.Skip(r.rest, int(want-r.index))
	r.index = want
	return true
}

// recall goes to an offset in blocks that were at hand before and are still in use.
func (r *Reader) recall(off engine.Offset) bool {
	at := r.behind(off) - 1
	if at < 0 {
		return false
	}
	if blocks := r.spent[at].Blocks; off >= blocks[len(blocks)-1].End() {
		return false
	}
	found := r.spent[at]
	r.spent = slices.Delete(r.spent, at, at+1)
	r.spend()
	r.batch = found
	r.enter(0)
	return r.seek(off)
}

// behind is the place in spent of the first batch that begins behind an offset.
func (r *Reader) behind(off engine.Offset) int {
	return sort.Search(len(r.spent), func(i int) bool { return r.spent[i].Blocks[0].First > off })
}

// spend puts the blocks at hand by.
func (r *Reader) spend() {
	if len(r.batch.Blocks) > 0 {
		r.spent = slices.Insert(r.spent, r.behind(r.batch.Blocks[0].First), r.batch)
		r.batch = engine.Batch{}
	}
}

// enter goes to the beginning of a block.
func (r *Reader) enter(block int) {
	r.block, r.index, r.rest = block, 0, nil
	if block < len(r.batch.Blocks) {
		r.rest = r.batch.Blocks[block].Body
	}
}

// load reads the blocks from an offset on. Messages given before stay valid.
func (r *Reader) load(ctx context.Context, off engine.Offset) error {
	r.spend()
	r.batch.BytesMax = cmp.Or(r.ahead(off), readBytesMax)
	err := r.Shard.Read(ctx, r.Topic, off, &r.batch)
	if n := len(r.batch.Blocks); n > 0 {
		r.began, r.next = r.batch.Blocks[0].First, r.batch.Blocks[n-1].End()
	}
	r.enter(0)
	return err
}

// ahead is how much a reader aside is to read at an offset: more and more while each read goes on about where the one before it ended.
func (r *Reader) ahead(off engine.Offset) int {
	switch {
	case r.bytesMax == 0:
	case off >= r.next && off-r.next <= r.next-r.began:
		r.bytesMax = min(2*r.bytesMax, readBytesMax)
	default:
		r.bytesMax = asideBytesMin
	}
	return r.bytesMax
}

// Relieve lets go of everything that was read once there is more of it than one read: for who needs each message until the next only.
func (r *Reader) Relieve() {
	if len(r.spent) > 0 || r.aside != nil && len(r.aside.spent) > 0 {
		r.Release()
	}
}

// Release lets go of everything that was read.
func (r *Reader) Release() {
	r.batch.Release()
	for i := range r.spent {
		r.spent[i].Release()
	}
	r.spent = r.spent[:0]
	if r.aside != nil {
		r.aside.Release()
	}
	r.last = Message{}
	r.enter(0)
}
