package check

// judgeIsolation looks for messages in the wrong subscription: of another topic, which includes other projects, or ones that its filter
// shuts out. What reaches a dead letter topic must come from a subscription that names it.
func judgeIsolation(h *History, _ Options) []Violation {
	feeds := make(map[[2]string]bool) // topic of a subscription, its dead letter topic
	for _, s := range h.subscriptions {
		if s.config.DeadLetterTopic != "" {
			feeds[[2]string{s.topic, s.config.DeadLetterTopic}] = true
		}
	}
	var found []Violation
	for _, s := range h.subscriptions {
		for _, d := range s.deliveries {
			switch {
			case d.pub == nil:
			case d.pub.Topic == s.topic && !s.wants(d.pub):
				found = append(found, violation("filter of the subscription does not let this message pass", d.pub.Event, d.Event))
			case d.pub.Topic != s.topic && !feeds[[2]string{d.pub.Topic, s.topic}]:
				found = append(found, violation("message belongs to another topic than "+s.topic, d.pub.Event, d.Event))
			case d.stream != nil && d.stream.sub != s.name:
				found = append(found, violation("stream was opened for another subscription", d.stream.Event, d.Event))
			}
		}
	}
	return found
}
