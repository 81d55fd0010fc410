package chaos

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/check"
)

// The subscriptions of the test of dead letters, and where their dead letters go: apart, so that each has every letter once.
const (
	gravesOrdered  = "projects/one/topics/graves-ordered"
	gravesPlain    = "projects/one/topics/graves-plain"
	poisonAttempts = 5
)

var poisoned = []plan{
	{name: "projects/one/subscriptions/poisoned-ordered", topic: parcels, streams: 2, poison: true, limits: check.Limits{Messages: 50},
		config: check.Config{Ordered: true, AttemptsMax: poisonAttempts, DeadLetterTopic: gravesOrdered}},
	{name: "projects/one/subscriptions/poisoned-plain", topic: parcels, streams: 2, poison: true, limits: check.Limits{Messages: 50},
		config: check.Config{AttemptsMax: poisonAttempts, DeadLetterTopic: gravesPlain}},
	{name: "projects/one/subscriptions/mourner-ordered", topic: gravesOrdered, streams: 1},
	{name: "projects/one/subscriptions/mourner-plain", topic: gravesPlain, streams: 1},
}

// errPoisoned ends a stream as the crash of its subscriber would.
var errPoisoned = errors.New("brought down by a message")

// poisonous says whether nobody can handle a message: one in a hundred.
func poisonous(payload string) bool { return strings.HasSuffix(payload, "0-0") }

// TestPoisonBecomesDeadLetters kills the broker while subscribers nack one message in a hundred, or are brought down by it. In the end
// exactly these messages are in the dead letter topics, each once, and all others were handled.
func TestPoisonBecomesDeadLetters(t *testing.T) {
	t.Parallel()
	s := seed(t)
	b := newBroker(t)
	ready(t, b)
	l := newLoad(t, b.Addr, s)
	random := l.random("faults")
	l.create([]string{parcels, gravesOrdered, gravesPlain}, poisoned)
	l.read(poisoned)
	l.publish(parcels)
	for i := range *cyclesFlag {
		work := *afterMin + time.Duration(random.Int64N(int64(*afterMax-*afterMin)+1))
		// A fault comes after a time and not after an event: that is what makes it hit anything.
		time.Sleep(work)
		fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Call: int64(i), Detail: t.Name()}
		l.history.Record(fault)
		if err := b.Kill(); err != nil {
			t.Fatalf("cycle %d: %v", i, err)
		}
		ready(t, b)
		fault.Phase = check.PhaseOK
		l.history.Record(fault)
	}
	time.Sleep(*afterMax) // work after the last fault, which the judgement asks for
	l.drain()
	l.mourn(l.judge(tolerance(*cyclesFlag)))
}

// mourn compares what was published with what the dead letter topics had.
func (l *load) mourn(events []check.Event) {
	l.t.Helper()
	want := map[string]bool{}
	letters := map[string]map[string]string{} // by subscription and payload: the message id
	for _, e := range events {
		switch {
		case e.Op == check.OpPublish && e.Phase == check.PhaseOK && poisonous(e.Payload):
			want[e.Payload] = true
		case e.Op == check.OpReceive && strings.Contains(e.Subscription, "/mourner-"):
			if letters[e.Subscription] == nil {
				letters[e.Subscription] = map[string]string{}
			}
			if id := letters[e.Subscription][e.Payload]; id != "" && id != e.MessageID {
				l.t.Errorf("%s is in the dead letter topic of %s as %s and as %s", e.Payload, e.Subscription, id, e.MessageID)
			}
			letters[e.Subscription][e.Payload] = e.MessageID
			if !poisonous(e.Payload) {
				l.t.Errorf("%s came to %s and is no poison", e.Payload, e.Subscription)
			}
		}
	}
	for _, p := range poisoned[2:] {
		for _, payload := range slices.Sorted(maps.Keys(want)) {
			if letters[p.name][payload] == "" {
				l.t.Errorf("%s did not come to %s", payload, p.name)
			}
		}
	}
	if len(want) < *cyclesFlag {
		l.t.Errorf("only %d poisonous messages were accepted", len(want))
	}
	l.t.Logf("%d poisonous messages", len(want))
}
