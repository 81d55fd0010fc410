package lease

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/wheel"
)

// The model says what a queue should do, as plainly as can be: a map of messages, looked at whole for every question.

// message is one that the queue should have.
type message struct {
	offset   uint64
	bytes    uint32
	key      string // "" without Ordered
	failures uint32
	state    state // ready stands for behind too
	slot     uint32
	turn     uint32 // 0: never out
	holder   Holder
	until    int64 // deadline of out, end of waiting
	reason   Reason
}

type past struct {
	handle Handle
	offset uint64
}

type model struct {
	q        *Queue
	r        *rand.Rand
	now      int64
	rules    Rules
	messages map[uint64]*message
	done     map[uint64]bool // acked, and not admitted again since
	holders  map[Holder]bool // true: joined, false: retired
	handles  []past          // all that were given out
	turns    map[Handle]bool
	forwards []past
	failed   []Failure
	next     uint64
	streak   int
	trouble  string // the first thing that was wrong
	log      []string
}

func (m *model) failf(format string, args ...any) {
	if m.trouble == "" {
		m.trouble = fmt.Sprintf("at %d: ", m.now) + fmt.Sprintf(format, args...)
	}
}

func (m *model) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf("%d ", m.now)+fmt.Sprintf(format, args...))
}

// sorted is the messages by offset.
func (m *model) sorted() []*message {
	return slices.SortedFunc(maps.Values(m.messages), func(a, b *message) int { return int(int64(a.offset) - int64(b.offset)) })
}

// earlier is the messages of the same key with a lower offset.
func (m *model) earlier(of *message) (found []*message) {
	for _, o := range m.sorted() {
		if of.key != "" && o.key == of.key && o.offset < of.offset {
			found = append(found, o)
		}
	}
	return found
}

// eligible says whether a holder may get a message now.
func (m *model) eligible(msg *message, h Holder) bool {
	if msg.state != ready {
		return false
	}
	for _, o := range m.earlier(msg) {
		if o.state != out || o.holder != h || h == 0 {
			return false
		}
	}
	return true
}

// held is what a holder has, counted one by one.
func (m *model) held(h Holder) (messages int, bytes int64) {
	for _, msg := range m.messages {
		if msg.state == out && msg.holder == h {
			messages++
			bytes += int64(msg.bytes)
		}
	}
	return messages, bytes
}

func (m *model) admit() {
	offset := m.next + uint64(m.r.IntN(3))
	m.next = offset + 1
	msg := &message{offset: offset, bytes: uint32(m.r.IntN(1000)), state: ready, slot: m.q.free}
	if msg.slot == 0 {
		msg.slot = m.q.entries.size
	}
	var key string
	if m.r.IntN(3) > 0 {
		key = fmt.Sprint("key", m.r.IntN(1+m.r.IntN(8)))
	}
	if m.rules.Ordered {
		msg.key = key
	}
	m.messages[offset] = msg
	delete(m.done, offset)
	if m.r.IntN(6) > 0 {
		m.note("Admit %d key %q", offset, key)
		m.q.Admit(offset, msg.bytes, []byte(key))
		return
	}
	msg.failures = uint32(m.r.IntN(4))
	msg.reason = Reason(m.r.IntN(4))
	p := Past{Failures: msg.failures, Reason: msg.reason, NotBefore: m.now + m.r.Int64N(3*wheel.Tick) - wheel.Tick}
	if m.hopeless(msg) {
		msg.state = dead
	} else if p.NotBefore > m.now {
		msg.state, msg.until = waiting, p.NotBefore
	}
	m.note("AdmitAt %d key %q %+v", offset, key, p)
	m.q.AdmitAt(m.now, offset, msg.bytes, []byte(key), p)
}

func (m *model) take(h Holder) {
	credit := int64(1 << 60)
	if m.r.IntN(3) == 0 {
		credit = m.r.Int64N(1500)
	}
	deadline := m.now + m.r.Int64N(20*wheel.Tick) - wheel.Tick
	could := m.q.Has(h)
	l, ok := m.q.Take(m.now, h, credit, deadline)
	m.note("Take for %d, credit %d: %+v %v", h, credit, l, ok)
	heldMessages, _ := m.held(h)
	again, fresh, tooBig := uint64(0), uint64(0), false
	agains, freshs := 0, 0
	for _, msg := range m.sorted() {
		if !m.eligible(msg, h) {
			continue
		}
		tooBig = tooBig || int64(msg.bytes) > credit && heldMessages > 0
		if msg.turn != 0 {
			if agains++; agains == 1 {
				again = msg.offset
			}
		} else if freshs++; freshs == 1 {
			fresh = msg.offset
		}
	}
	if could != (agains+freshs > 0) {
		m.failf("Has is %v with %d and %d messages", could, agains, freshs)
	}
	if !ok {
		if agains+freshs > 0 && !tooBig {
			m.failf("nothing to take for %d, though %d (again) or %d (new) could be", h, again, fresh)
		}
		return
	}
	m.taken(h, l, deadline, agains, freshs)
	if int64(l.Bytes) > credit && heldMessages > 0 {
		m.failf("%d bytes for a credit of %d", l.Bytes, credit)
	}
}

