package check

// judgeAcked looks for messages that come again after their acknowledgement took effect. It took effect when the subscriber still held
// the message as it was sent, and it was either confirmed by an answer or had time to arrive, undisturbed by a fault or the end of
// its stream, nor by an earlier message of its key that was given back meanwhile, which takes its successors back. Confirmed
// acknowledgements must outlast any fault that comes later.
func judgeAcked(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			if d.next == nil {
				continue
			}
			effect, reason := ackEffect(h, d, o)
			if effect == forever {
				continue
			}
			for again := d.next; again != nil; again = again.next {
				if again.at > effect && !s.seekWithin(d.at, again.at, o.Slack.Nanoseconds()) && !onItsWay(h, d, again, effect, o.Slack.Nanoseconds()) {
					found = append(found, violation(reason, d.Event, again.Event))
					break
				}
			}
		}
	}
	return found
}

// onItsWay says whether a redelivery may have been sent before an acknowledgement took effect: d had been taken back with its key just
// then.
func onItsWay(h *History, d, again *delivery, effect, slack int64) bool {
	if again.at > effect+slack || !keyReleased(d, effect, slack) && !h.latecomer(again, d, slack) {
		return false
	}
	h.excuse("acked: under way while its acknowledgement was", 1)
	return true
}

// ackEffect is the time after which no redelivery may arrive; forever when that cannot be told.
func ackEffect(h *History, d *delivery, o Options) (effect int64, reason string) {
	slack := o.Slack.Nanoseconds()
	held := func(sent, until int64) bool {
		end, sure := d.leaseEnd(slack)
		return sure && sent+slack < end && sent < d.nacked && (d.next == nil || d.next.at > sent) &&
			(d.stream == nil || min(d.stream.closed, d.stream.end) > until) && !h.faultWithin(d.at, until)
	}
	if d.ackedOK != forever && held(d.ackAt, d.ackedOK) {
		return d.ackedOK, "message came again after a confirmed acknowledgement"
	}
	settled := d.acked + o.AckSettle.Nanoseconds()
	if d.acked != forever && held(d.acked, settled) {
		return settled, "message came again long after its acknowledgement"
	}
	return forever, ""
}
