package disk

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"sort"
	"sync"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/cache"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// A Read has three steps, and holds no lock while it waits for a disk:
//
//  1. collect, under the index's lock: which blocks there are, with those in memory pinned and the others noted by segment and byte.
//  2. fetch: the others from their files, each with both of its checksums, into memory that the batch owns.
//  3. If a segment was given back between the two, start over: its blocks were trimmed or have moved.
//
// What a batch holds, it may keep: arenas are pinned, and a file that was opened stays readable when its name is gone.

// How blocks that are not in the tail cache are read: neighbours with small gaps between them in one go.
const (
	readGapBytes = 32 << 10
	readRunBytes = 2 << 20
)

// blocksMax bounds how many blocks one Read returns, however small they are.
const blocksMax = 4096

// cold is a block that has to come from a file: which place of the batch it fills, and where it is.
type cold struct {
	block   int
	segment *index.Segment
	offset  int64
	size    int
}

// plan is what a Read found in the index. Plans are used again and again.
type plan struct {
	cold  []cold
	bytes int
	// missing is the extent whose entries must be loaded before the Read can go on. It is a copy.
	missing index.Extent
}

var plans = sync.Pool{New: func() any { return new(plan) }}

// Read implements engine.Shard.
func (s *shard) Read(ctx context.Context, t engine.TopicID, from engine.Offset, into *engine.Batch) error {
	p := plans.Get().(*plan)
	defer func() {
		clear(p.cold)
		p.missing = index.Extent{}
		plans.Put(p)
	}()
	for {
		if err := s.readable(ctx); err != nil {
			return err
		}
		into.Release()
		p.cold, p.bytes, p.missing = p.cold[:0], 0, index.Extent{}
		s.collect(t, from, into, p)
		err := s.fetch(t, into, p)
		if err == nil && len(into.Blocks) == 0 && p.missing.Section != 0 {
			if _, err = s.entries(t, &p.missing); err == nil {
				continue
			}
		}
		if errors.Is(err, fs.ErrNotExist) && s.moved(t, from, p) {
			continue
		}
		return err
	}
}

// readable tells why nothing can be read: the shard is somebody else's or nobody's, or the caller has given up. A log that failed
// can still be read, for what it has is durable.
func (s *shard) readable(ctx context.Context) error {
	select {
	case <-s.halted:
		if err := s.failure(); !errors.Is(err, engine.ErrFailed) {
			return err
		}
	default:
	}
	return ctx.Err()
}

// moved tells whether the index has changed since the plan was made: the segment that could not be opened was given back meanwhile.
func (s *shard) moved(t engine.TopicID, from engine.Offset, p *plan) bool {
	g := p.missing.Segment
	if len(p.cold) > 0 {
		g = p.cold[0].segment
	}
	s.index.Mu.RLock()
	defer s.index.Mu.RUnlock()
	return g != nil && s.index.Segments[g.ID] != g
}

// collect fills the batch from the index and the tail cache, and lists what is missing from it.
func (s *shard) collect(id engine.TopicID, from engine.Offset, into *engine.Batch, p *plan) {
	x := s.index
	x.Mu.RLock()
	defer x.Mu.RUnlock()
	t := x.Topics[id]
	if t == nil {
		return
	}
	var last *cache.Arena
	for i := t.Find(from); i < len(t.Extents); i++ {
		e := &t.Extents[i]
		entries := e.Entries
		if e.Section != 0 {
			if entries = s.sections.Get(e.Segment.ID, e.Section); entries == nil {
				p.missing = *e
				return
			}
		}
		for j := index.SearchEntries(entries, e.Base, from); j < len(entries); j++ {
			size := int(entries[j].Size)
			if n := len(into.Blocks); n > 0 && (p.bytes+size > into.BytesMax || n >= blocksMax) {
				return
			}
			p.bytes += size
			last = s.gather(e, &entries[j], into, p, last)
		}
	}
}

// gather adds one block to the batch. last is the arena that the batch pinned last.
func (s *shard) gather(x *index.Extent, e *layout.Entry, into *engine.Batch, p *plan, last *cache.Arena) *cache.Arena {
	at := layout.At(x.Segment.ID, int64(e.Offset))
	a := last
	if a == nil || a.Base.Segment != at.Segment || at.Offset < a.Base.Offset || at.Offset >= a.Base.Offset+int64(a.Published) {
		a = s.index.Tail.Find(at)
	}
	b := engine.Block{Count: e.Count}
	b.First = x.OffsetOf(e)
	if a == nil {
		p.cold = append(p.cold, cold{len(into.Blocks), x.Segment, int64(e.Offset), int(e.Size)})
		into.Blocks = append(into.Blocks, b)
		return last
	}
	if a != last {
		a.Pin()
		into.Keep(a)
	}
	var h layout.RecordHeader
	record := a.Mem[at.Offset-a.Base.Offset:]
	h.Decode(record)
	if h.Kind != engine.KindBlock || h.Stamp.First != b.First || h.Length != e.Size {
		panic("bug: the index and the tail cache disagree about " + at.String())
	}
	b.Stamp = h.Stamp
	b.Body = record[layout.BlockHeaderBytes:][:h.Length:h.Length]
	into.Blocks = append(into.Blocks, b)
	return a
}

// coldBuffer is memory for blocks from files.
type coldBuffer struct{ b []byte }

var coldBuffers = sync.Pool{New: func() any { return new(coldBuffer) }}

