package disk

import (
	"sync"
	"testing"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/enginetest"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// TestContract runs the kit on a disk in memory, where Kill is a power cut that takes all that was not synced, and on the machine's own.
func TestContract(t *testing.T) {
	t.Run("Mem", func(t *testing.T) {
		enginetest.Run(t, func(*testing.T) enginetest.Store {
			var mu sync.Mutex
			mem := vfs.NewMem()
			return enginetest.Store{
				Open: func(c clock.Clock) (engine.Engine, error) {
					mu.Lock()
					defer mu.Unlock()
					return Open(Options{FS: mem, Dir: "data", Clock: c, SegmentBytes: 64 << 10, CheckpointBytes: 100 << 10})
				},
				Kill: func() {
					mu.Lock()
					defer mu.Unlock()
					mem = mem.Crash(loseAll())
				},
			}
		})
	})
}
