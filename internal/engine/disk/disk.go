// Package disk is the durable engine: one log for everything, on a local disk.
//
// Follow a record: Append stamps it and copies it into the open commit (append.go); the committer writes the commit with one write and
// one sync, makes its blocks readable, applies it and wakes everybody who waits for it (committer.go). Read finds blocks through the index
// (index.go), takes the newest from memory (arena.go) and older ones from segment files (read.go). In the background the keeper lets the
// index forget what footers list (footer.go), writes checkpoints (checkpoint.go) and gives space back (keeper.go, compact.go). After a
// stop or a crash, recovery rebuilds the state from the last checkpoint and the commits behind it (recover.go, replay.go).
//
// What the log promises, and where it is kept:
//
//  1. Nothing is answered positively before the bytes behind it are synced: flush.
//  2. All records of one Append share one commit, and a commit is recovered whole or not at all: enter, judge.
//  3. After the first error of a write or a sync nothing is answered positively at all: fail.
//  4. Bytes that do not match their checksum are neither returned nor skipped: accept, judge.
//  5. Nothing is removed that a recovery could need, and nothing that cannot be understood: keeper, recovery.
//
// docs/FORMAT.md draws every byte.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/cache"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// FileError says that a file of the data directory cannot be used, and why.
type FileError = layout.FileError

// Options say where the store is and how it works. Only FS and Dir must be set.
type Options struct {
	FS     vfs.FS
	Dir    string       // made when it does not exist; nothing but the store may be in it
	Clock  clock.Clock  // the machine's clock by default
	Logger *slog.Logger // silent by default

	Sync             SyncMode
	SegmentBytes     int64 // size of a segment file; 128 MiB by default, less on a small file system
	TailBytes        int64 // memory for the newest blocks; 64 MiB by default
	CheckpointBytes  int64 // how much log is written between checkpoints; 64 MiB by default
	FreeReserveBytes int64 // how much must be free for blocks to be accepted; two segments by default
}

// SyncMode says when the log is synced. The zero value syncs every commit before anything in it is answered.
type SyncMode struct {
	Never    bool          // leave it to the operating system; a power cut loses what it had not written
	Interval time.Duration // if positive: a power cut loses what was answered in the last interval
}

// Always tells whether every commit is synced before it is answered.
func (m SyncMode) Always() bool { return !m.Never && m.Interval <= 0 }

// Defaults and bounds of Options.
const (
	segmentBytesDefault    = 128 << 20
	segmentBytesMin        = 8 * layout.PageBytes
	segmentsAtLeast        = 16 // how many segments a file system has room for, if the default size is to be used
	smallSegmentBytes      = 4 << 20
	tailBytesDefault       = 64 << 20
	checkpointBytesDefault = 64 << 20
	sectionCacheBytes      = 16 << 20
	freeArenas             = 4
)

// Engine is an engine.Engine with shard 0 only. It is safe for concurrent use.
type Engine struct {
	options  Options
	identity layout.Identity
	lock     io.Closer

	mu     sync.Mutex
	shard  *shard // the latest owner's
	closed bool
}

// Open opens the store in a directory, or makes one in an empty directory. vfs.ErrLocked says that somebody has it open; a FileError,
// that the directory holds something else or that its files are damaged. Damage to the log itself is found by Own.
func Open(options Options) (*Engine, error) {
	e := &Engine{options: options}
	o := &e.options
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	// Looking before locking: a directory that is not ours must not even get a lock file.
	if _, err := layout.HoldsStore(o.FS, o.Dir); err != nil {
		return nil, err
	}
	var err error
	if e.lock, err = o.FS.Lock(path.Join(o.Dir, layout.LockName)); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return nil, fmt.Errorf("the data directory %s is in use by another posthaste: %w", o.Dir, err)
		}
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := e.enter(); err != nil {
		return nil, errors.Join(err, e.lock.Close())
	}
	return e, nil
}

