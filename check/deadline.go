package check

import (
	"cmp"
	"slices"
)

// judgeLate looks for messages that were given back and did not come again in time, although nothing hindered it: no fault, no retry
// policy, no earlier message of its key, and a stream with room for it the whole time.
func judgeLate(h *History, o Options) []Violation {
	slack, within := o.Slack.Nanoseconds(), o.RedeliverWithin.Nanoseconds()
	streams := make(map[string][]*window)
	for _, s := range h.streams {
		streams[s.sub] = append(streams[s.sub], newWindow(s, slack))
	}
	var found []Violation
	for _, s := range h.subscriptions {
		if s.config.Backoff || s.config.Ordered || s.config.AttemptsMax > 0 {
			continue
		}
		largest := int64(0) // message: what is next in line may be as large, and nothing goes past it
		for _, d := range s.deliveries {
			largest = max(largest, d.Bytes)
		}
		for _, d := range s.deliveries {
			from := d.released(slack)
			if from == forever || d.ackedEver() <= from+within {
				continue
			}
			to := from + within
			if d.next != nil && d.next.at <= to || to > min(h.drainedNS, s.until, s.outlived(d.pub)) || h.faultWithin(d.at, to) || s.seekWithin(d.at, to, slack) {
				continue
			}
			if slices.ContainsFunc(streams[s.name], func(w *window) bool { return w.roomy(from, to, largest) }) {
				found = append(found, violation("message did not come again in time after it was given back", d.Event))
			}
		}
	}
	return found
}

// window is how full a stream was over time, as its subscriber saw it.
type window struct {
	*stream
	times []int64 // when the load changed
	loads []Limits
}

// newWindow adds up the messages that a stream held from each change on. The end of a lease counts a little late: nobody is to be accused of
// leaving room unused that was not there yet.
func newWindow(s *stream, slack int64) *window {
	type change struct {
		at, messages, bytes int64
	}
	var changes []change
	for _, d := range s.deliveries {
		changes = append(changes, change{d.at, 1, d.Bytes}, change{heldUntil(d, -slack), -1, -d.Bytes})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.messages, b.messages)) })
	w := &window{stream: s}
	var load Limits
	for _, c := range changes {
		load.Messages += c.messages
		load.Bytes += c.bytes
		w.times, w.loads = append(w.times, c.at), append(w.loads, load)
	}
	return w
}

// heldUntil is when a delivery stopped to count against its stream's limits: at the earliest, or with a slack below 0 at the latest.
func heldUntil(d *delivery, slack int64) int64 {
	end, _ := d.leaseEnd(slack)
	if slack >= 0 {
		end = min(end, d.leaseEndSure(slack))
	}
	end = min(end-slack, d.acked, d.nacked)
	if gone := d.sub.outlived(d.pub); slack >= 0 && gone != forever {
		end = min(end, gone-slack)
	}
	if d.stream != nil {
		end = min(end, d.stream.end)
	}
	if d.next != nil {
		end = min(end, d.next.at)
	}
	if at, _ := slices.BinarySearch(d.sub.seeks, d.at); at < len(d.sub.seeks) {
		end = min(end, d.sub.seeks[at]) // a seek takes everything back
	}
	return max(end, d.at)
}

// roomy says that the stream was open and had room for a message of so many bytes during the whole of [from, to].
func (w *window) roomy(from, to, bytes int64) bool {
	if w.begin > from || w.end < to {
		return false
	}
	i, _ := slices.BinarySearch(w.times, from)
	for i = max(i-1, 0); i < len(w.times) && w.times[i] <= to; i++ {
		load := w.loads[i]
		if w.full(load) || w.limits.Bytes > 0 && load.Messages > 0 && load.Bytes+bytes > w.limits.Bytes {
			return false
		}
	}
	return true
}

// full says that a load has reached one of the stream's limits.
func (s *stream) full(load Limits) bool {
	return s.limits.Messages > 0 && load.Messages >= s.limits.Messages || s.limits.Bytes > 0 && load.Bytes >= s.limits.Bytes
}
