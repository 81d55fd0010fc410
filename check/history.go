package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// forever is the time of what never happened.
const forever = math.MaxInt64

// History is a run, indexed for the rules.
type History struct {
	publishes     []*publish // in the order of invocation
	payloads      map[string]*publish
	subscriptions map[string]*subscription
	streams       map[string]*stream
	faults        []*fault
	troubles      []int64 // times at which a client lost a call or a stream, sorted
	drained       bool
	drainedNS     int64
	malformed     []Violation
	sequences     map[topicKey]*keySequence // made when they are first needed
	excused       map[string]int
}

// excuse counts what a rule let pass only because the history leaves open what the broker did.
func (h *History) excuse(what string, times int) {
	if times > 0 {
		h.excused[what] += times
	}
}

// publish is one attempt to publish one message.
type publish struct {
	*Event          // of the invocation
	begin     int64 // invoked
	end       int64 // outcome known; forever without one
	phase     Phase // of the outcome; unknown without one
	messageID string
	order     int // position among all publishes, by invocation and then by place in the call
}

// accepted says that the broker took responsibility for the message.
func (p *publish) accepted() bool { return p.phase == PhaseOK }

// before says that p must stand before q in the topic: it was answered before q began, or stands before it in the same call.
func (p *publish) before(q *publish) bool {
	if p.Process == q.Process && p.Call == q.Call {
		return p.order < q.order
	}
	return p.end < q.begin
}

// subscription is one subscription's life and deliveries.
type subscription struct {
	name       string
	topic      string
	config     Config
	since      int64 // creation answered; what is published from here on must arrive
	until      int64 // deletion invoked
	deliveries []*delivery
	messages   map[string][]*delivery // by payload, in order of receipt
	keyed      map[string][]*delivery // by ordering key, likewise
	seeks      []int64
	updates    []update
	moves      []*move
	leaseMax   int64 // the longest deadline, of a receipt or of an extension after it, in nanoseconds
}

// wants says whether a message of the subscription's topic passes its filter.
func (s *subscription) wants(p *publish) bool {
	return p.Topic == s.topic && (s.config.Class == "" || s.config.Class == p.Class)
}

// seekWithin says whether a seek was at work in [from, to]: from its invocation until what was on its way when it was answered has
// arrived, within slack.
func (s *subscription) seekWithin(from, to, slack int64) bool {
	return slices.ContainsFunc(s.moves, func(m *move) bool { return m.TimeNS <= to && (m.outcome == forever || m.outcome+slack >= from) })
}

// delivery is one receipt of one message.
type delivery struct {
	*Event
	at       int64
	pub      *publish // nil for a message nobody published
	sub      *subscription
	stream   *stream // nil for a pull
	previous *delivery
	next     *delivery // the same message again in the same subscription
	acked    int64     // first acknowledgement sent
	ackedOK  int64     // first acknowledgement confirmed
	ackAt    int64     // when the acknowledgement that was confirmed had been sent
	ackTried int64     // last acknowledgement sent
	nacked   int64     // first nack sent
	extends  []extend
	number   int // in its subscription's deliveries
	client   int // stands for its process
}

// extend is a change of a lease's deadline; of a nack to zero.
type extend struct {
	at, lengthNS int64
	outcome      Phase // unknown without an answer
}

// leaseEnd is when the lease runs out as the subscriber sees it, which is a little later than the broker does. It is not sure when a
// change was sent so near to the end, within slack, that it may have come too late.
func (d *delivery) leaseEnd(slackNS int64) (end int64, sure bool) {
	end, sure = d.at+d.DeadlineNS, true
	for _, e := range d.extends {
		switch {
		case e.outcome == PhaseFail || e.lengthNS == 0:
		case e.at+slackNS < end || e.outcome == PhaseOK:
			end = e.at + e.lengthNS
		case e.at < end+slackNS:
			end, sure = max(end, e.at+e.lengthNS), false
		}
	}
	return end, sure
}

// leaseEndSure is when the lease runs out if changes that were sent within slack of its end came too late.
func (d *delivery) leaseEndSure(slackNS int64) int64 {
	end := d.at + d.DeadlineNS
	for _, e := range d.extends {
		if e.lengthNS > 0 && (e.outcome != PhaseFail && e.at+slackNS < end || e.outcome == PhaseOK) {
			end = e.at + e.lengthNS
		}
	}
	return end
}

// released is when the subscriber, by nack, expiry or the end of its stream, no longer holds the message.
func (d *delivery) released(slackNS int64) int64 {
	end, _ := d.leaseEnd(slackNS)
	end = min(end, d.nacked)
	if d.stream != nil {
		end = min(end, d.stream.end)
	}
	return end
}

