package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
	"github.com/posthaste-io/posthaste/check"
)

// waveMessages bounds what one history holds: its judge keeps all of it in memory.
const waveMessages = 100_000

// waves runs a test with so many messages at most, each time on a broker of its own and with a seed of its own.
func waves(t *testing.T, messages int, run func(t *testing.T, seed uint64, messages int)) {
	s := seed(t)
	for ; messages > 0 && !t.Failed(); messages -= waveMessages {
		run(t, s, min(messages, waveMessages))
		s++
	}
}

// killUntil kills the broker and starts it again, after times that random chooses, until so many messages were accepted. It returns how
// often that was.
func (l *load) killUntil(t *testing.T, b *process.Broker, random *rand.Rand, messages int) (kills int) {
	t.Helper()
	for l.accepted.Load() < int64(messages) {
		// A fault comes after a time and not after an event: that is what makes it hit anything.
		time.Sleep(*afterMin + time.Duration(random.Int64N(int64(*afterMax-*afterMin)+1)))
		l.kill(t, b, kills)
		kills++
		if t.Failed() {
			break
		}
	}
	time.Sleep(*afterMax) // work after the last fault, which the judgement asks for
	return kills
}

// kill kills the broker, starts it again and records both.
func (l *load) kill(t *testing.T, b *process.Broker, number int) {
	t.Helper()
	fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Call: int64(number), Detail: t.Name()}
	l.history.Record(fault)
	l.lag.faults.Add(1)
	defer l.lag.faults.Add(1)
	if err := b.Kill(); err != nil {
		t.Fatalf("kill %d: %v", number, err)
	}
	ready(t, b)
	fault.Phase = check.PhaseOK
	l.history.Record(fault)
}
