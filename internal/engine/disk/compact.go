package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Compaction copies what is left in segments that are mostly dead into a new one, topic by topic, so that their files can go. The new
// segment is complete and durable before the index looks into it, and its sources stay until no checkpoint lists them: a crash at any
// point leaves either the old files or both.
const (
	compactBelow     = 0.25                 // a segment with a smaller live share is worth it
	compactBelowFull = 0.60                 // and when space is short
	compactOverhead  = 4 * layout.PageBytes // a new segment has a header, a commit, a footer and a trailer at least
)

// compact does one round, if one is worth it.
func (s *shard) compact() error {
	from := s.compactable()
	if len(from) == 0 {
		return nil
	}
	s.mu.Lock()
	id := s.nextSegment // never to be used again, whatever becomes of this round
	s.nextSegment++
	s.mu.Unlock()
	c := &compaction{shard: s, header: layout.SegmentHeader{Flags: layout.FlagCompacted, ID: id, Created: s.options.Clock.Wall()}}
	to, err := c.run(s.index.ExtentsIn(from))
	if err == nil {
		s.index.Move(from, to, c.runs)
		s.options.Logger.Debug("segments compacted", "segments", len(from), "into", layout.SegmentName(id), "bytes", to.FileBytes)
		return nil
	}
	if c.file != nil {
		_ = c.file.Close()
	}
	if c.source != nil {
		// Whoever reads the damaged block will hear of it. Copying around it would lose its place.
		s.options.Logger.Warn("a segment is left as it is", "file", layout.SegmentName(c.source.ID), "error", err)
		c.source.Keep = true
		err = nil
	}
	if gone := s.options.FS.Remove(c.temp()); err == nil && !errors.Is(gone, fs.ErrNotExist) {
		err = gone
	}
	return err
}

// compactable chooses the sources: those with the least life first, as long as what is left of them fits one segment. None if that
// would not give back at least half a segment.
func (s *shard) compactable() []*index.Segment {
	below := compactBelow
	if s.full.Load() {
		below = compactBelowFull
	}
	all := s.segmentsWhere(func(g *index.Segment) bool {
		return g.Sealed && g.Footed && !g.Keep && g.Live > 0 && float64(g.Live) < below*float64(g.FileBytes)
	})
	// The sources stay until the next checkpoint, so what is copied takes space first: not that which a checkpoint and a start need.
	room := s.options.SegmentBytes / 2
	if free, err := s.options.FS.Free(s.options.Dir); err == nil {
		room = min(room, free-s.setAside()-compactOverhead)
	}
	s.index.Mu.RLock()
	defer s.index.Mu.RUnlock()
	slices.SortFunc(all, func(a, b *index.Segment) int {
		return cmp.Or(cmp.Compare(a.Live, b.Live), cmp.Compare(a.ID, b.ID))
	})
	live, gain := int64(0), int64(-compactOverhead)
	n := 0
	for _, g := range all {
		if live+g.Live > room {
			break
		}
		live += g.Live
		gain += g.FileBytes - g.Live
		n++
	}
	if gain < s.options.SegmentBytes/2 {
		return nil
	}
	return all[:n]
}

// The order of blocks is kept, and with it all that depends on it: within a topic offsets grow from extent to extent, and neighbours
// from different sources become one extent, so the number of extents falls as a backlog grows old.
//
// compaction is one round: blocks come in by topic and offset, and go out as commits of the new segment.
type compaction struct {
	shard  *shard
	header layout.SegmentHeader
	file   vfs.File
	salt   uint32
	source *index.Segment // that is being read; nil while the new segment is written

	runs   []layout.Run
	commit []byte // the commit that is being filled, aligned memory
	filled int    // bytes of it
	count  uint32
	at     int64 // where it goes
	seq    uint64
}

func (c *compaction) temp() string {
	return path.Join(c.shard.options.Dir, layout.SegmentName(c.header.ID)+layout.TempSuffix)
}

