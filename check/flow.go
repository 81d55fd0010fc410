package check

import (
	"container/heap"
	"fmt"
)

// judgeFlow asks that nothing arrives on a stream that is at one of its limits already. One message may pass the limit in bytes: it is
// sent while there is room, however large it is.
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
				reason := fmt.Sprintf("message arrived while the stream held %d messages of %d bytes", load.Messages, load.Bytes)
				found = append(found, violation(reason, s.Event, d.Event))
			}
			load.Messages++
			load.Bytes += d.Bytes
			heap.Push(&ends, heldEnd{heldUntil(d, o.Slack.Nanoseconds()), d.Bytes})
		}
	}
	return found
}

// heldEnd is when a message stops to count.
type heldEnd struct{ at, bytes int64 }

// endHeap has the earliest end first.
type endHeap []heldEnd

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
