package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
	"github.com/posthaste-io/posthaste/check"
)

const (
	// stallChanges is how often the disk becomes slow in another way.
	stallChanges = 100 * time.Millisecond

	// stallMemory is what the broker may take while its disk is slow, in MiB.
	stallMemory = 512
)

// TestStalledDisk makes every sync of the broker's disk slow under load, each in its own way. A call waits for the sync that is under way
// and for the next, and no longer; nothing is lost, and what waits takes little memory.
func TestStalledDisk(t *testing.T) {
	t.Parallel()
	s := seed(t)
	b := newBroker(t)
	disk, err := process.NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.Disk = disk
	ready(t, b)
	l := newLoad(t, b.Addr, s)
	random := l.random("disk")
	l.start()
	time.Sleep(time.Second) // of ordinary work
	fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Detail: "stalls"}
	l.history.Record(fault)
	before := l.accepted.Load()
	for until := time.Now().Add(*stallFor); time.Now().Before(until); time.Sleep(stallChanges) {
		disk.Stall(*stallMin + time.Duration(random.Int64N(int64(*stallMax-*stallMin)+1)))
	}
	disk.Stall(0)
	accepted := l.accepted.Load() - before
	memory := statusMiB(t, b, "VmHWM:")
	fault.Phase = check.PhaseOK
	l.history.Record(fault)
	time.Sleep(2 * *stallMax) // work afterwards, which the judgement asks for
	l.drain()
	o := tolerance(1)
	o.AckSettle += 2 * *stallMax // an acknowledgement is on its way as long as its sync
	o.Bitten = -1                // calls wait and succeed: how long, is looked at here
	took := publishTimes(l.judge(o))
	if len(took) == 0 || accepted == 0 || took[len(took)-1] < *stallMin {
		t.Fatal("nothing was published meanwhile, or the stalls hit nobody: the run proves nothing")
	}
	p99, most := took[len(took)*99/100], took[len(took)-1]
	t.Logf("%d messages accepted in %v of stalls of %v to %v; publish p50 %v, p99 %v, most %v; %d MiB at most", accepted, *stallFor, *stallMin, *stallMax,
		took[len(took)/2], p99, most, memory)
	if limit := 2**stallMax + time.Second; p99 > limit {
		t.Errorf("publish took %v at p99, want at most %v", p99, limit)
	}
	if memory > stallMemory {
		t.Errorf("the broker took %d MiB, want at most %d", memory, stallMemory)
	}
}

// publishTimes is how long publishes took that were answered and began during a fault, from the shortest to the longest.
func publishTimes(events []check.Event) (took []time.Duration) {
	type call struct {
		process string
		number  int64
	}
	began := make(map[call]int64)
	fault := false
	for i := range events {
		e := &events[i]
		if e.Op == check.OpFault {
			fault = e.Phase == check.PhaseInvoke
		}
		if e.Op != check.OpPublish || e.Phase == check.PhaseInvoke && !fault {
			continue
		}
		key := call{e.Process, e.Call}
		switch begin, known := began[key]; {
		case e.Phase == check.PhaseInvoke:
			began[key] = e.TimeNS
		case e.Phase == check.PhaseOK && known:
			took = append(took, time.Duration(e.TimeNS-begin))
			delete(began, key)
		}
	}
	slices.Sort(took)
	return took
}
