package disk

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// cut is a moment at which the power may fail: before an operation on the disk.
type cut struct {
	step int
	op   vfs.Op
	mem  *vfs.Mem
	h    history
}

func (c *cut) String() string {
	return fmt.Sprintf("step %d, before %v %d of %s at %d, %d bytes", c.step, c.op.Kind, c.op.Nth, c.op.Name, c.op.Offset, c.op.Bytes)
}

// recordCuts plays a script of so many steps and gives every moment at which its disk changed. Now and then the script itself is cut,
// and goes on with what the cut left.
func recordCuts(t testing.TB, seed uint64, steps int) []*cut {
	p := newTape(t, seed)
	var (
		mu   sync.Mutex
		cuts []*cut
	)
	watch := func() (stop func()) {
		mem, stopped := p.mem, false
		p.watch(func(op vfs.Op) *vfs.Fault {
			mu.Lock()
			defer mu.Unlock()
			if stopped || !op.Kind.Changes() {
				return nil
			}
			// First what was answered, then the disk, then what was asked for: so the disk has all of the first and no more than the last.
			before, step := p.known()
			c := &cut{step: step, op: op, mem: mem.Snapshot()}
			c.h, _ = p.known()
			c.h.sure = before.sure
			cuts = append(cuts, c)
			return nil
		})
		return func() {
			mu.Lock()
			defer mu.Unlock()
			stopped = true
		}
	}
	fail := func(err error) {
		if err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, p.step, err)
		}
	}
	stop := watch()
	fail(p.open())
	for range steps {
		if p.rng.IntN(25) > 0 {
			fail(p.play())
			continue
		}
		stop()
		old := p.engine
		p.mem = p.mem.Crash(p.rng)
		stop = watch()
		_ = old.Close()
		fail(p.open())
		fail(p.adopt())
	}
	_ = p.engine.Close()
	return cuts
}

func TestPowerCutAtEveryOperation(t *testing.T) {
	// In the short form each cut gets one of the patterns, in turn.
	seeds, patterns, stride := shortOrLong(1, 2), shortOrLong(5, 5), shortOrLong(5, 1)
	states := 0
	for seed := range uint64(seeds) {
		for i, c := range recordCuts(t, seed, 300) {
			for pattern := i % stride; pattern < patterns; pattern += stride {
				var left *vfs.Mem
				switch pattern {
				case 0: // a kill: the operating system's memory stays
					left = c.mem.Snapshot()
				case 1:
					left = c.mem.Crash(loseAll())
				default:
					left = c.mem.Crash(rand.New(rand.NewPCG(uint64(i), uint64(pattern))))
				}
				if err := checkCrashed(left, c.h, (i+pattern)%4 == 0); err != nil {
					t.Fatalf("seed %d, cut %d (%v), pattern %d: %v", seed, i, c, pattern, err)
				}
				states++
			}
		}
	}
	t.Logf("%d crash states", states)
}
