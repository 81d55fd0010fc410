package check

import "fmt"

// judgeOrder asks, for each ordering key of an ordered subscription, that a delivery is followed by the key's next message that still
// waits, or by an earlier one, after which everything comes again. A message may be passed over when it was acknowledged before, when
// its publish was not accepted for certain, or when it became a dead letter. Keys whose publishes overlap have no order to judge.
func judgeOrder(h *History, _ Options) []Violation {
	sequences := keySequences(h)
	var found []Violation
	for _, s := range h.subscriptions {
		if !s.config.Ordered || len(s.seeks) > 0 {
			continue
		}
		last := make(map[string]*delivery)
		for _, d := range s.deliveries {
			if d.Key == "" || d.pub == nil || d.pub.Topic != s.topic {
				continue
			}
			sequence := sequences[topicKey{s.topic, d.Key}]
			if sequence == nil {
				continue
			}
			before := last[d.Key]
			last[d.Key] = d
			from := 0
			if before != nil {
				from = sequence.position[before.pub] + 1
			}
			for i := from; i < sequence.position[d.pub]; i++ {
				missing := sequence.publishes[i]
				if !passable(h, s, missing, d.at) {
					v := violation(fmt.Sprintf("message %s of key %q was passed over", missing.Payload, d.Key), missing.Event, d.Event)
					if before != nil {
						v.Events = append(v.Events, *before.Event)
					}
					found = append(found, v)
					break
				}
			}
		}
	}
	return found
}

// passable says whether a delivery at the time may leave the message out.
func passable(h *History, s *subscription, p *publish, at int64) bool {
	if !p.accepted() || !s.wants(p) || p.begin < s.since {
		return true
	}
	for _, d := range s.messages[p.Payload] {
		if d.acked < at || deadLettered(h, d) {
			return true
		}
	}
	return false
}

// topicKey is an ordering key of a topic.
type topicKey struct{ topic, key string }

// keySequence is the order in which a key's messages were accepted.
type keySequence struct {
	publishes []*publish
	position  map[*publish]int
}

// keySequences gives the keys whose publishes have an order.
func keySequences(h *History) map[topicKey]*keySequence {
	sequences := make(map[topicKey]*keySequence)
	for _, p := range h.publishes {
		if p.Key == "" {
			continue
		}
		k := topicKey{p.Topic, p.Key}
		sequence, known := sequences[k]
		if !known {
			sequence = &keySequence{position: make(map[*publish]int)}
			sequences[k] = sequence
		}
		if sequence == nil {
			continue
		}
		if n := len(sequence.publishes); n > 0 && !sequence.publishes[n-1].before(p) {
			sequences[k] = nil
			continue
		}
		sequence.position[p] = len(sequence.publishes)
		sequence.publishes = append(sequence.publishes, p)
	}
	return sequences
}
