package delivery

import (
	"context"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/reader"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// The cursor is where new messages are read from the log. Before it, everything is in the lease queue, or done with.

// Rewind makes the subscription go on from where a seek has put it in the ledger: nothing is out, nothing waits, and no message has failed
// yet.
func (s *Subscription) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeks = s.durable.Seeks()
	s.cursor, s.recovered = s.durable.Floor(), s.durable.Topic.End()
	if u := s.unwanted; u != nil {
		u.known, u.runs = false, u.runs[:0]
	}
	if s.queue != nil {
		s.queue.Reset()
	}
	s.turns.Void()
	s.feedStarved() // takers have their whole credit again
	s.wakeAll()
}

// valid says whether a handle was given out since the last seek. The caller holds s.mu.
func (s *Subscription) valid(h lease.Handle) bool {
	if s.queue != nil {
		return s.queue.Turns().Has(h)
	}
	return s.turns.Has(h)
}

// Seeks is how many seeks the subscription has followed.
func (s *Subscription) Seeks() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeks
}

// SkipTo forgets everything before the offset, what is out too, unless the subscription has followed another number of seeks meanwhile.
func (s *Subscription) SkipTo(off engine.Offset, seeks uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seeks != seeks {
		return
	}
	s.cursor = max(s.cursor, off)
	if s.queue != nil {
		s.queue.DropBefore(uint64(off))
		s.feedStarved()
	}
}

// dropped says whether a message that is offered again has been dropped meanwhile.
func (s *Subscription) dropped(l *lease.Lease) bool {
	return l.Attempt > 1 && s.durable.Acked(engine.Offset(l.Offset))
}

// aheadMessagesMax bounds how many messages may have been read from the log and wait for their turn behind their ordering key.
const aheadMessagesMax = 100_000

// admit reads the next message of the log into the line of those ready to be taken; false when there is none, or enough wait
// already. The caller holds s.mu.
func (s *Subscription) admit(ctx context.Context, q *queue, r *reader.Reader) (bool, error) {
	if ahead, _ := q.Ahead(); ahead >= aheadMessagesMax || !s.terms.rules.Ordered && q.Ready() > 0 {
		return false, nil
	}
	m, found, err := s.upcoming(ctx, r)
	if err != nil || !found {
		return false, err
	}
	var key []byte
	if s.terms.rules.Ordered {
		key = wire.OrderingKey(m.Bytes)
	}
	if m.Offset >= s.recovered || !s.admitAgain(q, &m, key) {
		q.Admit(uint64(m.Offset), uint32(len(m.Bytes)), key)
	}
	s.cursor = m.Offset + 1
	return true, nil
}

// upcoming finds the next message to be admitted and moves the cursor to it; false when there is none, or when more than enough were
// passed over on the way. The caller holds s.mu.
func (s *Subscription) upcoming(ctx context.Context, r *reader.Reader) (reader.Message, bool, error) {
	for end := s.durable.Topic.End(); ; {
		if s.cursor < s.recovered {
			s.cursor = s.durable.NextOpen(s.cursor)
		}
		if s.cursor >= end {
			return reader.Message{}, false, nil
		}
		m, found, err := r.At(ctx, s.cursor)
		if err != nil || !found || m.Offset >= end {
			return reader.Message{}, false, err
		}
		if m.Offset > s.cursor && m.Offset < s.recovered && s.durable.Acked(m.Offset) {
			s.cursor = m.Offset // behind a hole in the log; look again
			continue
		}
		s.cursor = m.Offset
		if s.terms.filter == nil || s.terms.filter.Match(m.Bytes) {
			return m, true, nil
		}
		s.unwanted.add(&m)
		s.cursor = m.Offset + 1
		if s.unwanted.enough() {
			return reader.Message{}, false, nil
		}
	}
}