// ackedEver is when an acknowledgement of the message was first sent for this delivery or an earlier one.
func (d *delivery) ackedEver() int64 {
	first := int64(forever)
	for ; d != nil; d = d.previous {
		first = min(first, d.acked)
	}
	return first
}

// stream is the life of a subscriber's stream.
type stream struct {
	*Event
	sub        string
	begin, end int64
	closed     int64 // its subscriber asked for its end, which the broker may have seen long before the subscriber did
	broke      bool  // it did not end in an orderly way
	limits     Limits
	deliveries []*delivery
}

// goneBefore says whether the broker may have seen the stream's end, and given what it held to others, before they received it at the time.
func (s *stream) goneBefore(at, slack int64) bool {
	return s.closed <= at || s.broke && s.end <= at+slack
}

// fault is a stretch of time in which the broker was hurt.
type fault struct {
	*Event
	begin, end int64
}

// faultWithin says whether a fault was in progress at some time in [from, to].
func (h *History) faultWithin(from, to int64) bool {
	for _, f := range h.faults {
		if f.begin <= to && f.end >= from {
			return true
		}
	}
	return false
}

// anyWithin says whether one of the sorted times lies in [from, to].
func anyWithin(times []int64, from, to int64) bool {
	i, _ := slices.BinarySearch(times, from)
	return i < len(times) && times[i] <= to
}

// NewHistory indexes events, which it sorts by time and keeps.
func NewHistory(events []Event) *History {
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.TimeNS, b.TimeNS) })
	b := builder{
		h: &History{
			payloads:      make(map[string]*publish),
			subscriptions: make(map[string]*subscription),
			streams:       make(map[string]*stream),
			excused:       make(map[string]int),
		},
		leases:  make(map[string]*delivery),
		clients: make(map[string]int),
	}
	for i := range events {
		if reason := b.add(&events[i]); reason != "" {
			b.h.malformed = append(b.h.malformed, violation(reason, &events[i]))
		}
	}
	return b.h
}

// builder holds what only building needs.
type builder struct {
	h       *History
	leases  map[string]*delivery // by subscription and ack id
	clients map[string]int       // by process
}

// add takes the next event and says what is wrong with it, if anything.
func (b *builder) add(e *Event) string {
	if e.Phase == PhaseUnknown || (e.Op == OpStream && e.Phase == PhaseFail) {
		b.h.troubles = append(b.h.troubles, e.TimeNS)
	}
	switch e.Op {
	case OpSubscribe, OpUpdate, OpUnsubscribe, OpSeek:
		return b.addSubscription(e)
	case OpPublish:
		return b.addPublish(e)
	case OpStream:
		return b.addStream(e)
	case OpClose:
		return b.addClose(e)
	case OpReceive:
		return b.addReceive(e)
	case OpAck, OpNack, OpExtend:
		return b.addSettle(e)
	case OpFault:
		return b.addFault(e)
	case OpDrain:
		b.h.drained, b.h.drainedNS = e.Phase == PhaseOK, e.TimeNS
		return ""
	default:
		return fmt.Sprintf("operation %q is not known", e.Op)
	}
}

func (b *builder) addSubscription(e *Event) string {
	s := b.h.subscriptions[e.Subscription]
	switch {
	case e.Op == OpSubscribe && e.Phase == PhaseOK:
		if s != nil {
			return "subscription was created twice"
		}
		s = &subscription{name: e.Subscription, topic: e.Topic, since: e.TimeNS, until: forever, messages: make(map[string][]*delivery),
			keyed: make(map[string][]*delivery)}
		if e.Config != nil {
			s.config = *e.Config
		}
		s.updates = []update{{from: e.TimeNS, exactlyOnce: s.config.ExactlyOnce}}
		b.h.subscriptions[e.Subscription] = s
	case e.Op == OpSubscribe:
	case s == nil:
		return "subscription was never created"
	case e.Op == OpUnsubscribe && e.Phase == PhaseInvoke:
		s.until = min(s.until, e.TimeNS)
	case e.Op == OpSeek:
		s.addMove(e)
	case e.Op == OpUpdate:
		s.addUpdate(e)
	}
	return ""
}

func (b *builder) addPublish(e *Event) string {
	if e.Phase == PhaseInvoke {
		if b.h.payloads[e.Payload] != nil {
			return "payload id was used twice"
		}
		p := &publish{Event: e, begin: e.TimeNS, end: forever, phase: PhaseUnknown, order: len(b.h.publishes)}
		b.h.publishes = append(b.h.publishes, p)
		b.h.payloads[e.Payload] = p
		return ""
	}
	p := b.h.payloads[e.Payload]
	if p == nil || p.end != forever {
		return "outcome of a publish that was not in progress"
	}
	p.end, p.phase, p.messageID = e.TimeNS, e.Phase, e.MessageID
	return ""
}

