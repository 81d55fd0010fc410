package check

import "fmt"

// judgeAttempts looks at delivery attempts and dead letters. Attempts are reported with a dead letter policy only; they start at 1 and grow
// by at most one with each delivery, and by one more for each stream of the subscription that broke meanwhile: what was delivered on it, a
// failure too, may have reached nobody. A fault may make the broker forget failures of just before. A message is a dead
// letter after AttemptsMax deliveries or one more, never earlier; later only when a fault kept the dead letter from being written.
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
	case d.Attempt < 1:
		return fmt.Sprintf("delivery attempt %d", d.Attempt)
	case d.Attempt > most+1 && (d.previous == nil || d.Attempt > d.previous.Attempt && !h.faultWithin(d.previous.at, d.at)):
		return fmt.Sprintf("delivery attempt %d is not within 1 and %d", d.Attempt, most+1)
	case d.previous == nil || d.sub.seekWithin(d.previous.at, d.at, o.Slack.Nanoseconds()):
		return ""
	case d.Attempt < d.previous.Attempt && !h.faultWithin(d.previous.at, min(d.at, d.previous.at+o.Slack.Nanoseconds())) && !h.sentBefore(d, o),
		d.Attempt > d.previous.Attempt+1 && d.Attempt > d.previous.Attempt+1+h.brokenWithin(d.sub, d.previous.at, d.at, o):
		return "delivery attempts do not follow each other"
	}
	return ""
}

// sentBefore says whether a delivery was rather sent before the one of its message that was received before it: its stream broke, so that the
// message went to another, which was faster.
func (h *History) sentBefore(d *delivery, o Options) bool {
	slack := o.Slack.Nanoseconds()
	reversed := d.Attempt == d.previous.Attempt-1 && d.Process != d.previous.Process && d.at <= d.previous.at+slack &&
		d.stream != nil && d.stream.broke && d.stream.end <= d.at+slack
	if reversed {
		h.excuse("attempts: received on two streams in another order than sent", 1)
	}
	return reversed
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
	case last.Attempt < s.config.AttemptsMax && last.Attempt+h.brokenWithin(s, last.at, arrived, o) < s.config.AttemptsMax:
		return fmt.Sprintf("message became a dead letter after attempt %d of %d", last.Attempt, s.config.AttemptsMax)
	case last.at > arrived+o.Slack.Nanoseconds() && !s.seekWithin(arrived, last.at, o.Slack.Nanoseconds()):
		return "message was delivered after it had become a dead letter"
	}
	return ""
}
