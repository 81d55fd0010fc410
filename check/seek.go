package check

import "slices"

// move is a seek of a subscription.
type move struct {
	*Event        // of the invocation
	outcome int64 // whatever it was; forever without one
	end     int64 // answered; forever when it was refused or the outcome is unknown
	until   int64 // the next seek's invocation
}

// target is the publish time that was sought; false when the seek was to something else.
func (m *move) target() (unixNano int64, ok bool) { return m.PublishTimeNS, m.PublishTimeNS > 0 }

// addMove takes an event of a seek.
func (s *subscription) addMove(e *Event) {
	if e.Phase == PhaseInvoke {
		s.seeks = append(s.seeks, e.TimeNS)
		if n := len(s.moves); n > 0 {
			s.moves[n-1].until = e.TimeNS
		}
		s.moves = append(s.moves, &move{Event: e, outcome: forever, end: forever, until: forever})
		return
	}
	at := slices.IndexFunc(s.moves, func(m *move) bool { return m.Process == e.Process && m.Call == e.Call && m.outcome == forever })
	if at < 0 {
		return
	}
	s.moves[at].outcome = e.TimeNS
	if e.Phase == PhaseOK {
		s.moves[at].end = e.TimeNS
	}
}

// judgeSeek holds answered seeks to a time against what was delivered afterwards, until the next seek began: nothing that was accepted
// before the seek and published before its time, and, where acknowledged messages are retained, everything that was published then or
// later. Publish times are known of messages that were delivered at least once.
func judgeSeek(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, m := range s.moves {
			target, timed := m.target()
			if !timed || m.end == forever {
				continue
			}
			for _, got := range s.messages {
				if p := got[0].pub; p == nil || p.end >= m.TimeNS {
					continue // perhaps published behind the seek
				}
				if got[0].PublishTimeNS < target {
					found = append(found, purged(m, got, o)...)
				} else {
					found = append(found, broughtBack(h, s, m, got)...)
				}
			}
		}
	}
	return found
}

// purged looks for a delivery of what a seek passed by.
func purged(m *move, got []*delivery, o Options) []Violation {
	for _, d := range got {
		if d.at > m.end+o.Slack.Nanoseconds() && d.at < m.until {
			return []Violation{violation("message came after a seek to a time after its publish time", m.Event, d.Event)}
		}
	}
	return nil
}

// broughtBack asks for a delivery of what a seek has made new.
func broughtBack(h *History, s *subscription, m *move, got []*delivery) []Violation {
	last := got[len(got)-1]
	if got[0].pub.begin < s.since {
		return nil // a seek to a snapshot may bring what is older than the subscription, which it does not retain
	}
	if !s.config.Retained || !h.drained || m.until != forever || s.until != forever || last.at > m.TimeNS {
		return nil
	}
	return []Violation{violation("message did not come again after a seek to its publish time or before", m.Event, last.Event)}
}
