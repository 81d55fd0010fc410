// Package ledger is what a shard's log adds up to: which topics and subscriptions exist, where each topic ends, and which messages
// each subscription is done with. It is changed by nothing but the durable records of the log, in log order, so the same log
// always gives the same ledger: after a crash, on another machine, from any checkpoint.
//
// It holds resources as bytes that it does not read; their meaning is package catalog's.
//
// A Ledger is changed by one goroutine (the engine's, through Apply). That goroutine may read it freely; any other must be kept out
// of structural changes by its owner. What other goroutines read while the log runs, a topic's End and a subscription's acked
// offsets, guards itself.
package ledger

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/ackset"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// SubscriptionID identifies a subscription inside its shard. Topics, subscriptions and snapshots take their numbers from one counter,
// and a number is never used again.
type SubscriptionID uint64

// Topic is a topic as the log has it.
type Topic struct {
	ID            engine.TopicID
	Name          string
	Config        []byte // never changed in place
	Deleted       bool   // only subscriptions still know it
	end           atomic.Uint64
	subscriptions int
}

// End is the offset after the topic's last durable message. Safe for concurrent use.
func (t *Topic) End() engine.Offset { return engine.Offset(t.end.Load()) }

// Subscription is a subscription as the log has it.
type Subscription struct {
	ID     SubscriptionID
	Topic  *Topic
	Name   string
	Config []byte        // never changed in place
	Start  engine.Offset // of the first message after the subscription's creation
	// Detached says that it no longer belongs to its topic, which may be gone; see AppendDetached.
	Detached bool
	active   atomic.Int64

	mu       sync.Mutex
	acked    ackset.Set
	seeks    uint64
	sought   Sought
	failures map[engine.Offset]Failure // of messages that are not acknowledged; nil when there are none
}

// Floor is the offset below which the subscription is done with everything. Safe for concurrent use.
func (s *Subscription) Floor() engine.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return engine.Offset(s.acked.Floor())
}

// NextOpen is the first offset from on that is not acknowledged. Safe for concurrent use.
func (s *Subscription) NextOpen(from engine.Offset) engine.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return engine.Offset(s.acked.Next(uint64(from)))
}

// Acked says whether the offset is acknowledged. Safe for concurrent use.
func (s *Subscription) Acked(off engine.Offset) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked.Contains(uint64(off))
}

// Ledger is a shard's durable state.
type Ledger struct {
	topics        map[engine.TopicID]*Topic
	subscriptions map[SubscriptionID]*Subscription
	snapshots     map[SnapshotID]*Snapshot
	documents     map[string]map[string][]byte // by kind and name
	last          uint64                       // the highest number ever given to a resource
	runs          []ackset.Run                 // scratch of acked
	alike         [2][]byte                    // the configuration that was put last, of a topic and of a subscription
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{
		topics:        map[engine.TopicID]*Topic{},
		subscriptions: map[SubscriptionID]*Subscription{},
		snapshots:     map[SnapshotID]*Snapshot{},
		documents:     map[string]map[string][]byte{},
	}
}

// Last is the highest number that a topic, subscription or snapshot ever had.
func (l *Ledger) Last() uint64 { return l.last }

// Document is the body last put under that kind and name; false when there is none. It is never changed in place.
func (l *Ledger) Document(kind, name string) ([]byte, bool) {
	body, there := l.documents[kind][name]
	return body, there
}

// Documents calls f for each document of a kind, in no order, until it returns false.
func (l *Ledger) Documents(kind string, f func(name string, body []byte) bool) {
	for name, body := range l.documents[kind] {
		if !f(name, body) {
			return
		}
	}
}

// Topic finds a topic by its number, a deleted one too while a subscription knows it.
func (l *Ledger) Topic(id engine.TopicID) *Topic { return l.topics[id] }

// Subscription finds a subscription by its number.
func (l *Ledger) Subscription(id SubscriptionID) *Subscription { return l.subscriptions[id] }

// Topics calls f for each topic, in no order, until it returns false.
func (l *Ledger) Topics(f func(*Topic) bool) {
	for _, t := range l.topics {
		if !f(t) {
			return
		}
	}
}

// Subscriptions calls f for each subscription, in no order, until it returns false.
func (l *Ledger) Subscriptions(f func(*Subscription) bool) {
	for _, s := range l.subscriptions {
		if !f(s) {
			return
		}
	}
}

// Change tells what a record did. Topic, Subscription or Snapshot is the one that was put, deleted or touched; all are nil for records
// whose resource is gone. Kind and Name are those of a document.
type Change struct {
	Op           Op
	Kind, Name   string
	Topic        *Topic
	Subscription *Subscription
	Snapshot     *Snapshot
	Created      bool // of OpTopic, OpSubscription and OpSnapshot: it was not there before
	Forgotten    bool // the topic is deleted and nobody knows it any more
}

// Apply takes the next durable record. An error means that the record was not written by this version's rules.
func (l *Ledger) Apply(r *engine.Record) (Change, error) {
	if r.Kind == engine.KindBlock {
		return l.applyBlock(r), nil
	}
	n, err := parseNote(r.Body)
	if err != nil {
		return Change{}, err
	}
	switch n.op {
	case OpTopic:
		return l.putTopic(&n), nil
	case OpTopicDeleted:
		return l.deleteTopic(engine.TopicID(n.id)), nil
	case OpSubscription:
		return l.putSubscription(&n)
	case OpSubscriptionDeleted:
		return l.deleteSubscription(SubscriptionID(n.id)), nil
	case OpAcked:
		return l.acked(&n)
	case OpAckedBefore:
		return l.ackedBefore(&n), nil
	case OpSeek:
		return l.seek(&n), nil
	case OpFailed:
		return l.failed(&n)
	case OpSeekSnapshot:
		return l.seekSnapshot(&n), nil
	case OpSnapshot:
		return l.putSnapshot(&n), nil
	case OpSnapshotDeleted:
		return l.deleteSnapshot(SnapshotID(n.id)), nil
	case OpDetached:
		return l.detach(SubscriptionID(n.id)), nil
	case OpActive:
		return l.noteActive(&n), nil
	case OpDocument:
		l.putDocument(n.kind, n.name, n.bytes())
		return Change{Op: OpDocument, Kind: n.kind, Name: n.name}, nil
	case OpDocumentDeleted:
		l.deleteDocument(n.kind, n.name)
		return Change{Op: OpDocumentDeleted, Kind: n.kind, Name: n.name}, nil
	}
	return Change{}, fmt.Errorf("ledger: unknown note %d", n.op)
}

