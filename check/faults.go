package check

import "slices"

// judgeFaults asks for enough faults, for work on both sides of them, and that they hit: a run in which every fault fell into silence
// says nothing about faults.
func judgeFaults(h *History, o Options) []Violation {
	var found []Violation
	if len(h.faults) < o.Faults {
		found = append(found, violationf("%d faults were injected, the run needs %d", len(h.faults), o.Faults))
	}
	if len(h.faults) == 0 {
		return found
	}
	slices.Sort(h.troubles)
	bitten := 0
	for _, f := range h.faults {
		if f.end == forever {
			found = append(found, violation("fault was never healed", f.Event))
			continue
		}
		// A client hears of a fault when its call or stream fails, which may be a moment after the broker is well again.
		if anyWithin(h.troubles, f.begin, f.end+o.AliveWithin.Nanoseconds()) {
			bitten++
		}
	}
	if float64(bitten) < o.Bitten*float64(len(h.faults)) {
		found = append(found, violationf("only %d of %d faults hit a call or a stream", bitten, len(h.faults)))
	}
	if o.Bitten < 0 {
		return found
	}
	first, last := h.faults[0], h.faults[len(h.faults)-1]
	before, after := false, false
	for _, p := range h.publishes {
		before = before || p.accepted() && p.end < first.begin
		after = after || p.accepted() && p.begin > last.end
	}
	if !before || !after {
		found = append(found, violationf("no message was accepted before the first fault, or none after the last"))
	}
	return found
}
