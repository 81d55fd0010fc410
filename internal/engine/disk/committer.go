package disk

import (
	"fmt"
	"runtime"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/cache"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// committer is the state of the goroutine that makes commits durable. No other goroutine touches it.
//
// For each commit it keeps this order, and every promise of the engine hangs on it:
//
//	write ─▶ sync ─▶ publish to readers ─▶ apply to the machine ─▶ wake the waiters
//
// Nothing is in flight beside the one commit: when a commit is written, everything before it is durable.
type committer struct {
	synced    layout.Position // end of what is known to be durable
	written   layout.Position // end of what is written
	sinceLast int64           // bytes of log since the last snapshot
	crowd     bool            // the last commit had company: more appenders are about to come back
	syncDue   bool            // guarded by the append lock
	armed     bool            // timer runs
	timer     clock.Timer
	seq       uint64 // of the last commit
	record    engine.Record
	// stateBytes is how much the machine's state is expected to take.
	stateBytes int
}

// job is what the committer does next.
type job struct {
	commit   *commit
	sync     bool
	snapshot bool
}

// run is the committer.
func (s *shard) run() {
	defer close(s.drained)
	for {
		j, more := s.take()
		if !more {
			break
		}
		if err := s.do(j); err != nil {
			s.fail(err)
		}
	}
	if s.failure() == nil {
		if err := s.syncLog(); err != nil {
			s.fail(err)
		}
	}
}

func (s *shard) do(j job) error {
	if j.sync {
		if err := s.syncLog(); err != nil {
			return err
		}
	}
	if j.commit != nil {
		if err := s.flush(j.commit); err != nil {
			s.fail(err)
			j.commit.finish(s.failure())
			return nil
		}
	}
	if j.snapshot {
		return s.snapshot()
	}
	return nil
}

// take waits for something to do. It reports false when the committer shall end.
func (s *shard) take() (job, bool) {
	if s.committer.crowd {
		// Those whom the last commit woke are on their way with their next records. Letting them run first makes one commit of what
		// would be two; it costs nothing when nobody is there.
		s.committer.crowd = false
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		j := job{sync: s.committer.syncDue, snapshot: s.err == nil && s.snapshotDue()}
		// The open commit is taken as it is: what came in during the last sync is the batch. With closed ones waiting it may go on
		// filling up, since it would have to wait for them anyway.
		if len(s.queue) == 0 && s.open != nil && (s.open.urgent || s.stopping) {
			s.closeOpen()
		}
		if len(s.queue) > 0 {
			j.commit = s.queue[0]
			s.queue[0] = nil
			s.queue = s.queue[1:]
		}
		if s.err != nil {
			j = job{}
		}
		if j != (job{}) {
			s.committer.syncDue = false
			return j, true
		}
		if s.stopping {
			return job{}, false
		}
		s.idle = true
		s.mu.Unlock()
		<-s.kicked
		s.mu.Lock()
		s.idle = false
	}
}

// lazyDue is called LazyMax after something was enqueued that nobody waits for.
func (s *shard) lazyDue() {
	s.mu.Lock()
	s.lazyArmed = false
	if s.open != nil {
		s.open.urgent = true
	}
	s.mu.Unlock()
	s.kick()
}

// flush makes one commit durable and applies it. Its error means that nobody knows what the disk has of the commit: some of it, all of it
// or nothing. Recovery will find out and may well find all of it, which is why the waiters hear ErrFailed and not a definite no.
func (s *shard) flush(c *commit) error {
	k := &s.committer
	header := layout.CommitHeader{
		Length: uint32(c.bytes), Seq: c.seq, Epoch: s.epoch, At: c.at, Synced: k.synced, Records: c.records,
	}
	b := c.arena.Mem[c.start : c.start+c.padded()]
	header.Encode(b, c.segment.Salt)
	clear(b[c.bytes:]) // the arena may have been used before, and what it held is nobody's business
	if _, err := c.segment.Writer.WriteAt(b, c.at.Offset); err != nil {
		return fmt.Errorf("write commit %d to %s: %w", c.seq, layout.SegmentName(c.segment.ID), err)
	}
	k.written, k.seq = layout.At(c.segment.ID, header.End()), c.seq
	if s.options.Sync.Always() || c.next != nil {
		if err := c.segment.Writer.Sync(); err != nil {
			return fmt.Errorf("sync commit %d to %s: %w", c.seq, layout.SegmentName(c.segment.ID), err)
		}
		k.synced = k.written
	} else if s.options.Sync.Interval > 0 && !k.armed {
		k.armed = true
		k.timer.Reset(s.options.Sync.Interval)
	}
	if err := s.absorb(c.segment, c.at.Offset, b[:c.bytes], c.arena, c.start+c.padded()); err != nil {
		return err
	}
	if c.next != nil {
		s.sealed(c, header.End())
	}
	s.commits.Add(1)
	s.written.Add(int64(c.padded()))
	k.sinceLast += int64(c.padded())
	k.crowd = c.records > 1
	s.mu.Lock()
	s.dirty -= int64(c.bytes - layout.CommitHeaderBytes)
	failure := s.err
	s.announce()
	s.mu.Unlock()
	// The commit is durable, but after an error elsewhere in the store nothing is answered positively any more.
	c.finish(failure)
	return nil
}

// absorb takes in the records of a durable commit: blocks become readable, then the machine sees all of them in log order. In a
// running log the commit ends at byte end of its arena; while a log is being replayed there is no arena.
func (s *shard) absorb(g *index.Segment, at int64, commit []byte, a *cache.Arena, end int) error {
	// Blocks before notes and all under one lock: whoever the machine tells of a block finds it, and a reader sees a commit as a whole.
	s.index.Mu.Lock()
	var h layout.RecordHeader
	for i := layout.CommitHeaderBytes; i < len(commit); i += h.Bytes() {
		h.Decode(commit[i:])
		if h.Kind != engine.KindBlock {
			continue
		}
		if err := s.index.Add(g, at+int64(i), &h); err != nil {
			s.index.Mu.Unlock()
			return fmt.Errorf("%v: %w", layout.At(g.ID, at+int64(i)), err)
		}
	}
	if a != nil {
		s.index.Tail.Publish(a, end)
	}
	s.index.Mu.Unlock()

	for i := layout.CommitHeaderBytes; i < len(commit); i += h.Bytes() {
		h.Decode(commit[i:])
		if err := s.apply(&h, commit[i+layout.HeaderBytes(h.Kind):][:h.Length]); err != nil {
			return fmt.Errorf("apply the record of %v: %w", layout.At(g.ID, at+int64(i)), err)
		}
	}
	return nil
}

// apply hands one durable record to whom it concerns.
func (s *shard) apply(h *layout.RecordHeader, body []byte) error {
	switch {
	case h.Kind == layout.KindForget && len(body) == 8:
		s.index.Forget(engine.TopicID(layout.Little.Uint64(body)))
		return nil
	case h.Kind >= layout.KindOwnMin:
		return nil // recovery has its own interest in them
	case h.Kind == engine.KindBlock:
		body = nil
	}
	s.committer.record = engine.Record{Kind: h.Kind, Topic: h.Topic, Count: h.Count, Body: body, Stamp: h.Stamp}
	return s.machine.Apply(&s.committer.record)
}

// syncLog makes everything written durable, for the modes that do not sync each commit.
func (s *shard) syncLog() error {
	k := &s.committer
	k.armed = false
	if k.synced == k.written {
		return nil
	}
	s.index.Mu.RLock()
	g := s.index.Segments[k.written.Segment]
	s.index.Mu.RUnlock()
	if err := g.Writer.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", layout.SegmentName(g.ID), err)
	}
	k.synced = k.written
	return nil
}

// syncLater is called when the sync interval is over.
func (s *shard) syncLater() {
	s.mu.Lock()
	s.committer.syncDue = true
	s.mu.Unlock()
	s.kick()
}

// sealed notes that a segment is complete and hands it to the keeper. The seal was synced in every mode, and it was the last commit in the
// segment: from here on its log part does not change. Its successor becomes one that the index may refer to.
func (s *shard) sealed(c *commit, end int64) {
	s.index.Mu.Lock()
	c.segment.End, c.segment.Sealed = end, true
	c.segment.FileBytes = max(c.segment.FileBytes, end) // a commit that is larger than a segment made the file grow
	s.index.Segments[c.next.ID] = c.next
	s.index.Mu.Unlock()
	s.committer.written = layout.At(c.next.ID, layout.PageBytes)
	s.committer.synced = s.committer.written
	s.keeper.wake()
}
