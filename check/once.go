package check

// update is how a subscription is configured from a time on.
type update struct {
	from        int64
	exactlyOnce bool
}

// addUpdate takes an event of an update. From its invocation on the subscription may be either way, which counts as not exactly once, until
// one has been done.
func (s *subscription) addUpdate(e *Event) {
	s.updates = append(s.updates, update{e.TimeNS, e.Phase == PhaseOK && e.Config != nil && e.Config.ExactlyOnce})
}

// exactlyOnce says whether the subscription was so during the whole of [from, to].
func (s *subscription) exactlyOnce(from, to int64) bool {
	for i, u := range s.updates {
		begins := u.from <= to
		ends := i+1 < len(s.updates) && s.updates[i+1].from < from
		if begins && !ends && !u.exactlyOnce {
			return false
		}
	}
	return true
}

// judgeOnce asks of exactly-once subscriptions that a confirmed acknowledgement is final whatever happened meanwhile, and that it was not
// given for an ack id that a later delivery had replaced. That leases do not overlap is the rule "early".
func judgeOnce(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			if d.ackedOK == forever || !s.exactlyOnce(d.ackAt, d.ackedOK) {
				continue
			}
			if d.next != nil && d.next.at+o.Slack.Nanoseconds() < d.ackAt {
				found = append(found, violation("acknowledgement with an ack id that a later delivery replaced was confirmed", d.Event, d.next.Event))
			}
			for again := d.next; again != nil; again = again.next {
				if again.at > d.ackedOK && !s.seekWithin(d.at, again.at, o.Slack.Nanoseconds()) && !h.latecomer(again, d, o.Slack.Nanoseconds()) {
					found = append(found, violation("message came again after its acknowledgement was confirmed", d.Event, again.Event))
					break
				}
			}
		}
	}
	return found
}
