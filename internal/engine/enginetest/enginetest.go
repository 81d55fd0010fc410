// Package enginetest checks an implementation of engine.Engine against the contract. Every implementation runs it; each case is one
// sentence of the contract, and its name says which.
package enginetest

import (
	"context"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// Store is where engines under test keep what is durable. One engine is open on it at a time.
type Store struct {
	// Open opens an engine: a restart, when there was one before.
	Open func(c clock.Clock) (engine.Engine, error)
	// Kill ends the open engine as kill -9 or a power cut does. The engine's methods may still be called, to no effect on the store.
	Kill func()
}

// Run checks the contract. store makes an empty one for each case.
func Run(t *testing.T, store func(t *testing.T) Store) {
	for _, group := range []map[string]func(*owner){
		appendCases, enqueueCases, readCases, timeCases, trimCases, ownerCases, failureCases, historyCases,
	} {
		for name, run := range group {
			t.Run(name, func(t *testing.T) {
				o := &owner{T: t, store: store(t), clock: clock.System()}
				t.Cleanup(o.cleanup)
				run(o)
			})
		}
	}
}

// owner is the one who holds shard 0 of the engine under test.
type owner struct {
	*testing.T
	store   Store
	clock   clock.Clock
	engine  engine.Engine
	shard   engine.Shard
	machine *Recorder
}

// limit bounds every wait: an engine that hangs must fail its case, not the run.
const limit = 30 * time.Second

func (o *owner) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	o.Cleanup(cancel)
	return ctx
}

func (o *owner) cleanup() {
	if o.engine != nil {
		if err := o.engine.Close(); err != nil {
			o.Errorf("closing the engine at the end: %v", err)
		}
	}
}

// open starts an engine and owns the shard.
func (o *owner) open() {
	o.Helper()
	o.start()
	o.own()
}

func (o *owner) start() {
	o.Helper()
	e, err := o.store.Open(o.clock)
	if err != nil {
		o.Fatalf("open: %v", err)
	}
	o.engine = e
}

// own claims the shard for a fresh machine; an owner that this shuts out keeps its shard value.
func (o *owner) own() {
	o.Helper()
	machine := &Recorder{}
	s, err := o.engine.Own(o.context(), 0, machine)
	if err != nil {
		o.Fatalf("own: %v", err)
	}
	o.shard, o.machine = s, machine
}

func (o *owner) close() {
	o.Helper()
	if err := o.engine.Close(); err != nil {
		o.Fatalf("close: %v", err)
	}
	o.engine = nil
}

func (o *owner) release() {
	o.Helper()
	if err := o.shard.Release(o.context()); err != nil {
		o.Fatalf("release: %v", err)
	}
}

// ways are the ways in which one owner follows another.
func (o *owner) ways() map[string]func() {
	return map[string]func(){
		"own again":      o.own,
		"release":        func() { o.release(); o.own() },
		"close":          func() { o.close(); o.open() },
		"release, close": func() { o.release(); o.close(); o.open() },
		"kill":           o.kill,
	}
}

// kill leaves the engine to itself, as the end of its process would, and starts another.
func (o *owner) kill() {
	o.Helper()
	old := o.engine
	o.store.Kill()
	o.engine = nil
	o.open()
	o.Cleanup(func() { _ = old.Close() })
}

// append appends and must succeed.
func (o *owner) append(recs ...engine.Record) []engine.Record {
	o.Helper()
	if err := o.shard.Append(o.context(), recs); err != nil {
		o.Fatalf("append: %v", err)
	}
	return recs
}

func (o *owner) enqueue(recs ...engine.Record) []engine.Record {
	o.Helper()
	if err := o.shard.Enqueue(recs); err != nil {
		o.Fatalf("enqueue: %v", err)
	}
	return recs
}

// read gives copies of the blocks that one Read finds.
func (o *owner) read(t engine.TopicID, from engine.Offset, bytesMax int) []engine.Block {
	o.Helper()
	batch := engine.Batch{BytesMax: bytesMax}
	if err := o.shard.Read(o.context(), t, from, &batch); err != nil {
		o.Fatalf("read of topic %d from %d: %v", t, from, err)
	}
	return Take(&batch)
}

// readAll follows a topic from an offset to its end.
func (o *owner) readAll(t engine.TopicID, from engine.Offset, bytesMax int) []engine.Block {
	o.Helper()
	all, err := ReadAll(o.context(), o.shard, t, from, bytesMax)
	if err != nil {
		o.Fatalf("read of topic %d: %v", t, err)
	}
	return all
}

// wantApplied checks that the machine has seen exactly the records of these appends, in order.
func (o *owner) wantApplied(appends ...[]engine.Record) {
	o.Helper()
	var want []engine.Record
	for _, recs := range appends {
		want = append(want, recs...)
	}
	if diff := Diff(o.machine.Records(), want); diff != "" {
		o.Fatalf("the machine has seen something else than what was appended: %s", diff)
	}
}

// wantBlocks checks that the blocks are those of the records, byte for byte.
func (o *owner) wantBlocks(got []engine.Block, want ...engine.Record) {
	o.Helper()
	if diff := DiffBlocks(got, want); diff != "" {
		o.Fatalf("read something else than what was appended: %s", diff)
	}
}
