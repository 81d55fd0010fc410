package ledger

import (
	"encoding/binary"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// Sought is what a subscription remembers of its last seek. The zero value: there was none.
type Sought struct {
	// Epoch is the shard's epoch then: ack ids that were given out in it or before may be older than the seek.
	Epoch uint64
	Time  int64 // Unix nanoseconds
	// Stale is the first offset that was not past the subscription's retention then. What the seek brought back before it is to live.
	Stale engine.Offset
}

// Seek is what a seek to a time comes down to: everything before Before is done, nothing from Open on is, and between the two everything
// stays as it was, because what is done there was not kept. Before is at most Open.
type Seek struct {
	Sought
	Before, Open engine.Offset
}

// AppendSeek appends the note that moves a subscription in its topic.
func AppendSeek(dst []byte, id SubscriptionID, to Seek) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpSeek)), uint64(id))
	dst = to.Sought.append(dst)
	dst = binary.AppendUvarint(dst, uint64(to.Before))
	return binary.AppendUvarint(dst, uint64(to.Open))
}

func (s *Sought) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, s.Epoch)
	dst = binary.AppendUvarint(dst, uint64(s.Time))
	return binary.AppendUvarint(dst, uint64(s.Stale))
}

func (r *reader) sought() Sought {
	return Sought{Epoch: r.number(), Time: int64(r.number()), Stale: engine.Offset(r.number())}
}

func (r *reader) seek() Seek {
	return Seek{Sought: r.sought(), Before: engine.Offset(r.number()), Open: engine.Offset(r.number())}
}

// Seeks is how often the subscription was moved. Safe for concurrent use.
func (s *Subscription) Seeks() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeks
}

// Sought is the subscription's last seek. Safe for concurrent use.
func (s *Subscription) Sought() Sought {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sought
}

func (l *Ledger) seek(n *note) Change {
	s := l.subscriptions[SubscriptionID(n.id)]
	if s == nil || s.Detached {
		return Change{Op: OpSeek}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked.AddRange(s.acked.Floor(), uint64(n.seek.Before))
	s.acked.Cut(uint64(max(n.seek.Before, n.seek.Open)))
	s.moved(n.seek.Sought)
	return Change{Op: OpSeek, Topic: s.Topic, Subscription: s}
}

// moved makes everything that was said before a seek void. The caller holds s.mu.
func (s *Subscription) moved(sought Sought) {
	s.seeks++
	s.failures = nil
	s.sought = sought
}
