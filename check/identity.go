package check

// judgeIdentity asks that in each topic a message id and a message belong together for good: the id that the publisher was told, the
// id and the publish time of every delivery. A dead letter is a new message of its topic, so topics are looked at one by one.
func judgeIdentity(h *History, _ Options) []Violation {
	type message struct{ topic, id string }
	owner := make(map[message]*Event)    // first event that showed the id
	identity := make(map[message]*Event) // the same by topic and payload
	var found []Violation
	see := func(topic, id string, e *Event) {
		if first := owner[message{topic, id}]; first == nil {
			owner[message{topic, id}] = e
		} else if first.Payload != e.Payload {
			found = append(found, violation("two messages have one message id", first, e))
		}
	}
	for _, p := range h.publishes {
		if !p.accepted() {
			continue
		}
		if p.messageID == "" {
			found = append(found, violation("accepted message has no message id", p.Event))
			continue
		}
		see(p.Topic, p.messageID, p.Event)
	}
	for _, s := range h.subscriptions {
		ackIDs := make(map[string]*delivery)
		for _, d := range s.deliveries {
			see(s.topic, d.MessageID, d.Event)
			if first := identity[message{s.topic, d.Payload}]; first == nil {
				identity[message{s.topic, d.Payload}] = d.Event
			} else if first.MessageID != d.MessageID || first.PublishTimeNS != d.PublishTimeNS {
				found = append(found, violation("message id or publish time changed between deliveries", first, d.Event))
			}
			if d.pub != nil && d.pub.accepted() && d.pub.Topic == s.topic && d.pub.messageID != d.MessageID {
				found = append(found, violation("message id "+d.pub.messageID+" was promised to the publisher", d.pub.Event, d.Event))
			}
			if first := ackIDs[d.AckID]; first != nil {
				found = append(found, violation("two deliveries have one ack id", first.Event, d.Event))
			}
			ackIDs[d.AckID] = d
		}
	}
	return found
}
