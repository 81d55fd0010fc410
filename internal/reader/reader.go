// Package reader finds stored messages by their offsets.
package reader

import (
	"cmp"
	"context"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// Reader finds a topic's messages by their offsets. It remembers where it is, so that going forward costs nothing but the step.
// The bytes it gives stay valid until Release. It is not safe for concurrent use.
type Reader struct {
	Shard engine.Shard
	Topic engine.TopicID // may be changed after Release

	bytesMax int     // of a read; 0: readBytesMax
	aside    *Reader // of Find; made when it is first needed

	batch engine.Batch
	spent []engine.Batch // whose messages are still in use
	block int            // in batch.Blocks
	index uint32         // of the message that rest begins with, in that block
	rest  []byte
	last  Message // what At gave last: it is asked for when a message is admitted and again when it is taken
}

// How much is read at a time: going forward, and for single messages.
const (
	readBytesMax  = 1 << 20
	asideBytesMax = 64 << 10
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
	if !r.seek(off) {
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

// Find is At. Messages that stand apart, such as the few that are delivered again, are looked for aside, with little read ahead, so that
// the reader keeps its place.
func (r *Reader) Find(ctx context.Context, off engine.Offset, apart bool) (Message, bool, error) {
	if !apart {
		return r.At(ctx, off)
	}
	if r.aside == nil {
		r.aside = &Reader{Shard: r.Shard, bytesMax: asideBytesMax}
	}
	r.aside.Topic = r.Topic
	return r.aside.At(ctx, off)
}

// seek goes to an offset in the blocks at hand.
func (r *Reader) seek(off engine.Offset) bool {
	for r.block < len(r.batch.Blocks) {
		b := &r.batch.Blocks[r.block]
		switch {
		case off < b.First:
			return false
		case off >= b.End():
			r.enter(r.block + 1)
			continue
		}
		want := uint32(off - b.First)
		if want < r.index {
			r.enter(r.block)
		}
		r.rest = wire.Skip(r.rest, int(want-r.index))
		r.index = want
		return true
	}
	return false
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
	if len(r.batch.Blocks) > 0 {
		r.spent = append(r.spent, r.batch)
		r.batch = engine.Batch{}
	}
	r.batch.BytesMax = cmp.Or(r.bytesMax, readBytesMax)
	err := r.Shard.Read(ctx, r.Topic, off, &r.batch)
	r.enter(0)
	return err
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