// taken checks a lease and notes it.
func (m *model) taken(h Holder, l Lease, deadline int64, agains, freshs int) {
	msg := m.messages[l.Offset]
	switch {
	case m.done[l.Offset]:
		m.failf("message %d is done and was given out again", l.Offset)
	case msg == nil:
		m.failf("message %d is not there and was given out", l.Offset)
	case !m.eligible(msg, h):
		m.failf("message %d, %+v, must not go to holder %d", l.Offset, msg, h)
	case msg.slot != l.Slot || m.given(l.Handle) || l.Turn == 0:
		m.failf("message %d has handle %+v, of slot %d", l.Offset, l.Handle, msg.slot)
	case l.Bytes != msg.bytes || l.Attempt != msg.failures+1:
		m.failf("message %d has lease %+v", l.Offset, l)
	case msg.turn == 0 && agains > 0 && m.streak < againMax:
		m.failf("new message %d before one that was out", l.Offset)
	case msg.turn != 0 && freshs > 0 && m.streak >= againMax:
		m.failf("message %d shuts out new ones", l.Offset)
	}
	if m.trouble != "" {
		return
	}
	if m.streak++; msg.turn == 0 {
		m.streak = 0
	}
	m.turns[l.Handle] = true
	m.handles = append(m.handles, past{l.Handle, l.Offset})
	msg.state, msg.holder, msg.turn, msg.until = out, h, l.Turn, max(deadline, m.now)
}

// handle picks a lease that stands, or any handle there ever was.
func (m *model) handle() (past, bool) {
	var live []past
	for _, msg := range m.sorted() {
		if msg.state == out {
			live = append(live, past{Handle{msg.slot, msg.turn}, msg.offset})
		}
	}
	switch {
	case len(live) > 0 && m.r.IntN(5) > 0:
		return live[m.r.IntN(len(live))], true
	case len(m.handles) > 0:
		p := m.handles[len(m.handles)-1-m.r.IntN(min(len(m.handles), 100))]
		if m.r.IntN(20) == 0 {
			p.offset++
		}
		return p, true
	}
	return past{}, false
}

// verdict is what a handle is good for; ack asks for acknowledgements.
func (m *model) verdict(p past, ack bool) (*message, Verdict) {
	msg := m.messages[p.offset]
	strict := m.rules.ExactlyOnce || !ack
	switch {
	case msg == nil || msg.slot != p.handle.Slot || !m.turns[p.handle]:
		return nil, Unknown
	case ack && msg.state == forward:
		return msg, Stale
	case strict && msg.turn != p.handle.Turn:
		return msg, Stale
	case strict && msg.state != out:
		return msg, Expired
	case m.rules.ExactlyOnce && msg.until <= m.now:
		return msg, Expired
	case ack && m.rules.ExactlyOnce && len(m.earlier(msg)) > 0:
		return msg, Unordered
	}
	return msg, Done
}

func (m *model) ack() {
	if p, ok := m.handle(); ok {
		_, want := m.verdict(p, true)
		got := m.q.Ack(m.now, p.handle, p.offset)
		m.note("Ack %+v: %v", p, got)
		if got != want {
			m.failf("Ack of %+v is %v, want %v", p, got, want)
		}
		if got == Unordered && p.offset%2 == 0 {
			if got = m.q.Discard(m.now, p.handle, p.offset); got != Done {
				m.failf("Discard of %+v is %v", p, got)
			}
		}
		if got == Done {
			m.remove(p.offset)
		}
	}
}

func (m *model) remove(offset uint64) {
	delete(m.messages, offset)
	m.done[offset] = true
	m.sweep()
}

// sweep forgets holders that retired and have nothing.
func (m *model) sweep() {
	for h, active := range m.holders {
		if n, _ := m.held(h); !active && n == 0 {
			delete(m.holders, h)
		}
	}
}

