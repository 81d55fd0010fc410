package disk

import (
	"path"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// Space runs out in an order that keeps the store alive:
//
//  1. Blocks are refused first, while the reserve is still free: ErrFull.
//  2. Notes go on, into the active segment and the one that is ready, whose blocks on disk are set aside already, and then into
//     segments that get smaller and smaller.
//  3. A quarter of the reserve, with room for a checkpoint at least, is left to these, to compaction and to the next start: that is what
//     frees space again.
//
// The state is looked at again and again, so refusing ends by itself.

// sparesMax is how many files of retired segments are kept for their blocks on disk, which are faster to write than new ones.
const sparesMax = 2

// reserve is how much must be free for blocks to be taken.
func (s *shard) reserve() int64 { return s.options.FreeReserveBytes + 2*s.checkpointBytes.Load() }

// setAside is the part of the reserve that only what frees space may use. The oldest of two checkpoints goes when a third is there, and
// that may have grown since the last was measured.
func (s *shard) setAside() int64 {
	checkpoint := s.checkpointBytes.Load()
	return max(s.reserve()/4, checkpoint+checkpoint/4)
}

// watchSpace decides whether blocks are taken.
func (s *shard) watchSpace() {
	free, err := s.options.FS.Free(s.options.Dir)
	if err != nil {
		s.options.Logger.Warn("free space is not known", "error", err)
		return
	}
	s.free.Store(free)
	was, reserve := s.full.Load(), s.reserve()
	if was {
		reserve += reserve / 8 // so that one segment does not switch it to and fro
	}
	s.mu.Lock()
	retry := s.noNext && !s.closing
	lacks := s.noNext && s.ready == nil
	s.mu.Unlock()
	full := free < reserve || lacks
	if full {
		s.dropSpares()
	}
	if full != was {
		s.full.Store(full)
		s.options.Logger.Warn("free space", "bytes", free, "reserve", s.reserve(), "blocks_accepted", !full)
	}
	if retry {
		s.prepareSoon()
	}
}

// prepareSoon wakes the preparer.
func (s *shard) prepareSoon() {
	select {
	case s.prepare <- struct{}{}:
	default:
	}
}

// prepareSegments is the preparer: it has the next segment ready before the active one is full, so that going on to it costs the
// committer nothing but the seal.
func (s *shard) prepareSegments() {
	defer s.ended.Done()
	for {
		select {
		case <-s.stop:
			s.mu.Lock()
			s.noNext = true // nobody waits for what will not come
			s.announce()
			s.mu.Unlock()
			return
		case <-s.prepare:
			if err := s.prepareNext(); err != nil {
				s.fail(err)
			}
		}
	}
}

// prepareNext makes the segment that follows the active one. For want of space it leaves noNext set; other errors are a failing disk.
func (s *shard) prepareNext() error {
	o := s.options
	s.mu.Lock()
	if s.ready != nil || s.err != nil {
		s.mu.Unlock()
		return nil
	}
	h := layout.SegmentHeader{ID: s.nextSegment, Prev: s.active.ID, Size: o.SegmentBytes, Created: o.Clock.Wall()}
	s.nextSegment++
	spare := ""
	if n := len(s.spares); n > 0 {
		spare, s.spares = s.spares[n-1], s.spares[:n-1]
	}
	s.mu.Unlock()

	g, err := s.prepareWithin(h, spare)
	s.mu.Lock()
	news := s.noNext != (g == nil && err == nil)
	s.ready, s.noNext = g, g == nil && err == nil // an error is not want of space: who waits hears of it as soon as the log has failed
	s.announce()
	s.mu.Unlock()
	if g != nil {
		// Segments are what takes space fast: looking only now and then would let a fast publisher write through the reserve.
		s.watchSpace()
	}
	// The keeper tries again at its own pace: to be woken by each failure would have the two chase each other.
	if g == nil && news || err != nil {
		s.keeper.wake()
	}
	return err
}

// keptForNotes tells whether what is left of the log's room may be all that notes will have: half a segment, as long as the next one is
// not there. The append lock is held.
func (s *shard) keptForNotes() bool {
	used := s.cursor.Offset
	if s.open != nil {
		used += int64(s.open.bytes)
	}
	return s.ready == nil && used > s.active.Size/2
}

// outgrows tells whether an append of n bytes makes a segment grow past the usual size, and takes more space than there is for it.
func (s *shard) outgrows(n, blocks int) bool {
	if int64(n) <= s.options.SegmentBytes/2 {
		return false
	}
	left := s.setAside()
	if blocks > 0 {
		left = s.reserve()
	}
	free, err := s.options.FS.Free(s.options.Dir)
	return err == nil && free < int64(n)+left
}

// fittingSegment is how large a new segment may be: the usual size, or less if that would not leave enough for checkpoints. 0 means that
// none may be made.
func (s *shard) fittingSegment() int64 {
	o := s.options
	free, err := o.FS.Free(o.Dir)
	size := o.SegmentBytes
	for err == nil && size >= segmentBytesMin && free < size+s.setAside() {
		size = layout.AlignUp(size / 2)
	}
	if size < segmentBytesMin {
		return 0
	}
	return size
}

// prepareWithin makes a segment if that leaves enough for checkpoints: nil without an error means that it does not.
func (s *shard) prepareWithin(h layout.SegmentHeader, spare string) (*index.Segment, error) {
	o := s.options
	if spare == "" {
		if h.Size = s.fittingSegment(); h.Size == 0 {
			return nil, nil
		}
	}
	f, err := layout.CreateSegment(o.FS, o.Dir, s.engine.identity.Store, &h, spare)
	if err != nil {
		if layout.NoSpace(err) {
			err = nil
		}
		return nil, err
	}
	return index.NewSegment(h, s.engine.identity.Store, f), nil
}

// wantSpare tells whether the file of a retired segment is worth keeping. Only the keeper adds spares, so the answer stays true.
func (s *shard) wantSpare() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spares) < sparesMax && !s.full.Load() && !s.closing
}

