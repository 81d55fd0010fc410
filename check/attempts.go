package check

import (
	"fmt"
	"slices"
)

// judgeAttempts looks at delivery attempts and dead letters. Attempts are reported with a dead letter policy only; they start at 1 and grow
// by at most one with each delivery, and by one more for each stream of the subscription that broke meanwhile: what was delivered on it, a
// failure too, may have reached nobody. A fault may make the broker forget failures of just before. A message is a dead
// letter after AttemptsMax deliveries or one more, never earlier; later only when a fault kept the dead letter from being written.
func judgeAttempts(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, first := range s.deliveries {
			if first.previous != nil {
				continue
			}
			sent := h.inOrderOfSending(s.messages[first.Payload], o.Slack.Nanoseconds())
			var previous *delivery
			for _, d := range sent {
				if reason := wrongAttempt(h, previous, d, o); reason != "" {
					v := violation(reason, d.Event)
					if previous != nil {
						v = violation(reason, previous.Event, d.Event)
					}
					found = append(found, v)
				}
				previous = d
			}
			if reason := wrongDeadLetter(h, s, sent, o); reason != "" {
				found = append(found, violation(reason, previous.Event))
			}
		}
	}
	return found
}

// inOrderOfSending puts a message's deliveries, which are in the order of receipt, into that of sending where it must have been another: the
// attempts of latecomers are the lower.
func (h *History) inOrderOfSending(got []*delivery, slack int64) []*delivery {
	sent := make([]*delivery, 0, len(got))
	for _, d := range got {
		at := len(sent)
		for at > 0 && sent[at-1].Attempt > d.Attempt && h.latecomer(d, sent[at-1], slack) {
			at--
		}
		if at < len(sent) {
			h.excuse("attempts: received on two streams in another order than sent", 1)
		}
		sent = slices.Insert(sent, at, d)
	}
	return sent
}

// wrongAttempt says what is wrong with the attempt number of a delivery, if anything. The previous one of its message is nil for the first.
func wrongAttempt(h *History, previous, d *delivery, o Options) string {
	most := d.sub.config.AttemptsMax
	switch {
	case most == 0 && d.Attempt != 0:
		return "delivery attempt was reported without a dead letter policy"
	case most == 0:
		return ""
	case d.Attempt < 1:
		return fmt.Sprintf("delivery attempt %d", d.Attempt)
	case d.Attempt > most+1 && (previous == nil || d.Attempt > previous.Attempt && !h.faultWithin(previous.at, d.at)):
		return fmt.Sprintf("delivery attempt %d is not within 1 and %d", d.Attempt, most+1)
	case previous == nil || d.sub.seekWithin(previous.at, d.at, o.Slack.Nanoseconds()):
		return ""
	case d.Attempt < previous.Attempt && !h.faultWithin(previous.at, min(d.at, previous.at+o.Slack.Nanoseconds())),
		d.Attempt > previous.Attempt+1 && d.Attempt > previous.Attempt+1+h.brokenWithin(d.sub, previous.at, d.at, o):
		return "delivery attempts do not follow each other"
	}
	return ""
}

// brokenWithin is how many streams of a subscription may have broken in [from, to], as the broker sees it.
func (h *History) brokenWithin(s *subscription, from, to int64, o Options) int {
	slack, broken := o.Slack.Nanoseconds(), 0
	for _, one := range h.streams {
		if one.sub == s.name && one.broke && one.end >= from-slack && one.end <= to+slack {
			broken++
		}
	}
	h.excuse("attempts: streams that broke over a message", broken)
	return broken
}

// wrongDeadLetter compares what a message went through in a subscription, in the order of sending, with whether it is a dead letter.
func wrongDeadLetter(h *History, s *subscription, sent []*delivery, o Options) string {
	if s.config.AttemptsMax == 0 || sent[0].pub == nil {
		return ""
	}
	arrived := int64(forever)
	for _, letters := range h.subscriptions {
		if letters.topic == s.config.DeadLetterTopic && letters.topic != s.topic {
			for _, d := range letters.messages[sent[0].Payload] {
				arrived = min(arrived, d.at)
			}
		}
	}
	if arrived == forever {
		return ""
	}
	last := sent[len(sent)-1]
	switch {
	case last.Attempt < s.config.AttemptsMax && last.Attempt+h.brokenWithin(s, last.at, arrived, o) < s.config.AttemptsMax:
		return fmt.Sprintf("message became a dead letter after attempt %d of %d", last.Attempt, s.config.AttemptsMax)
	case last.at > arrived+o.Slack.Nanoseconds() && !s.seekWithin(arrived, last.at, o.Slack.Nanoseconds()):
		return "message was delivered after it had become a dead letter"
	}
	return ""
}