func (m *model) nack() {
	if p, ok := m.handle(); ok {
		msg, want := m.verdict(p, false)
		why := Reason(m.r.IntN(4))
		got := m.q.Fail(m.now, p.handle, p.offset, why)
		m.note("Fail %+v, %v: %v", p, why, got)
		if got != want {
			m.failf("Fail of %+v is %v, want %v", p, got, want)
			return
		}
		if got == Done {
			m.fail(msg, why)
			m.sweep()
		}
	}
}

func (m *model) extend() {
	if p, ok := m.handle(); ok {
		msg, want := m.verdict(p, false)
		deadline := m.now + m.r.Int64N(30*wheel.Tick) - wheel.Tick
		got := m.q.Extend(m.now, p.handle, p.offset, deadline)
		m.note("Extend %+v to %d: %v", p, deadline, got)
		if got != want {
			m.failf("Extend of %+v is %v, want %v", p, got, want)
		}
		if got == Done {
			msg.until = max(deadline, m.now)
		}
	}
}

func (m *model) giveBack() {
	if p, ok := m.handle(); ok {
		got := m.q.Return(m.now, p.handle, p.offset)
		m.note("Return %+v: %v", p, got)
		msg := m.messages[p.offset]
		switch {
		case msg == nil || msg.slot != p.handle.Slot || !m.turns[p.handle]:
			if got != Unknown {
				m.failf("Return of %+v is %v", p, got)
			}
		case msg.state != out || msg.turn != p.handle.Turn:
			if got != Stale {
				m.failf("Return of %+v is %v", p, got)
			}
		default:
			if got != Done {
				m.failf("Return of %+v is %v", p, got)
			}
			m.requeue(msg)
			m.sweep()
		}
	}
}

func (m *model) drop() {
	if p, ok := m.handle(); ok {
		got := m.q.Drop(p.handle, p.offset)
		m.note("Drop %+v: %v", p, got)
		msg := m.messages[p.offset]
		want := Done
		if msg == nil || msg.slot != p.handle.Slot || !m.turns[p.handle] {
			want = Unknown
		} else if msg.state == forward {
			want = Stale
		}
		if got != want {
			m.failf("Drop of %+v is %v, want %v", p, got, want)
		}
		if got == Done {
			m.remove(p.offset)
		}
	}
}

// requeue ends the lease of a message and of all later ones of its key.
func (m *model) requeue(msg *message) {
	for _, o := range m.messages {
		if o == msg || msg.key != "" && o.key == msg.key && o.offset > msg.offset && o.state == out {
			o.state = ready
		}
	}
}

func (m *model) fail(msg *message, why Reason) {
	m.requeue(msg)
	msg.failures++
	msg.reason = why
	if m.hopeless(msg) {
		msg.state = dead
	} else {
		m.delay(msg, 0)
	}
	if m.rules.Journal {
		f := Failure{Offset: msg.offset, Failures: msg.failures, Reason: why}
		if msg.state == waiting {
			f.Wait = time.Duration(msg.until - m.now)
		}
		m.failed = append(m.failed, f)
	}
}

func (m *model) hopeless(msg *message) bool {
	return m.rules.AttemptsMax > 0 && int(msg.failures) >= m.rules.AttemptsMax
}

// delay lets a message wait for as long as the queue chose, within what the rules say and not shorter than asked.
func (m *model) delay(msg *message, atLeast time.Duration) {
	msg.state = ready
	if m.rules.BackoffMin <= 0 && atLeast <= 0 {
		return
	}
	least := m.rules.BackoffMin
	for range max(msg.failures, 1) - 1 {
		least = min(2*least, m.rules.BackoffMax)
	}
	most := max(atLeast, min(least+least/10, max(m.rules.BackoffMax, m.rules.BackoffMin)))
	least = max(least, atLeast)
	until, ok := m.q.wheel.At(msg.slot)
	if wait := time.Duration(until - m.now); !ok || wait < least || wait > most {
		m.failf("message %d waits %v (%v) after %d failures, want %v to %v", msg.offset, wait, ok, msg.failures, least, most)
	}
	msg.state, msg.until = waiting, until
}

func (m *model) expire() {
	count := m.q.Expire(m.now, math.MaxInt)
	m.note("Expire: %d", count)
	want := 0
	var due []*message
	for _, msg := range m.sorted() {
		if (msg.state == out || msg.state == waiting) && msg.until/wheel.Tick < m.now/wheel.Tick {
			due = append(due, msg)
			want++
		}
	}
	for _, msg := range due {
		if msg.state == waiting {
			msg.state = ready
		} else if msg.state == out {
			m.fail(msg, DeadlineExpired)
		}
	}
	m.sweep()
	if count != want {
		m.failf("Expire is %d, want %d", count, want)
	}
}

