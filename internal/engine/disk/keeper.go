package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// keeper is the state of the goroutine that keeps house: it writes checkpoints and footers, gives space back, and watches how much is
// left. No other goroutine touches it, except through the channels.
//
// Files go only when nothing durable needs them:
//
//  1. Two checkpoints are kept. An older one is removed after the newest is durable under its name, and that removal is durable
//     before anything else goes.
//  2. A segment file is removed, or used again, only when neither of the two lists it.
//
// So a recovery from either of them finds every file that it lists.
type keeper struct {
	woken     chan struct{}
	snapshots chan *snapshot

	kept      []uint64                   // numbers of the checkpoints that are there, oldest first
	next      uint64                     // number of the next one
	listed    map[uint64]map[uint64]bool // by checkpoint: the segments that it lists
	at        layout.Position            // of the newest
	lastAsked int64                      // when a checkpoint was last asked for, on the monotonic clock
	retry     bool                       // the last one could not be written for want of space
}

// snapshot is a checkpoint on its way from the committer to the keeper.
type snapshot struct {
	layout.Checkpoint
	body    *layout.Body
	waiters []chan<- error
}

// How often the keeper looks around when nobody wakes it, and how long segments without live blocks may wait for a checkpoint.
const (
	keeperTick     = time.Second
	keeperTickFull = 100 * time.Millisecond
	deadWaitMax    = 10 * time.Second
)

func (k *keeper) wake() {
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

// keep is the keeper.
func (s *shard) keep() {
	defer s.ended.Done()
	k := &s.keeper
	tick := s.options.Clock.AfterFunc(keeperTick, k.wake)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-s.stop:
			return
		case shot := <-k.snapshots:
			err = s.complete(shot)
			for _, w := range shot.waiters {
				w <- err
			}
			if layout.NoSpace(err) {
				s.options.Logger.Warn("no space for a checkpoint; it will be tried again", "error", err)
				k.retry, err = true, nil
			}
		case <-k.woken:
			err = s.upkeep()
			if s.full.Load() {
				tick.Reset(keeperTickFull)
			} else {
				tick.Reset(keeperTick)
			}
		}
		if err != nil && !errors.Is(err, s.failure()) {
			s.fail(err)
		}
	}
}

// upkeep does what there is to do. Its error is a disk that fails: want of space is not one.
func (s *shard) upkeep() error {
	s.index.Age(s.options.Clock.Mono(), s.arenas)
	if err := s.footAll(); err != nil && !layout.NoSpace(err) {
		return err
	}
	if err := s.compact(); err != nil && !layout.NoSpace(err) {
		return err
	}
	if err := s.reclaim(false); err != nil {
		return err
	}
	s.watchSpace()
	s.askIfWorth()
	return nil
}

// footAll writes the footers that are due.
func (s *shard) footAll() error {
	for _, g := range s.segmentsWhere(func(g *index.Segment) bool { return g.Sealed && !g.Footed && g.Live > 0 }) {
		if err := s.foot(g); err != nil {
			return err
		}
	}
	return nil
}

// segmentsWhere gives the segments for which want holds, in no order. It is called with the index locked.
func (s *shard) segmentsWhere(want func(*index.Segment) bool) []*index.Segment {
	s.index.Mu.RLock()
	defer s.index.Mu.RUnlock()
	var found []*index.Segment
	for _, g := range s.index.Segments {
		if want(g) {
			found = append(found, g)
		}
	}
	return found
}

// snapshotDue tells the committer to take a snapshot now. The append lock is held.
func (s *shard) snapshotDue() bool {
	return !s.snapshotting && (s.wantSnapshot || s.committer.sinceLast >= s.options.CheckpointBytes)
}

// snapshot takes the state as it is after the last commit. It is called by the committer, so nothing changes meanwhile.
func (s *shard) snapshot() error {
	if err := s.syncLog(); err != nil {
		return err
	}
	k := &s.committer
	shot := &snapshot{}
	s.mu.Lock()
	s.snapshotting, s.wantSnapshot = true, false
	shot.waiters, s.snapshotWaiters = s.snapshotWaiters, nil
	// These may be ahead of the log's position, which is harmless: they only must never be behind it.
	shot.NextID, shot.LastTime, shot.NextSegment = s.nextID, s.lastTime, s.nextSegment
	s.mu.Unlock()
	shot.At, shot.Seq, shot.Epoch = k.written, k.seq, s.epoch
	shot.Segments, shot.body = s.index.Encode(shot.At)
	var state bytes.Buffer
	state.Grow(k.stateBytes)
	if err := s.machine.Save(&state); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	shot.body.Machine, k.stateBytes = state.Bytes(), state.Len()+state.Len()/8
	k.sinceLast = 0
	s.keeper.snapshots <- shot // has room for the one that can be under way
	return nil
}

