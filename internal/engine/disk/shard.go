package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/cache"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// shard is the store's one shard while somebody owns it. Three goroutines belong to it:
//
//	appenders ──records──▶ committer ──sealed segments, checkpoints──▶ keeper
//	                           ▲
//	                           └────next segment──── preparer
//
// The committer alone writes to the log and calls the machine. The keeper writes footers and checkpoints, and gives space back. The
// preparer makes the next segment before it is needed.
//
// Locks: mu (the append lock) and index.mu are never held together.
type shard struct {
	engine   *Engine
	options  *Options
	machine  engine.Machine
	epoch    uint64
	index    *index.Index
	arenas   *cache.Arenas
	files    *cache.Files
	sections *cache.Sections

	// What appenders share.
	mu            sync.Mutex
	err           error // final: the log takes no more
	closing       bool  // only the engine's own records are taken
	stopping      bool  // the committer ends when nothing is left
	open          *commit
	queue         []*commit // closed, in log order, not yet taken by the committer
	dirty         int64     // bytes of records that are not durable yet
	active        *index.Segment
	cursor        layout.Position // where the open commit, or the next one, begins
	arena         *cache.Arena
	seq           uint64 // of the last closed commit
	topics        map[engine.TopicID]topicTail
	nextID        uint64
	lastTime      int64
	segmentBlocks int // in the active segment
	segmentTopics int
	ready         *index.Segment // the one that follows the active
	noNext        bool           // it could not be made for want of space
	idle          bool           // the committer waits for a kick
	lazyArmed     bool
	lazy          clock.Timer
	news          chan struct{}
	nextSegment   uint64   // id of the next segment file to be made
	unused        uint64   // the segment that was ready when the shard was shut down
	spares        []string // files of retired segments that can be used again

	wantSnapshot    bool
	snapshotting    bool // one is being taken or written
	snapshotWaiters []chan<- error

	full   atomic.Bool // blocks are refused
	kicked chan struct{}
	failed chan struct{}
	halted chan struct{} // closed when err is set

	committer committer
	keeper    keeper
	stop      chan struct{} // closed when keeper and preparer are to end
	ended     sync.WaitGroup
	over      sync.Once
	drained   chan struct{} // closed when the committer has ended
	prepare   chan struct{}

	appends         atomic.Int64
	commits         atomic.Int64
	written         atomic.Int64
	free            atomic.Int64
	corrupt         atomic.Int64 // blocks that were found damaged
	checkpointBytes atomic.Int64 // size of the last checkpoint, the one before the restart included
}

// Epoch implements engine.Shard.
func (s *shard) Epoch() uint64 { return s.epoch }

// Failed implements engine.Shard.
func (s *shard) Failed() <-chan struct{} { return s.failed }

// kick wakes the committer.
func (s *shard) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// fail poisons the log: after a write or a sync went wrong nobody knows what the disk has, and asking it again would only make it
// forget that it failed. Nothing is answered positively from here on; a restart finds out.
func (s *shard) fail(cause error) {
	s.halt(fmt.Errorf("%w: %w", engine.ErrFailed, cause))
	s.options.Logger.Error("the log failed", "dir", s.options.Dir, "error", cause)
}

// halt makes err the answer to every append from now on, those that wait included.
func (s *shard) halt(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := errors.Is(err, engine.ErrFailed)
	if s.err != nil && (!failed || errors.Is(s.err, engine.ErrFailed)) {
		return
	}
	// A disk that fails while the shard is being given up is still one that failed: the next owner must not trust what it reads.
	if s.err == nil {
		close(s.halted)
	}
	s.err = err
	if failed {
		close(s.failed)
	}
	if s.open != nil {
		s.closeOpen()
	}
	for _, c := range s.queue {
		c.finish(err)
	}
	s.queue = nil
	s.announce()
	s.kick()
}

// finish is called once for each commit, by whoever holds it: the committer for the one that it took, halt for those in the queue. It
// tells all who wait for a commit how it ended.
func (c *commit) finish(err error) {
	c.err = err
	c.arena.Unpin()
	close(c.done)
}

func (s *shard) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Release implements engine.Shard.
func (s *shard) Release(ctx context.Context) error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if again {
		s.shutDown()
		return nil
	}
	err := s.failure()
	if err == nil {
		err = s.lastCheckpoint(ctx)
	}
	s.shutDown()
	if failure := s.failure(); !errors.Is(failure, engine.ErrClosed) {
		err = failure
	} else if err == nil {
		s.tidy()
	}
	return err
}

// shutDown ends the goroutines, the committer last and with everything that was appended durable, and closes all files. It returns when
// that is done, whoever asked for it first.
func (s *shard) shutDown() { s.over.Do(s.end) }

func (s *shard) end() {
	close(s.stop)
	s.ended.Wait()
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	// The seal without a successor tells the next start that nothing comes behind it. A log that cannot take it ends like after a crash.
	_ = s.appendOwn(layout.KindSeal, 0)
	s.mu.Lock()
	s.stopping = true
	s.lazy.Stop()
	s.mu.Unlock()
	s.kick()
	<-s.drained
	s.halt(engine.ErrClosed)
	s.closeFiles()
}

// fence makes way for the next owner, who will read the files: when it returns, nothing of this shard touches them any more. It
// shuts the owner out: what was not durable yet is refused.
func (s *shard) fence() {
	s.halt(engine.ErrFenced)
	s.shutDown()
}

// closeFiles closes every file of the shard. What must be durable has been synced: errors have nothing left to spoil.
func (s *shard) closeFiles() {
	s.mu.Lock()
	if s.ready != nil {
		_ = s.ready.Writer.Close()
		s.unused, s.ready = s.ready.ID, nil
	}
	if s.arena != nil {
		s.arena.Unpin()
		s.arena = nil
	}
	s.mu.Unlock()
	s.index.Mu.Lock()
	for _, segment := range s.index.Segments {
		if segment.Writer != nil {
			_ = segment.Writer.Close()
			segment.Writer = nil
		}
	}
	s.index.Tail.Drop()
	s.index.Mu.Unlock()
	s.arenas.Close()
	s.files.Close()
}
