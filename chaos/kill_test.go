package chaos

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
	"github.com/posthaste-io/posthaste/check"
)

// readyWithin bounds a start: the promise is 2 s, the rest is for a machine that does other things as well.
const readyWithin = 20 * time.Second

// tolerance are the options of a judgement when broker, clients and other tests share two cores.
func tolerance(faults int) check.Options {
	return check.Options{Slack: time.Second, RedeliverWithin: 2 * time.Second, AckSettle: 2 * time.Second, Faults: faults, Bitten: 0.9}
}

func TestKillUnderLoad(t *testing.T) {
	underLoad(t, *cyclesFlag, func(_ context.Context, b *process.Broker) error { return b.Kill() })
}

func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	underLoad(t, max(2, *cyclesFlag/10), func(ctx context.Context, b *process.Broker) error { return b.Stop(ctx) })
}

// underLoad ends the broker again and again while clients work, starts it again each time, and has the history judged.
func underLoad(t *testing.T, cycles int, end func(context.Context, *process.Broker) error) {
	s := seed(t)
	b := newBroker(t)
	ready(t, b)
	l := newLoad(t, b.Addr, s)
	random := l.random("faults")
	l.start()
	var took []time.Duration
	for i := range cycles {
		work := *afterMin + time.Duration(random.Int64N(int64(*afterMax-*afterMin)+1))
		// A fault comes after a time and not after an event: that is what makes it hit anything.
		time.Sleep(work)
		fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Call: int64(i), Detail: t.Name()}
		l.history.Record(fault)
		ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
		if err := end(ctx, b); err != nil {
			t.Fatalf("cycle %d: end of the broker: %v", i, err)
		}
		cancel()
		took = append(took, ready(t, b))
		fault.Phase = check.PhaseOK
		l.history.Record(fault)
	}
	// Work after the last fault, which the judgement asks for.
	time.Sleep(*afterMax)
	l.drain()
	slices.Sort(took)
	t.Logf("%d cycles; ready again p50 %v, p99 %v, most %v", cycles, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	if p99 := took[len(took)*99/100]; p99 > *readyMax {
		t.Errorf("ready again after %v at p99, want at most %v", p99, *readyMax)
	}
	l.judge(tolerance(cycles))
}

// logShownMax is how much of the output of a broker that shows no defect is of interest.
const logShownMax = 2 << 10

// newBroker prepares a broker on a fresh data directory; its output is shown when the test fails.
func newBroker(t *testing.T, args ...string) *process.Broker {
	t.Helper()
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	log := new(process.Log)
	b := &process.Broker{Addr: addr, Data: filepath.Join(t.TempDir(), "data"), Args: args, Log: log}
	t.Cleanup(func() {
		if b.Done() != nil {
			if err := b.Kill(); err != nil {
				t.Error(err)
			}
		}
		if alarm := log.Alarm(); alarm != "" {
			t.Errorf("the broker has a defect: %s", alarm)
		}
		if t.Failed() {
			output := log.String()
			if log.Alarm() == "" { // what the test itself found says more
				output = output[max(0, len(output)-logShownMax):]
			}
			t.Logf("the broker's last output:\n%s", output)
		}
	})
	return b
}

// ready starts the broker and returns how long it took until it was ready.
func ready(t *testing.T, b *process.Broker) time.Duration {
	t.Helper()
	if err := b.Build(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	begin := time.Now()
	if err := b.Start(ctx); err != nil {
		t.Fatalf("start: %v\n%s", err, b.Log)
	}
	return time.Since(begin)
}
