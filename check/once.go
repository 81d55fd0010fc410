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

// judgeOnce asks of exactly-once subscriptions that a confirmed acknowledgement is final whatever happened meanwhile, that there is one for a
// message, and that it was not given for an ack id that a later delivery had replaced. That leases do not overlap is the rule "early".
func judgeOnce(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			if d.ackedOK == forever || !s.exactlyOnce(d.ackAt, d.ackedOK) {
				continue
			}
			if later := h.replaced(d, o.Slack.Nanoseconds()); later != nil {
				found = append(found, violation("acknowledgement with an ack id that a later delivery replaced was confirmed", d.Event, later.Event))
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

// replaced is a delivery of the same message that made the ack id of d void before it was used; nil when there is none. What somebody else
// received soon after d may have been sent before it, and is that if d's is the ack id that counts: then its own must not count as well.
func (h *History) replaced(d *delivery, slack int64) *delivery {
	for later := d.next; later != nil && later.at+slack < d.ackAt; later = later.next {
		if later.ackedOK != forever || !h.latecomer(later, d, slack) {
			return later
		}
		h.excuse("exactly once: sent before what another stream got first", 1)
	}
	return nil
}
