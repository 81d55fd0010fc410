package check

import "slices"

// judgeEarly looks for redeliveries while the subscriber still held the message. A nack, the end of the stream, a fault or a seek
// takes a message away early; in an ordered subscription so does the release of an earlier message of its key, which then comes again
// before it.
func judgeEarly(h *History, o Options) []Violation {
	var found []Violation
	slack := o.Slack.Nanoseconds()
	for _, s := range h.subscriptions {
		for _, first := range s.deliveries {
			if first.previous != nil {
				continue
			}
			held := first
			for _, again := range s.messages[first.Payload][1:] {
				if h.tookBack(held, again, slack) {
					held = again
					continue
				}
				if h.latecomer(again, held, slack) {
					h.excuse("early: sent before what another stream got first", 1)
					continue
				}
				found = append(found, violation("message came again before its deadline", held.Event, again.Event))
				held = again
			}
		}
	}
	return found
}

// tookBack says whether the broker may have given a message out again after its delivery d.
func (h *History) tookBack(d, again *delivery, slack int64) bool {
	end, sure := d.leaseEnd(slack)
	early := min(d.released(slack), d.leaseEndSure(slack)) - slack
	switch {
	case again.at >= d.released(slack)-slack, d.acked < again.at:
		return true
	case !sure && again.at >= min(early, end):
		h.excuse("early: a change of the deadline that may have come too late", 1)
		return true
	case h.faultWithin(d.at, again.at), d.sub.seekWithin(d.at, again.at, slack):
		return true
	}
	return d.takenAlong(again.at, slack, func(other *delivery) bool {
		return other.next != nil && (other.next.number < again.number || other.next.Process != again.Process && other.next.at <= again.at+slack) ||
			other.pub != nil && passable(h, d.sub, other.pub, again.at)
	})
}

// latecomer says whether a delivery that was received soon after another of its message, by somebody else, was rather sent before it: it
// was under way when its stream ended or its key was taken back.
func (h *History) latecomer(late, first *delivery, slack int64) bool {
	if late.Process == first.Process || late.at > first.at+slack {
		return false
	}
	return late.stream != nil && late.stream.goneBefore(first.at, slack) || late.takenAlong(first.at, slack, func(other *delivery) bool {
		return other.next != nil && other.next.Process == first.Process && other.next.number < first.number ||
			other.pub != nil && passable(h, late.sub, other.pub, first.at)
	})
}

// keyReleased says whether, in an ordered subscription, an earlier message of d's key was given back while d was out and until the given
// time, which takes d back too.
func keyReleased(d *delivery, until, slack int64) bool {
	return d.takenAlong(until, slack, func(*delivery) bool { return true })
}

// takenAlong looks for an earlier message of d's key which d's client gave back while d was out, until the given time, and of which more
// is true.
func (d *delivery) takenAlong(until, slack int64, more func(*delivery) bool) bool {
	if !d.sub.config.Ordered || d.Key == "" {
		return false
	}
	may := func(other *delivery) bool {
		if other.Process != d.Process || d.pub == nil || other.pub == nil || other.pub == d.pub || d.pub.before(other.pub) {
			return false
		}
		// Whether a change of the deadline came in time may be open: both ends are possible then.
		late := other.released(slack)
		for _, released := range [...]int64{late, min(late, other.leaseEndSure(slack))} {
			if released >= d.at-slack && released <= until+slack && other.acked > released {
				return more(other)
			}
		}
		return false
	}
	all := d.sub.keyed[d.Key]
	at, _ := slices.BinarySearchFunc(all, d, func(a, b *delivery) int { return a.number - b.number })
	for i := at - 1; i >= 0 && all[i].at+d.sub.leaseMax >= d.at-2*slack; i-- {
		if may(all[i]) {
			return true
		}
	}
	for i := at + 1; i < len(all) && all[i].at <= until+slack; i++ {
		if may(all[i]) {
			return true
		}
	}
	return false
}