// coldKeepBytes is the largest buffer worth keeping.
const coldKeepBytes = 2 * readRunBytes

// Unpin implements engine.Pin.
func (c *coldBuffer) Unpin() {
	if cap(c.b) <= coldKeepBytes {
		coldBuffers.Put(c)
	}
}

// fetch reads the batch's missing blocks from their files. When that fails for the first block of the batch, the error is the answer; in
// other cases the batch ends before the block that failed, so that what precedes it can be used, and the next Read meets the error.
func (s *shard) fetch(t engine.TopicID, into *engine.Batch, p *plan) error {
	for i := 0; i < len(p.cold); {
		end := i + 1
		for ; end < len(p.cold); end++ {
			if !p.cold[end].adjoins(&p.cold[end-1], &p.cold[i]) {
				break
			}
		}
		if bad, err := s.fetchRun(t, into, p.cold[i:end]); err != nil {
			into.Blocks = into.Blocks[:bad]
			if bad == 0 {
				into.Release()
				return err
			}
			return nil
		}
		i = end
	}
	return nil
}

// adjoins tells whether a block is worth reading together with the one before it in a run that has a first.
func (c *cold) adjoins(before, first *cold) bool {
	gap := c.offset - before.offset - int64(layout.RecordBytes(engine.KindBlock, before.size))
	return c.segment == before.segment && gap >= 0 && gap <= readGapBytes &&
		c.offset+int64(c.size)-first.offset <= readRunBytes
}

// fetchRun reads blocks that lie close together. On an error it tells which block of the batch is the first without a body.
func (s *shard) fetchRun(t engine.TopicID, into *engine.Batch, run []cold) (int, error) {
	first, last := &run[0], &run[len(run)-1]
	f, err := s.files.Acquire(first.segment.ID)
	if err != nil {
		return first.block, err
	}
	defer s.files.Release(f)
	n := int(last.offset-first.offset) + layout.BlockHeaderBytes + last.size
	buffer := coldBuffers.Get().(*coldBuffer)
	if cap(buffer.b) < n {
		buffer.b = make([]byte, n)
	}
	buffer.b = buffer.b[:n]
	into.Keep(buffer)
	if err := layout.ReadFull(f.File, buffer.b, first.offset); err == io.ErrUnexpectedEOF {
		// Whatever is behind the end of the file cannot be what was written.
		clear(buffer.b)
	} else if err != nil {
		return first.block, err
	}
	for i := range run {
		c := &run[i]
		if err := c.accept(buffer.b[c.offset-first.offset:], t, &into.Blocks[c.block]); err != nil {
			err.File = path.Join(s.options.Dir, err.File)
			s.damaged(err)
			return c.block, err
		}
	}
	return 0, nil
}

// accept checks the bytes that were read for a block and makes them the block's body. The header's checksum says that these bytes were
// written at this byte of this segment, the comparison that they are the block that was asked for, and the body's checksum that the body
// is what the appender had in hand.
func (c *cold) accept(b []byte, t engine.TopicID, block *engine.Block) *engine.CorruptError {
	var h layout.RecordHeader
	bad := engine.CorruptError{File: layout.SegmentName(c.segment.ID), Offset: c.offset, Topic: t}
	switch {
	case !h.Check(b, c.segment.Salt, c.offset):
		bad.Reason = "the header of a block does not match its checksum"
	case h.Kind != engine.KindBlock || h.Topic != t || h.Stamp.First != block.First || h.Count != block.Count || int(h.Length) != c.size:
		bad.Reason = "is another record than the index says"
	case crc32.Checksum(b[layout.BlockHeaderBytes:][:c.size], layout.Castagnoli) != h.BodyCRC:
		bad.Reason = "the body of a block does not match its checksum"
	default:
		block.Stamp = h.Stamp
		block.Body = b[layout.BlockHeaderBytes:][:c.size:c.size]
		return nil
	}
	return &bad
}

// OffsetAt implements engine.Shard.
func (s *shard) OffsetAt(ctx context.Context, id engine.TopicID, unixNano int64) (engine.Offset, error) {
	for {
		if err := s.readable(ctx); err != nil {
			return 0, err
		}
		offset, missing := s.offsetAt(id, unixNano)
		if missing == nil {
			return offset, nil
		}
		if _, err := s.entries(id, missing); err != nil && !(errors.Is(err, fs.ErrNotExist) && s.moved(id, 0, &plan{missing: *missing})) {
			return 0, err
		}
	}
}

// offsetAt answers from the index, or names the extent whose entries it would need.
func (s *shard) offsetAt(id engine.TopicID, unixNano int64) (engine.Offset, *index.Extent) {
	s.index.Mu.RLock()
	defer s.index.Mu.RUnlock()
	t := s.index.Topics[id]
	if t == nil {
		return 0, nil
	}
	i := sort.Search(len(t.Extents), func(i int) bool { return t.Extents[i].LastTime >= unixNano })
	if i == len(t.Extents) {
		return t.Next, nil
	}
	x := &t.Extents[i]
	if unixNano <= x.BaseTime {
		return x.First, nil
	}
	entries := x.Entries
	if x.Section != 0 {
		if entries = s.sections.Get(x.Segment.ID, x.Section); entries == nil {
			missing := *x
			return 0, &missing
		}
	}
	j := sort.Search(len(entries), func(j int) bool { return x.TimeOf(&entries[j]) >= unixNano })
	if j == len(entries) {
		return x.End, nil
	}
	return max(x.First, x.OffsetOf(&entries[j])), nil
}
