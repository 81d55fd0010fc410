package ledger

import (
	"encoding/binary"
	"math"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// AppendDetached appends the note that takes a subscription off its topic for ever: its backlog is dropped, nothing more comes in, and the
// topic may be forgotten before the subscription is.
func AppendDetached(dst []byte, id SubscriptionID) []byte {
	return binary.AppendUvarint(append(dst, byte(OpDetached)), uint64(id))
}

// detachedFloor is done with everything that a topic will ever have.
const detachedFloor = math.MaxInt64

func (l *Ledger) detach(id SubscriptionID) Change {
	s := l.subscriptions[id]
	if s == nil || s.Detached {
		return Change{Op: OpDetached}
	}
	s.Detached = true
	s.mu.Lock()
	s.acked.Reset(detachedFloor)
	s.failures = nil
	s.mu.Unlock()
	s.Topic.subscriptions--
	return Change{Op: OpDetached, Topic: s.Topic, Subscription: s, Forgotten: l.forget(s.Topic)}
}

// attach finds the topic of a subscription that is being restored. That of a detached one may be forgotten: something must stand for it.
func (l *Ledger) attach(s *Subscription, id engine.TopicID) bool {
	s.Topic = l.topics[id]
	if s.Detached {
		if s.Topic == nil {
			s.Topic = &Topic{ID: id, Deleted: true}
		}
		return true
	}
	if s.Topic != nil {
		s.Topic.subscriptions++
	}
	return s.Topic != nil
}
