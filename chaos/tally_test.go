package chaos

import (
	"fmt"
	"testing"

	"github.com/posthaste-io/posthaste/check"
)

// tally counts what happened in a run, so that a test can tell a broker without a fault from a run without an occasion for one.
type tally struct {
	accepted     int
	keys         int
	streams      int
	redeliveries int
	nacks        int
	expiries     int // deliveries that were neither settled nor on a stream that ended, and came again
	refusedAcks  int
	rewinds      int // times that a key went back to an earlier message
	successors   int // messages that came again behind one that had come again
}

// outstanding is a delivery of which the tally knows how it goes on.
type outstanding struct {
	process string
	settled bool
}

func (c tally) String() string {
	return fmt.Sprintf("%d messages accepted, %d ordering keys, %d streams; %d redeliveries: %d nacks, %d leases ran out; %d acknowledgements refused; "+
		"%d times a key went back, %d messages came again behind another", c.accepted, c.keys, c.streams, c.redeliveries, c.nacks, c.expiries,
		c.refusedAcks, c.rewinds, c.successors)
}

// demand fails the test when the run had no nacks, no expiries, no redeliveries or too few faults.
func (c tally) demand(t *testing.T, kills int) {
	t.Helper()
	if c.nacks == 0 || c.expiries == 0 || c.redeliveries == 0 || kills == 0 {
		t.Error("nothing was given back, ran out, came again, or was killed: the run proves nothing")
	}
}

// tallyOf counts, in events that are sorted by time.
func tallyOf(events []check.Event) (c tally) {
	type message struct{ subscription, payload string }
	type queue struct{ subscription, key string }
	position := make(map[string]int)         // of a payload among all publishes
	keys := make(map[string]bool)            // those that were published
	leases := make(map[message]*outstanding) // the newest delivery
	byID := make(map[message]*outstanding)   // by subscription and ack id
	closed := make(map[string]bool)          // streams that ended
	newest, furthest := make(map[queue]int), make(map[queue]int)
	for i := range events {
		e := &events[i]
		switch {
		case e.Op == check.OpPublish && e.Phase == check.PhaseInvoke:
			position[e.Payload] = len(position)
			keys[e.Key] = true
		case e.Op == check.OpPublish && e.Phase == check.PhaseOK:
			c.accepted++
		case e.Op == check.OpStream && e.Phase == check.PhaseInvoke:
			c.streams++
		case e.Op == check.OpStream:
			closed[e.Process] = true
		case e.Op == check.OpReceive:
			m := message{e.Subscription, e.Payload}
			before, again := leases[m]
			if again {
				c.redeliveries++
				if !before.settled && !closed[before.process] {
					c.expiries++
				}
			}
			leases[m] = &outstanding{process: e.Process}
			byID[message{e.Subscription, e.AckID}] = leases[m]
			if e.Key == "" {
				continue
			}
			q, at := queue{e.Subscription, e.Key}, position[e.Payload]
			if at < newest[q] {
				c.rewinds++
			} else if again && newest[q] < furthest[q] {
				c.successors++
			}
			newest[q], furthest[q] = at, max(at, furthest[q])
		case e.Op == check.OpNack:
			c.nacks++
			byID[message{e.Subscription, e.AckID}].settled = true
		case e.Op == check.OpAck && e.Phase == check.PhaseFail:
			c.refusedAcks++
		case e.Op == check.OpAck && e.Phase == check.PhaseInvoke:
			byID[message{e.Subscription, e.AckID}].settled = true
		}
	}
	delete(keys, "")
	c.keys = len(keys)
	return c
}