// run copies the extents' blocks and makes the new segment's file appear.
func (c *compaction) run(extents []index.Extent) (*index.Segment, error) {
	s, o := c.shard, c.shard.options
	store := s.engine.identity.Store
	var err error
	if c.file, err = o.FS.Create(c.temp(), 0, true); err != nil {
		return nil, err
	}
	c.salt, c.at, c.filled = store.Salt(c.header.ID), layout.PageBytes, layout.CommitHeaderBytes
	c.commit = vfs.AlignedBytes(layout.CommitBytesAim + engine.RecordBytesMax)
	for i := range extents {
		if err := c.extent(&extents[i]); err != nil {
			return nil, err
		}
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	footer, trailer := layout.MakeFooter(c.runs, c.at, store, c.header.ID, c.at)
	page := vfs.AlignedBytes(layout.PageBytes)
	size := c.at + int64(len(footer)+len(trailer))
	c.header.Size = size
	c.header.Encode(page, store)
	for _, part := range []struct {
		b  []byte
		at int64
	}{{footer, c.at}, {trailer, size - layout.PageBytes}, {page, 0}} {
		if _, err := c.file.WriteAt(part.b, part.at); err != nil {
			return nil, fmt.Errorf("write %s: %w", layout.SegmentName(c.header.ID), err)
		}
	}
	file := c.file
	c.file = nil
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return nil, err
	}
	if err := o.FS.Rename(c.temp(), path.Join(o.Dir, layout.SegmentName(c.header.ID))); err != nil {
		return nil, err
	}
	g := index.NewSegment(c.header, store, nil)
	g.End, g.Sealed, g.Footed = c.at, true, true
	return g, o.FS.SyncDir(o.Dir)
}

// extent copies the blocks of one extent.
func (c *compaction) extent(x *index.Extent) error {
	s := c.shard
	c.source = x.Segment
	entries, err := s.entries(x.Topic, x)
	if err != nil {
		return err
	}
	var batch engine.Batch
	defer batch.Release()
	var p plan
	c.source = nil
	for i := index.SearchEntries(entries, x.Base, x.First); i < len(entries); {
		batch.Release()
		p.cold = p.cold[:0]
		for n := 0; i < len(entries) && n < readRunBytes; i++ {
			e := &entries[i]
			b := engine.Block{Count: e.Count}
			b.First = x.OffsetOf(e)
			p.cold = append(p.cold, cold{len(batch.Blocks), x.Segment, int64(e.Offset), int(e.Size)})
			batch.Blocks = append(batch.Blocks, b)
			n += int(e.Size)
		}
		c.source = x.Segment
		want := len(batch.Blocks)
		if err := s.fetch(x.Topic, &batch, &p); err != nil {
			return err
		}
		if len(batch.Blocks) < want {
			return &engine.CorruptError{File: layout.SegmentName(x.Segment.ID), Topic: x.Topic, Reason: "a block is damaged"}
		}
		c.source = nil
		for j := range batch.Blocks {
			if err := c.block(x.Topic, &batch.Blocks[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// block adds one block to the commit that is being filled.
func (c *compaction) block(t engine.TopicID, b *engine.Block) error {
	h := layout.RecordHeader{
		Kind: engine.KindBlock, Length: uint32(len(b.Body)), BodyCRC: layout.Checksum(b.Body), Topic: t, Count: b.Count, Stamp: b.Stamp,
	}
	if c.filled+h.Bytes() > layout.CommitBytesAim && c.count > 0 {
		if err := c.flush(); err != nil {
			return err
		}
	}
	offset := c.at + int64(c.filled)
	to := c.commit[c.filled:][:h.Bytes()]
	h.Encode(to, c.salt, offset)
	n := layout.HeaderBytes(h.Kind)
	n += copy(to[n:], b.Body)
	clear(to[n:])
	c.filled += h.Bytes()
	c.count++

	last := len(c.runs) - 1
	if last < 0 || c.runs[last].Topic != t || !c.runs[last].Takes(&h) {
		c.runs = append(c.runs, layout.NewRun(&h))
		last++
	}
	c.runs[last].Add(&h, offset)
	return nil
}

// flush writes the commit that is being filled, if it has records.
func (c *compaction) flush() error {
	if c.count == 0 {
		return nil
	}
	c.seq++
	at := layout.At(c.header.ID, c.at)
	h := layout.CommitHeader{
		Length: uint32(c.filled), Seq: c.seq, Epoch: c.shard.epoch, At: at, Synced: at, Records: c.count,
	}
	b := c.commit[:layout.AlignUp(int64(c.filled))]
	clear(b[c.filled:])
	h.Encode(b, c.salt)
	if _, err := c.file.WriteAt(b, c.at); err != nil {
		return fmt.Errorf("write %s: %w", layout.SegmentName(c.header.ID), err)
	}
	c.at, c.filled, c.count = h.End(), layout.CommitHeaderBytes, 0
	return nil
}
