package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
	"github.com/posthaste-io/posthaste/check"
)

// kept is a subscription that nobody reads until the end: what the clock took from it would be lost.
const kept = "projects/one/subscriptions/letters-kept"

// setting is what somebody does to the machine's clock.
type setting struct {
	name string
	by   time.Duration
	kill bool // crash afterwards: a broker that starts believes the clock, so not where that says that everything is too old
}

// settings put the clock right again in the end, so that a run may repeat them.
func settings(now time.Time) []setting {
	const week = 7 * 24 * time.Hour
	to1970 := -time.Duration(now.UnixNano())
	return []setting{
		{"an hour back", -time.Hour, true}, {"right from an hour behind", time.Hour, false},
		{"an hour ahead", time.Hour, true}, {"right from an hour ahead", -time.Hour, false},
		{"a second back", -time.Second, false}, {"right from a second behind", time.Second, false},
		{"more than a week ahead", week + time.Hour, false}, {"right from a week ahead", -week - time.Hour, true},
		{"a week back", -week, false}, {"right from a week behind", week, false},
		{"to 1970", to1970, true}, {"right from 1970", -to1970, false},
	}
}

// TestClockUnderLoad sets the broker's clock again and again while clients work, and kills it now and then. Nothing may be lost, come early or
// late, or have a publish time before that of an earlier message.
func TestClockUnderLoad(t *testing.T) {
	t.Parallel()
	s := seed(t)
	b := newBroker(t)
	clock, err := process.NewClock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.Clock = clock
	ready(t, b)
	l := newLoad(t, b.Addr, s)
	random := l.random("clock")
	idle := []plan{{name: kept, topic: letters}}
	topics := []string{letters, parcels, stamps}
	l.create(topics, slices.Concat(subscriptions, idle))
	l.read(subscriptions)
	l.publish(topics...)
	l.publishers.Go((&seeker{load: l, random: l.random("seeker")}).run)
	list, kills := settings(clock.Now()), 0
	for i := range *settingsFlag {
		work := *afterMin + time.Duration(random.Int64N(int64(*afterMax-*afterMin)+1))/2
		time.Sleep(work) // a clock is set after a time and not after an event
		set := list[i%len(list)]
		t.Logf("the clock is set: %s", set.name)
		clock.Set(set.by)
		if !set.kill {
			continue
		}
		fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Call: int64(kills), Detail: set.name}
		l.history.Record(fault)
		kills++
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		ready(t, b)
		fault.Phase = check.PhaseOK
		l.history.Record(fault)
	}
	time.Sleep(*afterMax) // work after the last fault, which the judgement asks for
	idle[0].streams = 1
	l.read(idle)
	l.drain()
	l.judge(tolerance(kills))
}
