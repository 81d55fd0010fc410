package check

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// statesMax bounds how many orders of sending are followed up at a time. It is far from what any run needs.
const statesMax = 1 << 15

// judgeOrder asks of each ordering key of an ordered subscription that its deliveries can have been sent in the order that was promised.
//
// What is known of the order of sending: what one client got, it got in that order, and nothing was under way for longer than the slack.
// Of what two clients got within the slack, either may have been first. There must be at least one order in which
//
//   - a delivery is followed, at the same client, by the key's next message that still waits, or by an earlier one, after which everything
//     comes again;
//   - the key goes to another client with its first message that still waits: while that is out, the key stays where it is.
//
// A message may be passed over when it was acknowledged before, when its publish was not accepted for certain, or when it became a dead
// letter. Keys whose publishes overlap have no order to judge.
func judgeOrder(h *History, o Options) []Violation {
	var found []Violation
	for _, s := range h.subscriptions {
		if !s.config.Ordered || len(s.seeks) > 0 {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(s.keyed)) {
			sequence := h.sequence(topicKey{s.topic, key})
			if sequence == nil {
				continue
			}
			j := orderJudge{h: h, sub: s, sequence: sequence, slack: o.Slack.Nanoseconds()}
			for _, d := range s.keyed[key] {
				if d.pub != nil && d.pub.Topic == s.topic {
					j.got = append(j.got, d)
				}
			}
			found = append(found, j.judge()...)
		}
	}
	return found
}

// orderJudge looks for an order of sending of one key's deliveries.
type orderJudge struct {
	h        *History
	sub      *subscription
	sequence *keySequence
	slack    int64
	got      []*delivery // as received
	changes  []int       // for each of got, the next one that somebody else received
	ordinal  []int       // for each of got, how many its client received before it
	byClient map[int][]int
	floor    int // every message before this position may be passed over by now
	found    []Violation
}

// sendState is how far an order of sending has come.
type sendState struct {
	next  int     // the first of got that was not sent yet
	ahead []ahead // of what comes after it and was sent, by client
	last  int     // sent last, -1 for none
	jumps int     // how often something was sent before what was received earlier
}

// ahead says how many of a client's deliveries were sent.
type ahead struct{ client, sent int }

// id tells states apart from which the same can follow.
func (s *sendState) id() string {
	id := binary.AppendUvarint(make([]byte, 0, 32), uint64(s.next))
	id = binary.AppendUvarint(id, uint64(s.last+1))
	for _, a := range s.ahead {
		id = binary.AppendUvarint(binary.AppendUvarint(id, uint64(a.client)), uint64(a.sent))
	}
	return string(id)
}

// sent is how many of a client's deliveries were sent, if some of those after next were.
func (s *sendState) sent(client int) (int, bool) {
	for _, a := range s.ahead {
		if a.client == client {
			return a.sent, true
		}
	}
	return 0, false
}

// after is the state once another delivery is sent.
func (j *orderJudge) after(s *sendState, i int) sendState {
	to := sendState{next: s.next, last: i, jumps: s.jumps}
	if i > s.next {
		client := j.got[i].client
		to.jumps++
		to.ahead = make([]ahead, 0, len(s.ahead)+1)
		to.ahead = append(to.ahead, s.ahead...)
		to.ahead = slices.DeleteFunc(to.ahead, func(a ahead) bool { return a.client == client })
		to.ahead = append(to.ahead, ahead{client, j.ordinal[i] + 1})
		slices.SortFunc(to.ahead, func(a, b ahead) int { return a.client - b.client })
		return to
	}
	for to.next++; to.next < len(j.got); to.next++ {
		if sent, some := s.sent(j.got[to.next].client); !some || j.ordinal[to.next] >= sent {
			break
		}
	}
	for _, a := range s.ahead {
		if j.byClient[a.client][a.sent-1] > to.next {
			to.ahead = append(to.ahead, a)
		}
	}
	return to
}

// prepare numbers the deliveries by client.
func (j *orderJudge) prepare() {
	j.changes, j.ordinal, j.byClient = make([]int, len(j.got)), make([]int, len(j.got)), make(map[int][]int)
	for i, d := range j.got {
		j.ordinal[i] = len(j.byClient[d.client])
		j.byClient[d.client] = append(j.byClient[d.client], i)
	}
	for i := len(j.got) - 1; i >= 0; i-- {
		if j.changes[i] = i + 1; i+1 < len(j.got) && j.got[i+1].client == j.got[i].client {
			j.changes[i] = j.changes[i+1]
		}
	}
}