func (m *model) bury() {
	could := m.q.Burials()
	l, why, ok := m.q.Dead()
	if could != ok {
		m.failf("Burials is %v, Dead gives %v", could, ok)
	}
	m.note("Dead: %+v %v %v", l, why, ok)
	for _, msg := range m.sorted() {
		if !ok && msg.state == dead && len(m.earlier(msg)) == 0 {
			m.failf("message %d is dead and was not given", msg.offset)
		}
	}
	if !ok {
		return
	}
	msg := m.messages[l.Offset]
	if msg == nil || msg.state != dead || len(m.earlier(msg)) > 0 || l.Attempt != msg.failures || why != msg.reason || l.Slot != msg.slot {
		m.failf("Dead is %+v, %v, of %+v", l, why, msg)
		return
	}
	if msg.turn == 0 {
		if h := l.Handle; h.Turn == 0 || m.turns[h] {
			m.failf("a dead message has the handle %+v", h)
		}
		m.turns[l.Handle] = true
		msg.turn = l.Turn
	}
	msg.state = forward
	m.forwards = append(m.forwards, past{l.Handle, l.Offset})
}

func (m *model) forwarded() {
	if len(m.forwards) == 0 {
		return
	}
	i := m.r.IntN(len(m.forwards))
	p := m.forwards[i]
	m.forwards = slices.Delete(m.forwards, i, i+1)
	msg := m.messages[p.offset]
	there := msg != nil && msg.slot == p.handle.Slot && msg.turn == p.handle.Turn
	if m.r.IntN(2) == 0 {
		m.note("Forwarded %+v", p)
		if m.q.Forwarded(p.handle, p.offset) != there {
			m.failf("Forwarded of %+v is %v", p, !there)
		}
		if there {
			m.remove(p.offset)
		}
		return
	}
	wait := time.Duration(m.r.Int64N(int64(3*wheel.Tick)) - int64(wheel.Tick))
	m.note("ForwardFailed %+v, wait %v", p, wait)
	if m.q.ForwardFailed(m.now, p.handle, p.offset, wait) != there {
		m.failf("ForwardFailed of %+v is %v", p, !there)
	}
	if there {
		m.delay(msg, wait)
	}
}

func (m *model) join() {
	h := m.q.Join()
	m.note("Join: %d", h)
	if _, taken := m.holders[h]; taken || h == 0 {
		m.failf("holder %d is there already", h)
	}
	m.holders[h] = true
}

// some is a holder that may take; not 0 if another was asked for.
func (m *model) some(other bool) (Holder, bool) {
	var found []Holder
	for h, active := range m.holders {
		if active && (h != 0 || !other) {
			found = append(found, h)
		}
	}
	if len(found) == 0 {
		return 0, false
	}
	slices.Sort(found)
	return found[m.r.IntN(len(found))], true
}

func (m *model) leave() {
	h, ok := m.some(true)
	if !ok {
		return
	}
	want, _ := m.held(h)
	if m.r.IntN(3) == 0 {
		m.note("Retire %d", h)
		m.q.Retire(h)
		m.holders[h] = false
		m.sweep()
		return
	}
	broken := m.r.IntN(2) == 0
	leave := m.q.Leave
	if broken {
		leave = m.q.Abandon
	}
	got := leave(m.now, h)
	m.note("Leave %d, broken %v: %d", h, broken, got)
	if got != want {
		m.failf("Leave of %d is %d, want %d", h, got, want)
	}
	for _, msg := range m.sorted() {
		switch {
		case msg.state != out || msg.holder != h:
		case broken:
			m.fail(msg, Disconnected)
		default:
			msg.state = ready
		}
	}
	delete(m.holders, h)
}

func (m *model) dropBefore() {
	offset := m.next - min(m.next, uint64(m.r.IntN(60)))
	got, want := m.q.DropBefore(offset), 0
	m.note("DropBefore %d: %d", offset, got)
	for _, msg := range m.sorted() {
		if msg.offset < offset && msg.state != forward {
			m.remove(msg.offset)
			want++
		}
	}
	if got != want {
		m.failf("DropBefore %d is %d, want %d", offset, got, want)
	}
}

func (m *model) reset() {
	m.note("Reset")
	m.q.Reset()
	clear(m.messages)
	for h := range m.turns {
		m.turns[h] = false // given out, but void
	}
	m.failed = nil
	m.sweep()
	m.streak = 0
	m.next -= min(m.next, uint64(m.r.IntN(50)))
}

// given says whether the handle was ever given out.
func (m *model) given(h Handle) bool {
	_, given := m.turns[h]
	return given
}
