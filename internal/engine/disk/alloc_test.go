package disk

import (
	"context"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// countingMachine does nothing: what is counted is the engine's.
type countingMachine struct{ journal }

func (*countingMachine) Apply(*engine.Record) error { return nil }

// TestAppendAllocatesLittle holds for a commit of its own; appends that share one share what it costs too.
func TestAppendAllocatesLittle(t *testing.T) {
	o := memOptions()
	o.SegmentBytes, o.TailBytes, o.CheckpointBytes = 64<<20, 16<<20, 1<<40
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	owned, err := e.Own(t.Context(), 0, &countingMachine{})
	if err != nil {
		t.Fatal(err)
	}
	recs := []engine.Record{block(1, 100, make([]byte, 2000)), note("a note")}
	mem := testing.AllocsPerRun(2000, func() {
		if err := owned.Append(context.Background(), recs); err != nil {
			t.Fatal(err)
		}
	})
	// Mem itself makes a sector of every 512 bytes written, and remembers the old one.
	const sectors = 2 * 4096 / 512
	if mem > sectors+10 {
		t.Errorf("%v allocations an append", mem)
	}
	batch := engine.Batch{BytesMax: 1 << 20}
	from := engine.Offset(0)
	for what, start := range map[string]engine.Offset{"the tail cache": 150_000, "a file": 100} {
		if n := testing.AllocsPerRun(500, func() {
			if err := owned.Read(context.Background(), 1, start+from, &batch); err != nil {
				t.Fatal(err)
			}
			if len(batch.Blocks) < 100 {
				t.Fatalf("%d blocks", len(batch.Blocks))
			}
			batch.Release()
		}); n > 4 {
			t.Errorf("reading hundreds of blocks from %s: %v allocations", what, n)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
