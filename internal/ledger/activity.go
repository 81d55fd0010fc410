package ledger

import "encoding/binary"

// AppendActive appends the note that somebody used a subscription, as late as the moment given in Unix seconds. It is kept apart from the
// configuration because it says nothing about how messages are delivered: it must cost little and disturb nobody.
func AppendActive(dst []byte, id SubscriptionID, unixSeconds int64) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpActive)), uint64(id))
	return binary.AppendUvarint(dst, uint64(max(0, unixSeconds)))
}

// Active is when the subscription was last known to be used, in Unix seconds; 0 when nobody said. Safe for concurrent use.
func (s *Subscription) Active() int64 { return s.active.Load() }

func (l *Ledger) noteActive(n *note) Change {
	s := l.subscriptions[SubscriptionID(n.id)]
	if s != nil {
		s.active.Store(max(s.active.Load(), int64(n.topic)))
	}
	return Change{Op: OpActive}
}