func (l *Ledger) applyBlock(r *engine.Record) Change {
	t := l.topics[r.Topic]
	switch {
	case t == nil: // published while the topic was being deleted, and it is forgotten already
		return Change{Op: OpBlock, Topic: &Topic{ID: r.Topic, Deleted: true}, Forgotten: true}
	case t.Deleted:
		return Change{Op: OpBlock}
	}
	end := uint64(r.Stamp.First) + uint64(r.Count)
	if end <= t.end.Load() {
		panic(fmt.Sprintf("bug: topic %d went from %d back to %d", t.ID, t.end.Load(), end))
	}
	t.end.Store(end)
	return Change{Op: OpBlock, Topic: t}
}

// share gives a copy of a configuration that may be kept: the last one that it gave, if that is equal, as most resources are made alike.
func share(last *[]byte, config []byte) []byte {
	if !bytes.Equal(*last, config) {
		*last = bytes.Clone(config)
	}
	return *last
}

func (l *Ledger) putTopic(n *note) Change {
	id := engine.TopicID(n.id)
	t, created := l.topics[id], false
	if t == nil {
		t, created = &Topic{ID: id, Name: n.name}, true
		l.topics[id] = t
		l.last = max(l.last, n.id)
	}
	t.Config = share(&l.alike[0], n.config)
	return Change{Op: OpTopic, Topic: t, Created: created}
}

func (l *Ledger) deleteTopic(id engine.TopicID) Change {
	t := l.topics[id]
	if t == nil {
		return Change{Op: OpTopicDeleted}
	}
	t.Deleted = true
	for _, s := range l.snapshots {
		if s.Topic == t {
			s.release()
		}
	}
	return Change{Op: OpTopicDeleted, Topic: t, Forgotten: l.forget(t)}
}

// forget drops a deleted topic that no subscription knows.
func (l *Ledger) forget(t *Topic) bool {
	if !t.Deleted || t.subscriptions > 0 {
		return false
	}
	delete(l.topics, t.ID)
	return true
}

func (l *Ledger) putSubscription(n *note) (Change, error) {
	id := SubscriptionID(n.id)
	s, created := l.subscriptions[id], false
	if s == nil {
		t := l.topics[engine.TopicID(n.topic)]
		if t == nil {
			return Change{}, fmt.Errorf("ledger: subscription %d of topic %d, which is not there", n.id, n.topic)
		}
		// A subscription begins with the first message that the log has after it.
		s, created = &Subscription{ID: id, Name: n.name, Topic: t, Start: t.End()}, true
		s.acked.Reset(uint64(s.Start))
		t.subscriptions++
		l.subscriptions[id] = s
		l.last = max(l.last, n.id)
	}
	s.Config = share(&l.alike[1], n.config)
	return Change{Op: OpSubscription, Topic: s.Topic, Subscription: s, Created: created}, nil
}

func (l *Ledger) deleteSubscription(id SubscriptionID) Change {
	s := l.subscriptions[id]
	if s == nil {
		return Change{Op: OpSubscriptionDeleted}
	}
	delete(l.subscriptions, id)
	if s.Detached {
		return Change{Op: OpSubscriptionDeleted, Topic: s.Topic, Subscription: s}
	}
	s.Topic.subscriptions--
	return Change{Op: OpSubscriptionDeleted, Topic: s.Topic, Subscription: s, Forgotten: l.forget(s.Topic)}
}

func (l *Ledger) acked(n *note) (Change, error) {
	s := l.subscriptions[SubscriptionID(n.id)]
	if s == nil || s.Detached {
		return Change{Op: OpAcked}, nil // deleted meanwhile, or done with everything
	}
	var err error
	if l.runs, err = n.runs(l.runs[:0]); err != nil {
		return Change{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.seeks != s.seeks {
		return Change{Op: OpAcked}, nil // made before a seek
	}
	for _, run := range l.runs {
		s.acked.AddRange(run.From, run.To)
		s.forgetFailures(run)
	}
	return Change{Op: OpAcked, Topic: s.Topic, Subscription: s}, nil
}

func (l *Ledger) ackedBefore(n *note) Change {
	s := l.subscriptions[SubscriptionID(n.id)]
	if s == nil || s.Detached {
		return Change{Op: OpAckedBefore}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.seeks != s.seeks {
		return Change{Op: OpAckedBefore}
	}
	s.acked.AddRange(s.acked.Floor(), n.topic)
	s.forgetFailures(ackset.Run{From: 0, To: n.topic})
	return Change{Op: OpAckedBefore, Topic: s.Topic, Subscription: s}
}

func (l *Ledger) putDocument(kind, name string, body []byte) {
	if l.documents[kind] == nil {
		l.documents[kind] = map[string][]byte{}
	}
	l.documents[kind][name] = body
}

func (l *Ledger) deleteDocument(kind, name string) {
	delete(l.documents[kind], name)
	if len(l.documents[kind]) == 0 {
		delete(l.documents, kind)
	}
}
