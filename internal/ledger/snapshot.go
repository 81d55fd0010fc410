package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/posthaste-io/posthaste/internal/ackset"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// SnapshotID identifies a snapshot inside its shard.
type SnapshotID uint64

// Snapshot is what a subscription was done with at one place of the log. What it says of that never changes, until its topic is
// deleted: then it says nothing any more. Reading it is safe under whatever keeps structural changes out.
type Snapshot struct {
	ID      SnapshotID
	Topic   *Topic // nil: deleted
	Name    string
	Config  []byte // never changed in place
	Ordered bool   // its subscription kept the order of ordering keys
	Latest  int64  // Unix nanoseconds: the latest time to which its owner lets it live
	acked   ackset.Set
}

// Floor is the first offset that the snapshot needs: its topic's messages from there on must be kept.
func (s *Snapshot) Floor() engine.Offset { return engine.Offset(s.acked.Floor()) }

// release lets go of everything that the snapshot keeps.
func (s *Snapshot) release() {
	s.Topic = nil
	s.acked.Reset(0)
}

// Snapshots calls f for each snapshot, in no order, until it returns false.
func (l *Ledger) Snapshots(f func(*Snapshot) bool) {
	for _, s := range l.snapshots {
		if !f(s) {
			return
		}
	}
}

// AppendSnapshot appends the note that puts a snapshot: a new one, of what the subscription is done with at that place of the log, when
// the number is new, else a new configuration. There is none afterwards if the subscription, or its topic, is deleted by then.
func AppendSnapshot(dst []byte, s *Snapshot, of SubscriptionID) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpSnapshot)), uint64(s.ID))
	dst = appendBool(binary.AppendUvarint(dst, uint64(of)), s.Ordered)
	dst = binary.AppendUvarint(dst, uint64(s.Latest))
	return append(appendString(dst, s.Name), s.Config...)
}

// AppendSnapshotDeleted appends the note that deletes a snapshot.
func AppendSnapshotDeleted(dst []byte, id SnapshotID) []byte {
	return binary.AppendUvarint(append(dst, byte(OpSnapshotDeleted)), uint64(id))
}

// AppendSeekSnapshot appends the note that makes a subscription done with what the snapshot says, if that is of its topic.
func AppendSeekSnapshot(dst []byte, id SubscriptionID, sought Sought, to SnapshotID) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpSeekSnapshot)), uint64(id))
	return binary.AppendUvarint(sought.append(dst), uint64(to))
}

func appendBool(dst []byte, is bool) []byte {
	if is {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (l *Ledger) putSnapshot(n *note) Change {
	id := SnapshotID(n.id)
	l.last = max(l.last, n.id)
	if s := l.snapshots[id]; s != nil {
		s.Config = n.bytes()
		return Change{Op: OpSnapshot, Topic: s.Topic, Snapshot: s}
	}
	of := l.subscriptions[SubscriptionID(n.topic)]
	if of == nil || of.Detached || of.Topic.Deleted {
		return Change{Op: OpSnapshot}
	}
	s := &Snapshot{ID: id, Topic: of.Topic, Name: n.name, Config: n.bytes(), Ordered: n.ordered, Latest: n.latest}
	of.mu.Lock()
	s.acked = of.acked.Clone()
	of.mu.Unlock()
	l.snapshots[id] = s
	return Change{Op: OpSnapshot, Topic: s.Topic, Snapshot: s, Created: true}
}

func (l *Ledger) deleteSnapshot(id SnapshotID) Change {
	s := l.snapshots[id]
	if s == nil {
		return Change{Op: OpSnapshotDeleted}
	}
	delete(l.snapshots, id)
	return Change{Op: OpSnapshotDeleted, Topic: s.Topic, Snapshot: s}
}

func (l *Ledger) seekSnapshot(n *note) Change {
	s, to := l.subscriptions[SubscriptionID(n.id)], l.snapshots[SnapshotID(n.topic)]
	if s == nil || s.Detached || to == nil || to.Topic != s.Topic {
		return Change{Op: OpSeekSnapshot}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = to.acked.Clone()
	s.moved(n.seek.Sought)
	return Change{Op: OpSeekSnapshot, Topic: s.Topic, Subscription: s}
}

// append adds the snapshot to a checkpoint.
func (s *Snapshot) append(b, scratch []byte) (_, _ []byte) {
	topic := engine.TopicID(0)
	if s.Topic != nil {
		topic = s.Topic.ID
	}
	b = binary.AppendUvarint(b, uint64(s.ID))
	b = appendBool(binary.AppendUvarint(b, uint64(topic)), s.Ordered)
	b = binary.AppendUvarint(b, uint64(s.Latest))
	b = appendString(b, s.Name)
	b = append(binary.AppendUvarint(b, uint64(len(s.Config))), s.Config...)
	scratch = s.acked.AppendBinary(scratch)
	return append(binary.AppendUvarint(b, uint64(len(scratch))), scratch...), scratch
}

func (l *Ledger) restoreSnapshot(r *source) (err error) {
	s := &Snapshot{ID: SnapshotID(r.number())}
	topic := engine.TopicID(r.number())
	s.Ordered, s.Latest = r.number() != 0, int64(r.number())
	s.Name, s.Config = string(r.bytes()), r.bytes()
	acked := r.bytes()
	if r.err != nil {
		return r.err
	}
	if s.Topic = l.topics[topic]; s.Topic == nil && topic != 0 {
		return fmt.Errorf("%w: snapshot %d of topic %d, which is not there", errCheckpoint, s.ID, topic)
	}
	if s.acked, err = ackset.Decode(acked); err != nil {
		return fmt.Errorf("%w: snapshot %d: %w", errCheckpoint, s.ID, err)
	}
	l.snapshots[s.ID] = s
	return nil
}
