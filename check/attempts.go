package check

import "fmt"

// judgeAttempts looks at delivery attempts and dead letters. Attempts are reported with a dead letter policy only; they start at 1 and grow
// by at most one with each delivery, except that a fault may make the broker forget failures it had not yet stored, and that a delivery
// on a stream that breaks, a failure too, may reach nobody. A message is a dead
// letter after AttemptsMax deliveries or one more, never earlier.
func judgeAttempts(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			if reason := wrongAttempt(h, d, o); reason != "" {
				found = append(found, violation(reason, previousEvent(d), d.Event))
			}
		}
		for _, got := range s.messages {
			if reason := wrongDeadLetter(h, s, got, o); reason != "" {
				found = append(found, violation(reason, got[len(got)-1].Event))
			}
		}
	}
	return found
}

func previousEvent(d *delivery) *Event {
	if d.previous == nil {
		return nil
	}
	return d.previous.Event
}

// wrongAttempt says what is wrong with the attempt number of a delivery, if anything.
func wrongAttempt(h *History, d *delivery, o Options) string {
	most := d.sub.config.AttemptsMax
	switch {
	case most == 0 && d.Attempt != 0:
		return "delivery attempt was reported without a dead letter policy"
	case most == 0:
		return ""
	case d.Attempt < 1 || d.Attempt > most+1 && !h.faultWithin(d.first().at, d.at): // a fault may keep dead letters from being written
		return fmt.Sprintf("delivery attempt %d is not within 1 and %d", d.Attempt, most+1)
	case d.previous == nil || h.faultWithin(d.previous.at, d.at) || d.sub.seekWithin(d.previous.at, d.at, o.Slack.Nanoseconds()):
		return ""
	case d.Attempt > d.previous.Attempt+1 && h.brokenWithin(d.previous.at, d.at, o):
		return ""
	case d.Attempt < d.previous.Attempt || d.Attempt > d.previous.Attempt+1:
		return "delivery attempts do not follow each other"
	}
	return ""
}

// brokenWithin says whether a stream may have broken in [from, to], as the broker sees it.
func (h *History) brokenWithin(from, to int64, o Options) bool {
	return anyWithin(h.troubles, from-o.Slack.Nanoseconds(), to+o.Slack.Nanoseconds())
}

// wrongDeadLetter compares what a message went through in a subscription with whether it is a dead letter.
func wrongDeadLetter(h *History, s *subscription, got []*delivery, o Options) string {
	if s.config.AttemptsMax == 0 || got[0].pub == nil {
		return ""
	}
	arrived := int64(forever)
	for _, letters := range h.subscriptions {
		if letters.topic == s.config.DeadLetterTopic && letters.topic != s.topic {
			for _, d := range letters.messages[got[0].Payload] {
				arrived = min(arrived, d.at)
			}
		}
	}
	if arrived == forever {
		return ""
	}
	last := got[len(got)-1]
	switch {
	case last.Attempt < s.config.AttemptsMax && !h.brokenWithin(last.at, arrived, o):
		return fmt.Sprintf("message became a dead letter after attempt %d of %d", last.Attempt, s.config.AttemptsMax)
	case last.at > arrived+o.Slack.Nanoseconds() && !s.seekWithin(arrived, last.at, o.Slack.Nanoseconds()):
		return "message was delivered after it had become a dead letter"
	}
	return ""
}
