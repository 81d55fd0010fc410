package lease

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/wheel"
)

var (
	seeds     = flag.Uint64("seeds", 500, "how many random histories to try")
	firstSeed = flag.Uint64("seed", 0, "the first of them; with -seeds=1 it is replayed")
)

// TestQueueAgreesWithModel makes up histories and compares the queue with a naive model after every step.
func TestQueueAgreesWithModel(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		m := newModel(seed)
		for step := 0; step < 400 && m.trouble == ""; step++ {
			m.step()
			m.verify()
		}
		if m.trouble != "" {
			t.Fatalf("rules %+v\n%s\n%s\nreplay with -seed=%d -seeds=1", m.rules, strings.Join(m.log, "\n"), m.trouble, seed)
		}
	}
}

func newModel(seed uint64) *model {
	r := rand.New(rand.NewPCG(seed, 4))
	m := &model{
		r: r, now: r.Int64N(1 << 40), messages: map[uint64]*message{}, done: map[uint64]bool{},
		holders: map[Holder]bool{0: true}, turns: map[Handle]bool{},
	}
	m.rules.Ordered = r.IntN(3) > 0
	m.changeRules()
	m.q = New(m.rules, seed)
	return m
}

func (m *model) changeRules() {
	r := m.r
	m.rules = Rules{Ordered: m.rules.Ordered, ExactlyOnce: r.IntN(2) == 0, Journal: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		m.rules.BackoffMin = time.Duration(1 + r.Int64N(2*wheel.Tick))
		m.rules.BackoffMax = m.rules.BackoffMin + time.Duration(r.Int64N(8*wheel.Tick))
	}
	if r.IntN(2) == 0 {
		m.rules.AttemptsMax = 1 + r.IntN(5)
	}
}

func (m *model) step() {
	m.now += m.r.Int64N(wheel.Tick / 4)
	switch kind := m.r.IntN(100); {
	case kind < 20:
		m.admit()
	case kind < 50:
		if h, ok := m.some(false); ok {
			m.take(h)
		}
	case kind < 63:
		m.ack()
	case kind < 71:
		m.nack()
	case kind < 76:
		m.extend()
	case kind < 78:
		m.giveBack()
	case kind < 84:
		m.now += m.r.Int64N(3 * wheel.Tick)
		m.expire()
	case kind < 88:
		m.bury()
	case kind < 91:
		m.forwarded()
	case kind < 94:
		m.join()
	case kind < 97:
		m.leave()
	case kind < 98:
		m.drop()
	default:
		m.stepRarely()
	}
}

func (m *model) stepRarely() {
	switch m.r.IntN(12) {
	case 0, 1:
		m.dropBefore()
	case 2:
		m.reset()
	case 3, 4:
		m.changeRules()
		m.note("SetRules %+v", m.rules)
		m.q.SetRules(m.rules)
	case 5:
		if got := m.q.Failures(nil); !slices.Equal(got, m.failed) {
			m.failf("Failures are %v, want %v", got, m.failed)
		}
		m.failed = nil
	}
}

// verify compares what can be seen of the queue, and its structure, with the model.
func (m *model) verify() {
	var counts [states]int
	var ahead int64
	keys, earliest, timed := map[string]bool{}, int64(0), false
	for _, msg := range m.messages {
		counts[msg.state]++
		if msg.state != out {
			ahead += int64(msg.bytes)
		}
		if msg.key != "" {
			keys[msg.key] = true
		}
		if (msg.state == out || msg.state == waiting) && (!timed || msg.until < earliest) {
			earliest, timed = msg.until, true
		}
	}
	aheadMessages, aheadBytes := m.q.Ahead()
	got := []int{m.q.Len(), m.q.Ready(), m.q.Waiting(), m.q.Outstanding(), m.q.counts[dead], m.q.counts[forward], aheadMessages, int(aheadBytes), m.q.keys.used}
	want := []int{len(m.messages), counts[ready], counts[waiting], counts[out], counts[dead], counts[forward], len(m.messages) - counts[out], int(ahead), len(keys)}
	if !slices.Equal(got, want) {
		m.failf("counts are %v, want %v", got, want)
	}
	for h := range m.holders {
		messages, bytes := m.held(h)
		if gotMessages, gotBytes := m.q.Held(h); gotMessages != messages || gotBytes != bytes {
			m.failf("holder %d has %d messages of %d bytes, want %d of %d", h, gotMessages, gotBytes, messages, bytes)
		}
	}
	if at, ok := m.q.Next(); ok != timed || timed && at > (earliest/wheel.Tick+1)*wheel.Tick {
		m.failf("Next is %d, %v; the earliest is %d, %v", at, ok, earliest, timed)
	}
	for _, msg := range m.messages {
		e := m.q.entries.at(msg.slot)
		same := e.state == msg.state || e.state == behind && msg.state == ready
		if e.offset != msg.offset || !same || e.turn != msg.turn || uint32(e.failures) != msg.failures {
			m.failf("message %d is %+v, want %+v", msg.offset, *e, *msg)
		}
		if at, set := m.q.wheel.At(msg.slot); (e.state == out || e.state == waiting) != set || set && at != msg.until {
			m.failf("message %d has a timer: %v, for %d; %+v", msg.offset, set, at, *msg)
		}
	}
	if trouble := structure(m.q); trouble != "" {
		m.failf("%s", trouble)
	}
}