func (s *shard) addSpare(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spares = append(s.spares, name)
}

// dropSpares gives the spares' space back. A file that stays is found at the next start.
func (s *shard) dropSpares() {
	s.mu.Lock()
	spares := s.spares
	s.spares = nil
	s.mu.Unlock()
	for _, name := range spares {
		if err := s.options.FS.Remove(path.Join(s.options.Dir, name)); err != nil {
			s.options.Logger.Warn("a spare file stays", "file", name, "error", err)
		}
	}
}

// sortSpares keeps, of the spares that an earlier run left, those that can be used.
func (s *shard) sortSpares() {
	o := s.options
	spares := s.spares
	s.spares = nil
	for _, name := range spares {
		fits := false
		if f, err := o.FS.Open(path.Join(o.Dir, name)); err == nil {
			size, err := f.Size()
			fits = err == nil && size == o.SegmentBytes
			_ = f.Close()
		}
		if fits && s.wantSpare() {
			s.addSpare(name)
			continue
		}
		if err := o.FS.Remove(path.Join(o.Dir, name)); err != nil {
			o.Logger.Warn("a spare file stays", "file", name, "error", err)
		}
	}
}

// tidy removes, after the last checkpoint, what only a running store uses: the spares, and the segment that was ready. What stays, for
// whatever reason, is found at the next start.
func (s *shard) tidy() {
	s.dropSpares()
	s.mu.Lock()
	ready := s.unused
	s.mu.Unlock()
	if ready == 0 {
		return
	}
	if err := s.options.FS.Remove(path.Join(s.options.Dir, layout.SegmentName(ready))); err != nil {
		s.options.Logger.Warn("an unused segment stays", "file", layout.SegmentName(ready), "error", err)
	}
}

// Trim implements engine.Shard. That a topic is gone is noted in the log too: a restart would otherwise bring its blocks back, and
// nobody would know that they can go.
func (s *shard) Trim(t engine.TopicID, before engine.Offset) {
	s.index.Trim(t, before)
	if before != engine.Everything {
		return
	}
	s.mu.Lock()
	_, known := s.topics[t]
	delete(s.topics, t)
	s.mu.Unlock()
	if known {
		// A log that cannot take the note has answered ErrFailed or ErrFull to the owner already, and will not be trusted with less.
		_, _ = s.enterOwn(layout.KindForget, uint64(t), false)
	}
}
