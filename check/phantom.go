package check

// judgePhantom looks for messages out of nowhere: never published, delivered before they were published, or delivered although the
// publish was definitely refused.
func judgePhantom(h *History, _ Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			switch {
			case d.pub == nil:
				found = append(found, violation("message was never published", d.Event))
			case d.at < d.pub.begin:
				found = append(found, violation("message was delivered before it was published", d.pub.Event, d.Event))
			case d.pub.phase == PhaseFail:
				found = append(found, violation("message was delivered although its publish was refused", d.pub.Event, d.Event))
			}
		}
	}
	return found
}
