// Package memory is the storage contract with nothing behind it but slices: the engine for tests of what stands on one, and the model
// that real engines are compared with. It is written to be obviously right, not fast.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// Store is what a disk is to a disk engine: it outlives the engines that are opened on it. The zero value is empty and ready.
type Store struct {
	mu   sync.Mutex
	logs map[engine.ShardID]*log
	full bool
}

// SetFull makes every engine on the store refuse blocks with ErrFull, or take them again.
func (st *Store) SetFull(full bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.full = full
}

// Kill shuts out all engines on the store as the end of their process would: records that were enqueued and not yet durable are gone.
func (st *Store) Kill() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, l := range st.logs {
		l.takeOver()
	}
}

// Checkpoint saves the machine of each shard as it is now, as a real engine does from time to time.
func (st *Store) Checkpoint() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, l := range st.logs {
		if err := l.checkpoint(); err != nil {
			return err
		}
	}
	return nil
}

func (l *log) checkpoint() error {
	l.commit.Lock()
	defer l.commit.Unlock()
	if l.owner == nil {
		return nil
	}
	return l.owner.checkpoint()
}

func (st *Store) isFull() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.full
}

func (st *Store) log(id engine.ShardID) *log {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.logs == nil {
		st.logs = map[engine.ShardID]*log{}
	}
	l, ok := st.logs[id]
	if !ok {
		l = &log{nextID: 1, next: map[engine.TopicID]engine.Offset{}, blocks: map[engine.TopicID][]engine.Block{}}
		st.logs[id] = l
	}
	return l
}

// log is what a shard has durably. commit is held while records become durable and are applied, so that they do so in one order and
// never during a change of owner; mu, which may be taken under it, guards everything else.
type log struct {
	commit sync.Mutex
	owner  *shard // nil once it is shut out or gives the log back

	mu       sync.Mutex
	epoch    uint64
	saved    []byte          // the machine's state at the last checkpoint, or nil
	records  []engine.Record // since then; bodies of notes only
	nextID   uint64
	lastTime int64
	next     map[engine.TopicID]engine.Offset
	blocks   map[engine.TopicID][]engine.Block
}

// takeOver begins a new epoch and gives it back.
func (l *log) takeOver() uint64 {
	l.commit.Lock()
	defer l.commit.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	l.owner = nil
	return l.epoch
}

// Engine implements engine.Engine.
type Engine struct {
	store *Store
	clock clock.Clock

	mu     sync.Mutex
	closed bool
	owned  []*shard
}

// Open gives an engine on the store. There may be several: an owner that one of them makes shuts out those of the others.
func Open(store *Store, c clock.Clock) *Engine { return &Engine{store: store, clock: c} }

// Own implements engine.Engine. Every shard exists.
func (e *Engine) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, engine.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := e.store.log(id)
	s := &shard{log: l, store: e.store, clock: e.clock, machine: m, epoch: l.takeOver(), failed: make(chan struct{})}
	if err := s.rebuild(); err != nil {
		return nil, fmt.Errorf("own shard %d: %w", id, err)
	}
	e.owned = append(e.owned, s)
	return s, nil
}

// Close implements engine.Engine: shards that are still owned are released.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	for _, s := range e.owned {
		// A shard that failed or was fenced has said so to its owner.
		_ = s.Release(context.Background())
	}
	return nil
}

// rebuild gives the machine what is durable, and takes up stamping where the last owner's durable records end: those that it only
// enqueued have left no trace.
func (s *shard) rebuild() error {
	l := s.log
	l.commit.Lock()
	defer l.commit.Unlock()
	l.owner = s
	l.mu.Lock()
	saved, records := l.saved, slices.Clone(l.records)
	s.tail = tail{nextID: l.nextID, lastTime: l.lastTime, next: map[engine.TopicID]engine.Offset{}}
	for topic, next := range l.next {
		s.tail.next[topic] = next
	}
	l.mu.Unlock()
	if saved != nil {
		if err := s.machine.Restore(bytes.NewReader(saved)); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	for i := range records {
		r := records[i]
		if err := s.machine.Apply(&r); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	return nil
}

// checkpoint saves the machine's state. The log's commit mutex is held.
func (s *shard) checkpoint() error {
	var state bytes.Buffer
	if err := s.machine.Save(&state); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saved, l.records = append([]byte{}, state.Bytes()...), nil
	return nil
}

// tail is what stamping needs to know.
type tail struct {
	nextID   uint64
	lastTime int64
	next     map[engine.TopicID]engine.Offset
}

func (t *tail) stamp(r *engine.Record, now int64) {
	t.lastTime = max(t.lastTime, now-now%int64(time.Millisecond))
	r.Stamp = engine.Stamp{First: t.next[r.Topic], ID: t.nextID, Time: t.lastTime}
	t.next[r.Topic] += engine.Offset(r.Count)
	t.nextID += uint64(r.Count)
}
