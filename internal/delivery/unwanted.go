package delivery

import (
	"context"
	"slices"
	"sync"

	"github.com/posthaste-io/posthaste/internal/ackset"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/reader"
)

// A subscription with a filter passes over the messages that it does not want: they are never admitted to its lease queue, so that they
// cost no delivery, and they are acknowledged in the log, so that their space can be used again.
//
// Those acknowledgements are lazy. They are kept as runs, of which a filter that wants one message in a thousand makes one for each
// message it wants, and the log hears of them when there are many, or from the sweeper, once a second. Nothing is lost when that does not
// happen: a filter never changes, so that whoever meets the messages again passes over them again, after a seek, too.
//
// The cursor of a subscription from which nobody takes stands still. The sweeper therefore moves it, up to the first message that is
// wanted: beyond that no space can become free, as the log gives back what lies before all subscriptions' first open message.

const (
	// unwantedRunsMax is how many runs are kept before the log is told of them.
	unwantedRunsMax = 4096

	// passedMessagesMax and passedBytesMax bound what is passed over under a subscription's lock at a time.
	passedMessagesMax = 10_000
	passedBytesMax    = 8 << 20

	// sweepMessagesMax bounds what a sweep passes over in all subscriptions together: about 100 ms of work.
	sweepMessagesMax = 64 * passedMessagesMax
)

// unwanted is what a subscription passed over and the log has not been told yet. Guarded by the subscription's lock. Nil is that of a
// subscription without a filter, which passes over nothing.
type unwanted struct {
	runs    []ackset.Run
	counted int // passed over at a time: messages, and bytes in the same measure
	wanted  engine.Offset
	known   bool // the message at wanted is wanted
}

// add passes over a message.
func (u *unwanted) add(m *reader.Message) {
	off := uint64(m.Offset)
	u.counted += 1 + len(m.Bytes)/(passedBytesMax/passedMessagesMax)
	if n := len(u.runs); n > 0 && u.runs[n-1].To == off {
		u.runs[n-1].To++
		return
	}
	u.runs = append(u.runs, ackset.Run{From: off, To: off + 1})
}

// enough says that others should have the subscription's lock before more is passed over.
func (u *unwanted) enough() bool { return u != nil && u.counted >= passedMessagesMax }

// begin counts anew.
func (u *unwanted) begin() {
	if u != nil {
		u.counted = 0
	}
}

// unwantedNotes are scratch.
var unwantedNotes = sync.Pool{New: func() any { return new(unwantedNote) }}

type unwantedNote struct {
	runs []ackset.Run
	body []byte
}

// tell acknowledges what was passed over if it has at least so many runs. Nobody may hold s.mu.
func (s *Subscription) tell(runs int) error {
	s.mu.Lock()
	if len(s.unwanted.runs) < runs {
		s.mu.Unlock()
		return nil
	}
	n := unwantedNotes.Get().(*unwantedNote)
	defer unwantedNotes.Put(n)
	n.runs, s.unwanted.runs = s.unwanted.runs, n.runs[:0]
	seeks := s.seeks
	s.mu.Unlock()
	n.body = ledger.AppendAckedRuns(n.body[:0], s.durable.ID, seeks, n.runs)
	one := records.Get().(*[1]engine.Record)
	defer records.Put(one)
	one[0] = engine.Record{Kind: engine.KindNote, Body: n.body}
	return s.office.Shard.Enqueue(one[:])
}

// PassOver moves filtered subscriptions to the next message that each wants, as far as a sweep allows, and tells the log. It changes the
// list.
func (o *Office) PassOver(ctx context.Context, list []*Subscription) {
	r := reader.Reader{Shard: o.Shard}
	defer r.Release()
	for left := sweepMessagesMax; left > 0 && len(list) > 0; {
		list = slices.DeleteFunc(list, func(s *Subscription) bool {
			if left <= 0 {
				return false // another time; the list is in no order, so that nobody is always last
			}
			passed, more, err := s.passOver(ctx, &r)
			left -= passed
			if err == nil {
				err = s.tell(1)
			}
			if err != nil && ctx.Err() == nil {
				o.Logger.Error("filter", "subscription", s.durable.Name, "error", err)
			}
			return err != nil || !more
		})
	}
}

// passOver does so for one subscription, for a while. It returns how much it passed over, as unwanted counts it; more says that it is
// not through.
func (s *Subscription) passOver(ctx context.Context, r *reader.Reader) (passed int, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.unwanted
	if s.ended != nil || u.known && u.wanted == s.cursor && !s.durable.Acked(s.cursor) {
		return 0, false, nil
	}
	r.Release()
	r.Topic = s.durable.Topic.ID
	u.begin()
	_, u.known, err = s.upcoming(ctx, r)
	u.wanted = s.cursor
	return u.counted, err == nil && u.enough(), err
}

// ShutOut acknowledges what the subscription's filter does not want of its whole backlog, durably: another subscription may seek to a
// snapshot of it, and is not to get that either. The caller sees to it that it is not moved meanwhile.
func (s *Subscription) ShutOut(ctx context.Context) error {
	if !s.Filtered() {
		return nil
	}
	s.mu.Lock()
	wanted, seeks := s.terms.filter, s.seeks
	s.mu.Unlock()
	r := reader.Reader{Shard: s.office.Shard, Topic: s.durable.Topic.ID}
	defer r.Release()
	var passed unwanted
	for off, end := s.durable.Floor(), s.durable.Topic.End(); off < end; off = s.durable.NextOpen(off + 1) {
		m, found, err := r.At(ctx, off)
		if err != nil {
			return err
		}
		if !found || m.Offset >= end {
			break
		}
		if off = m.Offset; !wanted.Match(m.Bytes) && !s.durable.Acked(off) {
			passed.add(&m)
		}
		r.Relieve()
	}
	var notes []engine.Record
	for some := range slices.Chunk(passed.runs, unwantedRunsMax) {
		notes = append(notes, engine.Record{Kind: engine.KindNote, Body: ledger.AppendAckedRuns(nil, s.durable.ID, seeks, some)})
	}
	if len(notes) == 0 {
		return nil
	}
	return s.office.Shard.Append(ctx, notes)
}