// judge follows all orders of sending side by side, delivery by delivery. Where none leads on, something is wrong with the one that was
// received first of those that are left; it then counts as sent.
func (j *orderJudge) judge() []Violation {
	j.prepare()
	states := []sendState{{last: -1}}
	for range j.got {
		if to, alone := j.onlyWay(states); alone {
			states[0] = to
			j.advance(&states[0])
			continue
		}
		var following []sendState
		known := make(map[string]int)
		for i := range states {
			for _, c := range j.candidates(&states[i]) {
				if j.passedOver(&states[i], c) != nil {
					continue
				}
				to := j.after(&states[i], c)
				id := to.id()
				if at, again := known[id]; again {
					following[at].jumps = min(following[at].jumps, to.jumps)
				} else if len(following) < statesMax {
					known[id] = len(following)
					following = append(following, to)
				}
			}
		}
		if len(following) == 0 {
			following = []sendState{j.blame(&states[0])}
		}
		states = following
		j.advance(&states[0])
	}
	least := states[0].jumps
	for i := range states {
		least = min(least, states[i].jumps)
	}
	j.h.excuse("order: received on two streams in another order than sent", least)
	return j.found
}

// onlyWay is where the only state leads when nothing but the next delivery can follow.
func (j *orderJudge) onlyWay(states []sendState) (sendState, bool) {
	s := &states[0]
	if len(states) > 1 || len(s.ahead) > 0 {
		return sendState{}, false
	}
	if other := j.changes[s.next]; other < len(j.got) && j.got[other].at <= j.got[s.next].at+j.slack || j.passedOver(s, s.next) != nil {
		return sendState{}, false
	}
	return j.after(s, s.next), true
}

// candidates are the deliveries that may have been sent next: of each client the first that is left, unless another that is left was
// received so long before that it must have been sent first, or before the client had opened its stream.
func (j *orderJudge) candidates(s *sendState) []int {
	all := []int{s.next}
	clients := append(make([]int, 0, 8), j.got[s.next].client)
	limit := j.got[s.next].at + j.slack
	for i := j.changes[s.next]; i < len(j.got) && j.got[i].at <= limit; i = j.changes[i] {
		client, first := j.got[i].client, i
		if slices.Contains(clients, client) {
			continue
		}
		clients = append(clients, client)
		if sent, some := s.sent(client); some {
			if sent == len(j.byClient[client]) {
				continue
			}
			first = j.byClient[client][sent]
		}
		if d := j.got[first]; d.at <= limit && (d.stream == nil || d.stream.begin < j.got[s.next].at) {
			all = append(all, first)
		}
	}
	return all
}

// passedOver is the first message that should have been sent before a delivery that follows.
func (j *orderJudge) passedOver(s *sendState, i int) *publish {
	from, d := j.floor, j.got[i]
	if s.last >= 0 && j.got[s.last].client == d.client {
		from = max(from, j.sequence.position[j.got[s.last].pub]+1)
	}
	for at := from; at < j.sequence.position[d.pub]; at++ {
		if missing := j.sequence.publishes[at]; !passable(j.h, j.sub, missing, d.at) {
			return missing
		}
	}
	return nil
}

// blame reports the delivery that was received first of those that are left, and goes on from there.
func (j *orderJudge) blame(s *sendState) sendState {
	d, missing := j.got[s.next], j.passedOver(s, s.next)
	v := violation(fmt.Sprintf("message %s of key %q was passed over", missing.Payload, d.Key), missing.Event, d.Event)
	if s.last >= 0 {
		v.Events = append(v.Events, *j.got[s.last].Event)
	}
	j.found = append(j.found, v)
	to := j.after(s, s.next)
	to.jumps = s.jumps
	return to
}

// advance moves the floor over what nothing that is left can be blamed for.
func (j *orderJudge) advance(s *sendState) {
	if s.next >= len(j.got) {
		return
	}
	before := j.got[s.next].at - j.slack
	for j.floor < len(j.sequence.publishes) && passable(j.h, j.sub, j.sequence.publishes[j.floor], before) {
		j.floor++
	}
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

// sequence is the order of a key's messages; nil when their publishes overlap.
func (h *History) sequence(k topicKey) *keySequence {
	if h.sequences == nil {
		h.sequences = keySequences(h)
	}
	return h.sequences[k]
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
