package check

import "fmt"

// judgeOrder asks, for each ordering key of an ordered subscription, that a delivery is followed by the key's next message that still
// waits, or by an earlier one, after which everything comes again. A message may be passed over when it was acknowledged before, when
// its publish was not accepted for certain, or when it became a dead letter. Keys whose publishes overlap have no order to judge.
func judgeOrder(h *History, o Options) []Violation {
	sequences := keySequences(h)
	var found []Violation
	for _, s := range h.subscriptions {
		if !s.config.Ordered || len(s.seeks) > 0 {
			continue
		}
		// When a key is taken from one stream and given to another, what is on its way to the first one may arrive after what the second
		// one got. A delivery must therefore follow the last one of its key, or the last one that was certainly no such latecomer, or,
		// where it may be one itself, the last one of its own stream.
		last, lastSure, own := make(map[string]*delivery), make(map[string]*delivery), make(map[processKey]*delivery)
		slack := o.Slack.Nanoseconds()
		for _, d := range s.deliveries {
			if d.Key == "" || d.pub == nil || d.pub.Topic != s.topic {
				continue
			}
			sequence := sequences[topicKey{s.topic, d.Key}]
			if sequence == nil {
				continue
			}
			before, beforeSure, beforeHere := last[d.Key], lastSure[d.Key], own[processKey{d.Process, d.Key}]
			own[processKey{d.Process, d.Key}] = d
			missing := passedOver(h, s, sequence, before, d)
			if missing != nil && before != beforeSure && passedOver(h, s, sequence, beforeSure, d) == nil {
				missing = nil
			}
			if missing != nil && before != nil && before.Process != d.Process && beforeHere != nil && takenFrom(d, slack) &&
				passedOver(h, s, sequence, beforeHere, d) == nil {
				continue
			}
			last[d.Key] = d
			if !overtaken(d, slack) {
				lastSure[d.Key] = d
			}
			if missing == nil {
				continue
			}
			v := violation(fmt.Sprintf("message %s of key %q was passed over", missing.Payload, d.Key), missing.Event, d.Event)
			if before != nil {
				v.Events = append(v.Events, *before.Event)
			}
			found = append(found, v)
		}
	}
	return found
}

// processKey is an ordering key as one client sees it.
type processKey struct{ process, key string }

// takenFrom says whether the client that received d gave back an earlier message of its key just before, so that d may have been on its
// way when the key was taken from that client.
func takenFrom(d *delivery, slack int64) bool {
	for _, other := range d.sub.keyed[d.Key] {
		if other.at > d.at {
			break
		}
		if other != d && other.Process == d.Process {
			if released := min(other.released(slack), other.leaseEndSure(slack)); released >= d.at-slack && released <= d.at+slack {
				return true
			}
		}
	}
	return false
}

// passedOver is the first message that should have come between two deliveries of a key; before is nil for the key's first one.
func passedOver(h *History, s *subscription, sequence *keySequence, before, d *delivery) *publish {
	from := 0
	if before != nil {
		from = sequence.position[before.pub] + 1
	}
	for i := from; i < sequence.position[d.pub]; i++ {
		if missing := sequence.publishes[i]; !passable(h, s, missing, d.at) {
			return missing
		}
	}
	return nil
}

// overtaken says whether a delivery may have been on its way to one stream when its key was taken back and given to another, where the
// message was received first and is still held.
func overtaken(d *delivery, slack int64) bool {
	return d.previous != nil && d.previous.Process != d.Process && d.at < d.previous.released(slack)-slack && d.previous.acked >= d.at &&
		keyReleased(d.previous, d.at, slack)
}

// passable says whether a delivery at the time may leave the message out.
func passable(h *History, s *subscription, p *publish, at int64) bool {
	if !p.accepted() || !s.wants(p) || p.begin < s.since || s.outlived(p) <= at {
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
