package check

// sweepNS is how much later than its retention a message may be dropped.
const sweepNS = 1_000_000_000

// outlived is when a message may have been dropped by its subscription's retention; forever without one.
func (s *subscription) outlived(p *publish) int64 {
	if s.config.RetentionNS == 0 || p == nil {
		return forever
	}
	return p.begin + s.config.RetentionNS
}

// judgeRetention looks for messages that come although their retention is over. A fault keeps nobody waiting for a sweep, and what a seek
// brings back lives on.
func judgeRetention(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		if s.config.RetentionNS == 0 || len(s.moves) > 0 {
			continue
		}
		for _, d := range s.deliveries {
			if d.pub == nil || d.pub.Topic != s.topic || d.pub.end == forever {
				continue
			}
			over := d.pub.end + s.config.RetentionNS + sweepNS + o.Slack.Nanoseconds()
			if d.at > over && !h.faultWithin(over-sweepNS, d.at) {
				found = append(found, violation("message came although its retention was over", d.pub.Event, d.Event))
			}
		}
	}
	return found
}
