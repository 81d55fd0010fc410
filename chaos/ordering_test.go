package chaos

import (
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/check"
)

// streamLife is how long a stream of the ordering test lives on average.
const streamLife = time.Second

// TestOrdering kills the broker while streams with ordering keys come and go, and messages are given back or left to expire. The history
// tells of messages that were passed over; here it is asked that redeliveries were followed by what had come after them before.
func TestOrdering(t *testing.T) {
	t.Parallel()
	waves(t, *orderCount, func(t *testing.T, seed uint64, messages int) {
		b := newBroker(t)
		ready(t, b)
		l := newLoad(t, b.Addr, seed)
		l.keys = max(1, *orderKeys/publishers)
		plans := []plan{
			{name: "projects/one/subscriptions/ordered-a", topic: parcels, config: check.Config{Ordered: true}, streams: 3, churn: streamLife},
			{name: "projects/one/subscriptions/ordered-b", topic: parcels, config: check.Config{Ordered: true}, streams: 2, churn: streamLife},
		}
		l.create([]string{parcels}, plans)
		l.read(plans)
		l.measure(parcels)
		l.publish(parcels)
		kills := l.killUntil(t, b, l.random("faults"), messages)
		l.drain()
		seen := tallyOf(l.judgeByLag(kills))
		t.Log(seen)
		seen.demand(t, kills)
		if seen.rewinds == 0 || seen.successors == 0 || seen.streams <= 2*len(plans)*(kills+1) {
			t.Error("no key was taken back, or streams did not come and go: the run proves nothing")
		}
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
	})
}