// structure says what is wrong with a queue's lists and chains.
func structure(q *Queue) string {
	listed := map[uint32]uint32{}
	walk := func(list uint32) string {
		if q.entries.at(list).state != anchor {
			return fmt.Sprintf("list %d has no anchor", list)
		}
		for at := list; ; {
			next := q.entries.at(at).next
			if q.entries.at(next).prev != at {
				return fmt.Sprintf("slot %d does not point back to %d", next, at)
			}
			if at = next; at == list {
				return ""
			}
			if listed[at] != 0 {
				return fmt.Sprintf("slot %d is in two lists", at)
			}
			listed[at] = list
		}
	}
	lists := []uint32{q.lines.again, q.lines.fresh, q.graves}
	anchors := 3
	for _, o := range q.holders {
		if o.status != absent {
			lists = append(lists, o.lines.again, o.lines.fresh, o.list)
			anchors += 3
		}
	}
	for _, list := range lists {
		if trouble := walk(list); trouble != "" {
			return trouble
		}
	}
	if q.counts[anchor] != anchors {
		return fmt.Sprintf("%d anchors, want %d", q.counts[anchor], anchors)
	}
	unused := uint32(0)
	for slot := q.free; slot != 0; slot = q.entries.at(slot).next {
		if unused++; q.entries.at(slot).state != free || unused > q.entries.size {
			return fmt.Sprintf("slot %d is in the list of free ones, in state %d", slot, q.entries.at(slot).state)
		}
	}
	if used := uint32(q.Len() + anchors); used+unused+1 != q.entries.size {
		return fmt.Sprintf("of %d slots %d are used and %d free", q.entries.size, used, unused)
	}
	for slot := uint32(1); slot < q.entries.size; slot++ {
		if trouble := place(q, slot, listed[slot]); trouble != "" {
			return trouble
		}
	}
	return ""
}

// place says what is wrong with where a message is.
func place(q *Queue, slot, list uint32) string {
	e := q.entries.at(slot)
	if e.state <= anchor {
		return ""
	}
	want := uint32(0)
	switch e.state {
	case ready:
		want = q.lines.of(e)
		if e.key != 0 {
			if c := q.keys.chains.at(e.key); c.pending != slot {
				return fmt.Sprintf("slot %d is ready and not the first of its key", slot)
			} else if c.out > 0 {
				want = q.holders[c.holder].lines.of(e)
			}
		}
	case out:
		want = q.holders[e.holder].list
	case dead:
		if e.keyPrev == 0 {
			want = q.graves
		}
	case behind:
		if e.key == 0 || q.keys.chains.at(e.key).pending == slot {
			return fmt.Sprintf("slot %d is behind nothing", slot)
		}
	}
	if list != want {
		return fmt.Sprintf("slot %d, %+v, is in list %d, want %d", slot, *e, list, want)
	}
	if e.keyNext != 0 {
		next := q.entries.at(e.keyNext)
		if next.keyPrev != slot || next.key != e.key || next.offset <= e.offset || e.state != out && next.state == out {
			return fmt.Sprintf("slot %d, %+v, is followed in its key by %+v", slot, *e, *next)
		}
	}
	return ""
}
