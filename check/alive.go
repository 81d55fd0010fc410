package check

import "slices"

// judgeAlive asks that after each fault publishing and delivery start again in time. A fault that is followed too soon by the next one,
// or by the drain, is not judged.
func judgeAlive(h *History, o Options) []Violation {
	var accepted, delivered []int64
	for _, p := range h.publishes {
		if p.accepted() {
			accepted = append(accepted, p.end)
		}
	}
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			delivered = append(delivered, d.at)
		}
	}
	slices.Sort(accepted)
	slices.Sort(delivered)
	tried := make([]int64, 0, len(h.publishes))
	for _, p := range h.publishes {
		tried = append(tried, p.begin)
	}
	var found []Violation
	within := o.AliveWithin.Nanoseconds()
	for i, f := range h.faults {
		if f.end == forever {
			continue
		}
		limit := f.end + within
		if i+1 < len(h.faults) && h.faults[i+1].begin < limit {
			continue
		}
		// Somebody must have tried for most of that time, or silence is no news.
		if !anyWithin(tried, f.end+within/2, limit) {
			continue
		}
		if !anyWithin(accepted, f.end, limit) {
			found = append(found, violation("no publish was accepted in time after this fault", f.Event))
		} else if !anyWithin(delivered, f.end, limit) {
			found = append(found, violation("nothing was delivered in time after this fault", f.Event))
		}
	}
	return found
}