func (b *builder) addClose(e *Event) string {
	s := b.h.streams[e.Process]
	if s == nil {
		return "close of a stream that was never opened"
	}
	s.closed = min(s.closed, e.TimeNS)
	return ""
}

func (b *builder) addStream(e *Event) string {
	s := b.h.streams[e.Process]
	if e.Phase == PhaseInvoke {
		if s != nil {
			return "stream was opened twice"
		}
		s = &stream{Event: e, sub: e.Subscription, begin: e.TimeNS, end: forever, closed: forever}
		if e.Limits != nil {
			s.limits = *e.Limits
		}
		b.h.streams[e.Process] = s
		return ""
	}
	if s == nil || s.end != forever {
		return "end of a stream that is not open"
	}
	s.end, s.broke = e.TimeNS, e.Phase != PhaseOK
	return ""
}

func (b *builder) addReceive(e *Event) string {
	s := b.h.subscriptions[e.Subscription]
	if s == nil {
		return "message from a subscription that was never created"
	}
	d := &delivery{Event: e, at: e.TimeNS, pub: b.h.payloads[e.Payload], sub: s, stream: b.h.streams[e.Process],
		acked: forever, ackedOK: forever, ackAt: forever, nacked: forever, number: len(s.deliveries)}
	client, known := b.clients[e.Process]
	if !known {
		client = len(b.clients)
		b.clients[e.Process] = client
	}
	d.client = client
	s.leaseMax = max(s.leaseMax, e.DeadlineNS)
	if earlier := s.messages[e.Payload]; len(earlier) > 0 {
		d.previous = earlier[len(earlier)-1]
		d.previous.next = d
	}
	s.deliveries = append(s.deliveries, d)
	s.messages[e.Payload] = append(s.messages[e.Payload], d)
	if e.Key != "" {
		s.keyed[e.Key] = append(s.keyed[e.Key], d)
	}
	if d.stream != nil {
		d.stream.deliveries = append(d.stream.deliveries, d)
	}
	// Two deliveries with one ack id are for the rule about identity to find; the later one is the one that can be settled.
	b.leases[e.Subscription+"\n"+e.AckID] = d
	return ""
}

func (b *builder) addSettle(e *Event) string {
	d := b.leases[e.Subscription+"\n"+e.AckID]
	if d == nil {
		return "ack id was never received"
	}
	switch {
	case e.Op == OpAck && e.Phase == PhaseInvoke:
		d.acked, d.ackTried = min(d.acked, e.TimeNS), e.TimeNS
		if d.ackedOK == forever {
			d.ackAt = e.TimeNS
		}
	case e.Op == OpAck && e.Phase == PhaseOK:
		d.ackedOK = min(d.ackedOK, e.TimeNS)
	case e.Op == OpAck && e.Phase == PhaseFail && d.acked == d.ackTried:
		d.acked = forever // what was refused had no effect; an earlier one may have had
	case e.Phase == PhaseInvoke:
		if e.Op == OpNack {
			d.nacked = min(d.nacked, e.TimeNS)
		}
		length := e.DeadlineNS
		if e.Op == OpNack {
			length = 0
		}
		d.extends = append(d.extends, extend{at: e.TimeNS, lengthNS: length, outcome: PhaseUnknown})
		d.sub.leaseMax = max(d.sub.leaseMax, e.TimeNS+length-d.at)
	default:
		d.answer(e)
	}
	return ""
}

// answer takes the outcome of a change of the deadline. Where several have none yet, it is not known whose it is.
func (d *delivery) answer(e *Event) {
	open := func(x extend) bool { return x.outcome == PhaseUnknown }
	at := slices.IndexFunc(d.extends, open)
	if at < 0 || slices.ContainsFunc(d.extends[at+1:], open) || e.Phase == PhaseUnknown {
		return
	}
	d.extends[at].outcome = e.Phase
	if e.Phase == PhaseFail && d.extends[at].lengthNS == 0 && d.extends[at].at == d.nacked {
		d.nacked = forever // what was refused had no effect
	}
}

func (b *builder) addFault(e *Event) string {
	if e.Phase == PhaseInvoke {
		b.h.faults = append(b.h.faults, &fault{Event: e, begin: e.TimeNS, end: forever})
		return ""
	}
	for _, f := range b.h.faults {
		if f.Process == e.Process && f.Call == e.Call && f.end == forever {
			f.end = e.TimeNS
			return ""
		}
	}
	return "end of a fault that is not in progress"
}
