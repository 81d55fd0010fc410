package chaos

import (
	"testing"

	"github.com/posthaste-io/posthaste/check"
)

// TestExactlyOnce kills the broker while subscribers acknowledge about when their leases run out, on streams and by calls, and send ack
// ids again that no longer hold. The history tells of messages that come after a confirmed acknowledgement, or are lost.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	waves(t, *onceCount, func(t *testing.T, seed uint64, messages int) {
		b := newBroker(t)
		ready(t, b)
		l := newLoad(t, b.Addr, seed)
		stale := newStaleIDs(l.random("stale"), false)
		plans := []plan{
			{name: "projects/two/subscriptions/once-late", topic: stamps, config: check.Config{ExactlyOnce: true}, streams: 2, pullers: 1, late: true, replay: stale},
			{name: "projects/two/subscriptions/once-ordered", topic: parcels, config: check.Config{ExactlyOnce: true, Ordered: true}, streams: 2,
				limits: check.Limits{Messages: *onceOutstanding}, replay: newStaleIDs(l.random("stale-ordered"), true)},
		}
		l.create([]string{stamps, parcels}, plans)
		l.read(plans)
		l.measure(stamps)
		l.publish(stamps, parcels)
		kills := l.killUntil(t, b, l.random("faults"), messages)
		l.drain()
		seen := tallyOf(l.judgeByLag(kills))
		t.Log(seen)
		for _, p := range plans {
			replaced, refused := p.replay.counts()
			t.Logf("%s: %d ack ids were replaced by later deliveries, %d replays of stale ids were refused", p.name, replaced, refused)
			if replaced == 0 || refused == 0 {
				t.Errorf("%s: no stale ack id was replayed: the run proves nothing", p.name)
			}
		}
		seen.demand(t, kills)
		if seen.refusedAcks == 0 {
			t.Error("no acknowledgement came too late: the run proves nothing")
		}
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
	})
}
