package check

// judgeLost looks for accepted messages that a subscription never got, and for messages that it got, gave back, and never saw again.
// A subscription must get what was published after its creation was answered; it is not judged once its deletion has begun.
func judgeLost(h *History, o Options) []Violation {
	if !h.drained {
		return nil
	}
	byTopic := make(map[string][]*subscription)
	for _, s := range h.subscriptions {
		if s.until == forever {
			byTopic[s.topic] = append(byTopic[s.topic], s)
		}
	}
	var found []Violation
	for _, p := range h.publishes {
		if !p.accepted() {
			continue
		}
		for _, s := range byTopic[p.Topic] {
			// A seek may jump over messages that were never delivered.
			if !s.wants(p) || p.begin < s.since || s.seekWithin(p.begin, forever-1, o.Slack.Nanoseconds()) {
				continue
			}
			if s.outlived(p) <= h.drainedNS {
				continue
			}
			got := s.messages[p.Payload]
			if len(got) == 0 {
				v := violation("accepted message never reached subscription "+s.name, p.Event)
				found = append(found, v)
				continue
			}
			last := got[len(got)-1]
			if last.ackedEver() == forever && !deadLettered(h, last) {
				found = append(found, violation("message was not acknowledged and did not come again", p.Event, last.Event))
			}
		}
	}
	return found
}

// deadLettered says whether the message reached every subscription of the dead letter topic, of which there must be one.
func deadLettered(h *History, d *delivery) bool {
	topic := d.sub.config.DeadLetterTopic
	if topic == "" {
		return false
	}
	reached := 0
	for _, s := range h.subscriptions {
		if s.topic != topic || s.until != forever {
			continue
		}
		if len(s.messages[d.Payload]) == 0 {
			return false
		}
		reached++
	}
	return reached > 0
}
