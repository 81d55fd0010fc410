package check

// judgeOnce asks of exactly-once subscriptions that a confirmed acknowledgement is final whatever happened meanwhile, and that it was not
// given for an ack id that a later delivery had replaced. That leases do not overlap is the rule "early".
func judgeOnce(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		if !s.config.ExactlyOnce {
			continue
		}
		for _, d := range s.deliveries {
			if d.ackedOK == forever {
				continue
			}
			if d.next != nil && d.next.at+o.Slack.Nanoseconds() < d.ackAt {
				found = append(found, violation("acknowledgement with an ack id that a later delivery replaced was confirmed", d.Event, d.next.Event))
			}
			for again := d.next; again != nil; again = again.next {
				if again.at > d.ackedOK && !s.seekWithin(d.at, again.at, o.Slack.Nanoseconds()) {
					found = append(found, violation("message came again after its acknowledgement was confirmed", d.Event, again.Event))
					break
				}
			}
		}
	}
	return found
}