// enter reads the identity of the locked store, and makes the store if there is none.
func (e *Engine) enter() error {
	o := &e.options
	found, err := layout.HoldsStore(o.FS, o.Dir)
	if err != nil {
		return err
	}
	if err := e.size(); err != nil {
		return err
	}
	if !found {
		if err := layout.CreateStore(o.FS, o.Dir, o.Clock.Wall()); err != nil {
			return fmt.Errorf("make a store in %s: %w", o.Dir, err)
		}
	}
	name := path.Join(o.Dir, layout.IdentityName)
	b, err := layout.ReadWhole(o.FS, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	e.identity, err = layout.DecodeIdentity(name, b)
	return err
}

// size fills in the sizes that were left open. A small file system gets small segments, so that there are enough of them for space to
// come back piece by piece.
func (e *Engine) size() error {
	o := &e.options
	if o.SegmentBytes == 0 {
		o.SegmentBytes = segmentBytesDefault
		free, err := o.FS.Free(o.Dir)
		if err != nil {
			return fmt.Errorf("free space of %s: %w", o.Dir, err)
		}
		for o.SegmentBytes > smallSegmentBytes && free < segmentsAtLeast*o.SegmentBytes {
			o.SegmentBytes /= 2
		}
	}
	o.SegmentBytes = layout.AlignUp(min(max(o.SegmentBytes, segmentBytesMin), index.SegmentBytesMax-layout.PageBytes))
	setDefault(&o.TailBytes, tailBytesDefault)
	setDefault(&o.CheckpointBytes, checkpointBytesDefault)
	setDefault(&o.FreeReserveBytes, 2*o.SegmentBytes)
	return nil
}

func setDefault(value *int64, otherwise int64) {
	if *value == 0 {
		*value = otherwise
	}
}

// Own implements engine.Engine. An earlier owner in this process is shut out; one in another process has the lock. After a failure of
// the log only a new process may open it: what the failed disk took and what the operating system only remembers cannot be told apart.
func (e *Engine) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	if id != 0 {
		return nil, fmt.Errorf("disk: there is no shard %d, only 0", id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	if e.shard != nil {
		e.shard.fence()
		if err := e.shard.failure(); errors.Is(err, engine.ErrFailed) {
			return nil, err
		}
		e.shard = nil
	}
	s, err := e.open(ctx, m)
	if err != nil {
		return nil, err
	}
	e.shard = s
	return s, nil
}

// open recovers the shard and begins its next epoch.
func (e *Engine) open(ctx context.Context, m engine.Machine) (*shard, error) {
	began := e.options.Clock.Mono()
	s := e.newShard(m)
	r := &recovery{shard: s, options: &e.options, store: e.identity.Store, surveys: map[uint64]layout.Survey{}}
	err := r.run(ctx)
	if err == nil {
		err = r.settle()
	}
	if err == nil {
		err = s.takeOver(r)
	}
	if err != nil {
		s.closeFiles()
		return nil, err
	}
	go s.run()
	// The keeper begins behind this entry: it may put two new checkpoints in the place of the one that the entry names.
	err = s.appendOwn(layout.KindOpen, r.used.Number)
	s.startKeeping()
	if err != nil {
		s.halt(err)
		s.shutDown()
		return nil, err
	}
	r.sweep(e.options.FS)
	e.options.Logger.Info("store opened", "dir", e.options.Dir, "store", e.identity.Store.String(), "epoch", s.epoch,
		"took", time.Duration(e.options.Clock.Mono()-began), "clean", r.clean)
	return s, nil
}

func (e *Engine) newShard(m engine.Machine) *shard {
	o := &e.options
	s := &shard{
		engine: e, options: o, machine: m, index: index.New(o.TailBytes),
		arenas: cache.NewArenas(int(min(layout.CommitBytesAim, o.SegmentBytes)), freeArenas),
		files:  cache.NewFiles(o.FS, o.Dir), sections: cache.NewSections(sectionCacheBytes),
		topics: map[engine.TopicID]topicTail{}, nextID: 1,
		kicked: make(chan struct{}, 1), failed: make(chan struct{}), halted: make(chan struct{}),
		stop: make(chan struct{}), drained: make(chan struct{}), prepare: make(chan struct{}, 1),
		keeper: keeper{
			woken: make(chan struct{}, 1), snapshots: make(chan *snapshot, 1), listed: map[uint64]map[uint64]bool{},
		},
	}
	s.lazy = o.Clock.AfterFunc(engine.LazyMax, s.lazyDue)
	s.lazy.Stop()
	s.committer.timer = o.Clock.AfterFunc(time.Hour, s.syncLater)
	s.committer.timer.Stop()
	return s
}

// takeOver takes over what recovery found, and makes the new epoch's first segment and its entry in the epoch file.
func (s *shard) takeOver(r *recovery) error {
	o, k := s.options, &s.keeper
	s.epoch = max(r.epoch, r.mark.Epoch) + 1
	s.seq, s.committer.seq = r.seq, r.seq
	s.nextSegment = r.used.NextSegment
	for id := range r.heads {
		s.nextSegment = max(s.nextSegment, id+1)
	}
	s.spares = r.spares
	for id, t := range s.index.Topics {
		s.topics[id] = topicTail{next: t.Next}
	}
	k.next, k.at = r.numbers[len(r.numbers)-1]+1, r.used.At
	for _, c := range []*layout.Checkpoint{r.previous, r.used} {
		if c != nil {
			k.kept = append(k.kept, c.Number)
			k.listed[c.Number] = listOf(c)
		}
	}
	h := layout.SegmentHeader{
		ID: s.nextSegment, Prev: r.tail.ID, PrevEnd: r.tail.End, PrevSeq: r.seq, Created: o.Clock.Wall(),
	}
	if h.Size = s.fittingSegment(); h.Size < o.SegmentBytes {
		s.dropSpares()
		h.Size = max(s.fittingSegment(), segmentBytesMin) // a start must be possible as long as anything is: it makes space again
	}
	s.nextSegment++
	f, err := layout.CreateSegment(o.FS, o.Dir, r.store, &h, "")
	if err != nil {
		return fmt.Errorf("make %s: %w", layout.SegmentName(h.ID), err)
	}
	first := index.NewSegment(h, r.store, f)
	s.index.Segments[h.ID] = first
	mark := layout.EpochMark{Epoch: s.epoch, Segment: h.ID}
	if err := layout.WriteFile(o.FS, o.Dir, layout.EpochName, mark.Encode(r.store)); err != nil {
		return fmt.Errorf("write %s: %w", layout.EpochName, err)
	}
	s.switchTo(first)
	s.committer.written = layout.At(h.ID, layout.PageBytes)
	s.committer.synced = s.committer.written
	return nil
}

// startKeeping sets to work those who keep house for the committer.
func (s *shard) startKeeping() {
	s.sortSpares()
	s.ended.Add(2)
	go s.keep()
	go s.prepareSegments()
	s.prepareSoon()
	s.keeper.wake()
}

// Close implements engine.Engine: it releases the shard if its owner has not.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	var err error
	if e.shard != nil {
		err = e.shard.Release(context.Background())
	}
	return errors.Join(err, e.lock.Close())
}
