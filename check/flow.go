package check

import (
	"container/heap"
	"fmt"
)

// judgeFlow asks that nothing arrives on a stream that is at one of its limits already. One message may pass the limit in bytes: it is
// sent while there is room, however large it is. A message that was acknowledged does not count, though it was by an ack id of an earlier
// delivery to somebody else, of which the stream's client knows nothing: unless delivery is exactly once, such an ack id still holds.
func judgeFlow(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.streams {
		var load Limits
		var ends endHeap
		for _, d := range s.deliveries {
			for len(ends) > 0 && ends[0].at <= d.at {
				gone := heap.Pop(&ends).(heldEnd)
				load.Messages--
				load.Bytes -= gone.bytes
			}
			if s.full(load) {
				load = h.forgive(&ends, load, d.at, o.Slack.Nanoseconds())
			}
			if s.full(load) {
				reason := fmt.Sprintf("message arrived while the stream held %d messages of %d bytes", load.Messages, load.Bytes)
				found = append(found, violation(reason, s.Event, d.Event))
			}
			load.Messages++
			load.Bytes += d.Bytes
			heap.Push(&ends, heldEnd{heldUntil(d, o.Slack.Nanoseconds()), d.Bytes, d})
		}
	}
	return found
}

// heldEnd is when a message stops to count.
type heldEnd struct {
	at, bytes int64
	of        *delivery
}

// endHeap has the earliest end first.
type endHeap []heldEnd

// forgive takes out, and off the load, what the broker has taken back with an earlier message of its key, and what was acknowledged by an
// older ack id. It is asked only when a limit seems to be passed: it looks at many deliveries.
func (h *History) forgive(ends *endHeap, load Limits, now, slack int64) Limits {
	kept := (*ends)[:0]
	for _, e := range *ends {
		settled := e.of.ackedEver() < now && !e.of.sub.exactlyOnce(e.of.at, now)
		if settled {
			h.excuse("flow control: acknowledged by an older ack id", 1)
		}
		if settled || keyReleased(e.of, now, slack) {
			load.Messages--
			load.Bytes -= e.bytes
			continue
		}
		kept = append(kept, e)
	}
	*ends = kept
	heap.Init(ends)
	return load
}

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h endHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are container/heap's.
func (h *endHeap) Push(x any) { *h = append(*h, x.(heldEnd)) }

// Pop removes the last element.
func (h *endHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
