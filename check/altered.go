package check

// judgeAltered compares what arrived with what was sent.
func judgeAltered(h *History, _ Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			switch {
			case d.pub == nil:
			case d.SHA256 != d.pub.SHA256:
				found = append(found, violation("data or attributes differ from what was published", d.pub.Event, d.Event))
			case d.Key != d.pub.Key:
				found = append(found, violation("ordering key differs from what was published", d.pub.Event, d.Event))
			}
		}
	}
	return found
}