// complete writes a checkpoint, marks it in the log and removes the one that is no longer needed.
func (s *shard) complete(shot *snapshot) error {
	defer func() {
		s.mu.Lock()
		s.snapshotting = false
		s.mu.Unlock()
		s.kick()
	}()
	k, o := &s.keeper, s.options
	newest := k.kept[len(k.kept)-1]
	shot.Number, shot.Prev = k.next, newest
	s.checkpointBytes.Store(int64(len(shot.body.Index) + len(shot.body.Machine))) // whether it fits or not: the next will take as much
	if err := layout.WriteCheckpoint(o.FS, o.Dir, s.engine.identity.Store, &shot.Checkpoint, shot.body); err != nil {
		return fmt.Errorf("write %s: %w", layout.CheckpointName(shot.Number), err)
	}
	k.next++
	k.kept, k.at, k.retry = append(k.kept, shot.Number), shot.At, false
	k.listed[shot.Number] = listOf(&shot.Checkpoint)
	// The mark makes a later recovery notice when the checkpoint's file is missing. Without a place for it, the checkpoint is still good.
	if err := s.appendOwn(layout.KindMark, shot.Number); err != nil && !errors.Is(err, engine.ErrFull) {
		return err
	}
	for len(k.kept) > 2 {
		oldest := k.kept[0]
		if err := o.FS.Remove(path.Join(o.Dir, layout.CheckpointName(oldest))); err != nil {
			return fmt.Errorf("remove %s: %w", layout.CheckpointName(oldest), err)
		}
		if err := o.FS.SyncDir(o.Dir); err != nil {
			return err
		}
		delete(k.listed, oldest)
		k.kept = k.kept[1:]
	}
	return s.reclaim(true)
}

func listOf(c *layout.Checkpoint) map[uint64]bool {
	list := make(map[uint64]bool, len(c.Segments))
	for i := range c.Segments {
		list[c.Segments[i].ID] = true
	}
	return list
}

// ask asks the committer for a checkpoint; the answer comes when it is durable.
func (s *shard) ask() <-chan error {
	answer := make(chan error, 1)
	s.mu.Lock()
	s.wantSnapshot = true
	s.snapshotWaiters = append(s.snapshotWaiters, answer)
	s.mu.Unlock()
	s.kick()
	return answer
}

// askIfWorth asks for a checkpoint when files could be removed but for the checkpoints that list them.
func (s *shard) askIfWorth() {
	k := &s.keeper
	now := s.options.Clock.Mono()
	dead := s.segmentsWhere(func(g *index.Segment) bool { return g.Sealed && g.Live == 0 })
	// Where space is scarce, those that wait may be why blocks are refused.
	scarce := s.full.Load() || s.free.Load() < s.reserve()+deadSegmentsMax*s.options.SegmentBytes
	worth := len(dead) > 0 && (scarce || now-k.lastAsked >= int64(deadWaitMax) || len(dead) >= deadSegmentsMax)
	s.mu.Lock()
	if (worth || k.retry) && !s.snapshotting {
		s.wantSnapshot = true
		k.lastAsked = now
	}
	s.mu.Unlock()
	s.kick()
}

// deadSegmentsMax is how many segments without live blocks are worth a checkpoint at once.
const deadSegmentsMax = 4

// lastCheckpoint makes everything durable and writes a checkpoint of it, so that the next start has nothing to replay. Want of space
// is no reason to fail: the log has everything.
func (s *shard) lastCheckpoint(ctx context.Context) error {
	select {
	case err := <-s.flushAndAsk():
		if layout.NoSpace(err) {
			return nil
		}
		return err
	case <-s.halted:
		return s.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flushAndAsk asks for a checkpoint of everything that was appended.
func (s *shard) flushAndAsk() <-chan error {
	s.mu.Lock()
	var last *commit
	if s.open != nil {
		last = s.open
		last.urgent = true
	} else if n := len(s.queue); n > 0 {
		last = s.queue[n-1]
	}
	s.mu.Unlock()
	s.kick()
	if last != nil {
		<-last.done
	}
	return s.ask()
}

// reclaim gives back the files of segments that nothing needs any more. completed says that the snapshot that was taken last is a
// checkpoint by now.
func (s *shard) reclaim(completed bool) error {
	k := &s.keeper
	dead := s.segmentsWhere(func(g *index.Segment) bool {
		return g.Sealed && g.Live == 0 && (g.Compacted() || g.ID < k.at.Segment)
	})
	// A checkpoint that is under way may list what has died since it was taken; one that begins later does not list the dead.
	s.mu.Lock()
	pending := s.snapshotting && !completed
	s.mu.Unlock()
	if pending {
		return nil
	}
	for _, g := range dead {
		needed := false
		for list := range maps.Values(k.listed) {
			needed = needed || list[g.ID]
		}
		if needed {
			continue
		}
		if err := s.discard(g); err != nil {
			return err
		}
	}
	return nil
}

// discard takes a segment out of the index and its file out of the directory.
func (s *shard) discard(g *index.Segment) error {
	o := s.options
	s.index.Mu.Lock()
	delete(s.index.Segments, g.ID)
	s.index.Mu.Unlock()
	if g.Writer != nil {
		if err := g.Writer.Close(); err != nil {
			return err
		}
		g.Writer = nil
	}
	unread := s.files.Retire(g.ID)
	name := path.Join(o.Dir, layout.SegmentName(g.ID))
	var err error
	if unread && g.FileBytes == o.SegmentBytes && s.wantSpare() {
		if err = o.FS.Rename(name, path.Join(o.Dir, layout.SpareName(g.ID))); err == nil {
			s.addSpare(layout.SpareName(g.ID))
		}
	} else {
		err = o.FS.Remove(name)
	}
	if err != nil {
		return fmt.Errorf("give back %s: %w", layout.SegmentName(g.ID), err)
	}
	s.files.Gone(g.ID)
	s.options.Logger.Debug("segment given back", "file", layout.SegmentName(g.ID))
	return nil
}
