package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// shard is one owner's hold on a log. Records wait in pending, in log order, until somebody commits them: an Append at once, the lazy
// timer for what was only enqueued.
type shard struct {
	log     *log
	store   *Store
	clock   clock.Clock
	machine engine.Machine // under log.commit
	epoch   uint64
	failed  chan struct{}

	mu      sync.Mutex
	err     error // final
	closing bool
	tail    tail
	pending []*batch
	lazy    clock.Timer // armed while something enqueued waits
}

// batch is the records of one Append or Enqueue.
type batch struct {
	records []engine.Record
	err     error // under log.commit
}

// Epoch implements engine.Shard.
func (s *shard) Epoch() uint64 { return s.epoch }

// Failed implements engine.Shard.
func (s *shard) Failed() <-chan struct{} { return s.failed }

// Append implements engine.Shard.
func (s *shard) Append(ctx context.Context, recs []engine.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := s.enter(recs)
	if err != nil {
		return err
	}
	s.log.commit.Lock()
	defer s.log.commit.Unlock()
	s.commit()
	return b.err
}

// Enqueue implements engine.Shard. It never calls the machine itself: the caller may hold a lock that Apply takes.
func (s *shard) Enqueue(recs []engine.Record) error {
	if _, err := s.enter(recs); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lazy == nil && len(s.pending) > 0 {
		s.lazy = s.clock.AfterFunc(engine.LazyMax, func() {
			s.log.commit.Lock()
			defer s.log.commit.Unlock()
			s.commit()
		})
	}
	return nil
}

// enter stamps the records and gives them their place.
func (s *shard) enter(recs []engine.Record) (*batch, error) {
	full := s.store.isFull()
	for i := range recs {
		r := &recs[i]
		switch {
		case len(r.Body) > engine.RecordBytesMax:
			return nil, fmt.Errorf("memory: record of %d bytes, at most %d can be stored", len(r.Body), engine.RecordBytesMax)
		case r.Kind == engine.KindBlock && r.Count == 0:
			return nil, fmt.Errorf("memory: block without messages for topic %d", r.Topic)
		case r.Kind == engine.KindBlock && full:
			return nil, engine.ErrFull
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.closing {
		return nil, engine.ErrClosed
	}
	b := &batch{}
	now := s.clock.Wall()
	for i := range recs {
		if recs[i].Kind == engine.KindBlock {
			s.tail.stamp(&recs[i], now)
		}
		r := recs[i]
		r.Body = bytes.Clone(r.Body)
		b.records = append(b.records, r)
	}
	s.pending = append(s.pending, b)
	return b, nil
}

// commit makes everything pending durable and applies it. The log's commit mutex is held.
func (s *shard) commit() {
	s.mu.Lock()
	pending, err := s.pending, s.err
	s.pending = nil
	if s.lazy != nil {
		s.lazy.Stop()
		s.lazy = nil
	}
	s.mu.Unlock()
	for _, b := range pending {
		if err == nil {
			err = s.persist(b)
		}
		b.err = err
	}
	if err != nil {
		s.fail(err)
	}
}

// fail is final. Only a machine that refuses a record is a failure of the log; a fenced owner's log is fine.
func (s *shard) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	if errors.Is(err, engine.ErrFailed) {
		close(s.failed)
	}
}

// persist makes one batch durable, all of it or nothing, and applies it.
func (s *shard) persist(b *batch) error {
	l := s.log
	l.mu.Lock()
	if l.epoch != s.epoch {
		l.mu.Unlock()
		return engine.ErrFenced
	}
	for _, r := range b.records {
		if r.Kind == engine.KindBlock {
			l.blocks[r.Topic] = append(l.blocks[r.Topic], engine.Block{Stamp: r.Stamp, Count: r.Count, Body: r.Body})
			l.next[r.Topic] = r.Stamp.First + engine.Offset(r.Count)
			l.nextID, l.lastTime = r.Stamp.ID+uint64(r.Count), r.Stamp.Time
			r.Body = nil
		}
		l.records = append(l.records, r)
	}
	l.mu.Unlock()
	for _, r := range b.records {
		if r.Kind == engine.KindBlock {
			r.Body = nil
		}
		if err := s.machine.Apply(&r); err != nil {
			return fmt.Errorf("%w: apply: %w", engine.ErrFailed, err)
		}
	}
	return nil
}

// usable tells whether the owner may read.
func (s *shard) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return engine.ErrClosed
	}
	return nil
}

// Read implements engine.Shard.
func (s *shard) Read(ctx context.Context, t engine.TopicID, from engine.Offset, into *engine.Batch) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	into.Release()
	total := 0
	for _, b := range s.log.blocks[t] {
		if b.End() <= from {
			continue
		}
		total += len(b.Body)
		if len(into.Blocks) > 0 && total > into.BytesMax {
			break
		}
		into.Blocks = append(into.Blocks, b)
	}
	return nil
}

// OffsetAt implements engine.Shard.
func (s *shard) OffsetAt(ctx context.Context, t engine.TopicID, unixNano int64) (engine.Offset, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, b := range s.log.blocks[t] {
		if b.Time >= unixNano {
			return b.First, nil
		}
	}
	return s.log.next[t], nil
}

// Trim implements engine.Shard.
func (s *shard) Trim(t engine.TopicID, before engine.Offset) {
	if before == engine.Everything {
		s.forget(t)
		return
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.blocks[t] = slices.DeleteFunc(s.log.blocks[t], func(b engine.Block) bool { return b.End() <= before })
}

func (s *shard) forget(t engine.TopicID) {
	s.mu.Lock()
	delete(s.tail.next, t)
	s.mu.Unlock()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	delete(s.log.blocks, t)
	delete(s.log.next, t)
}

// Release implements engine.Shard.
func (s *shard) Release(context.Context) error {
	s.log.commit.Lock()
	defer s.log.commit.Unlock()
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.commit()
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.log.mu.Lock()
	fenced := s.log.epoch != s.epoch
	s.log.mu.Unlock()
	if fenced {
		return engine.ErrFenced
	}
	s.log.owner = nil
	return s.checkpoint()
}
