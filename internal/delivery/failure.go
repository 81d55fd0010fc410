package delivery

import (
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/reader"
)

// Reason says how a delivery failed.
type Reason = lease.Reason

// failuresNoteMax bounds how many failures stand in one note: millions of leases may end at one moment.
const failuresNoteMax = 10_000

// journal is what failed at a subscription and is to outlive the process.
type journal struct {
	failures []ledger.Failure
	seeks    uint64
}

// failed is what failed in the queue since the last call. The caller holds s.mu, and hands it to record after it has let go of it.
func (s *Subscription) failed() journal {
	if s.queue == nil || !s.terms.rules.Journal {
		return journal{}
	}
	q := s.queue
	q.failures = q.Failures(q.failures[:0])
	if len(q.failures) == 0 {
		return journal{}
	}
	at := s.office.Clock.Wall() / int64(time.Millisecond)
	list := make([]ledger.Failure, len(q.failures))
	for i, f := range q.failures {
		list[i] = ledger.Failure{Offset: engine.Offset(f.Offset), Failures: f.Failures, Reason: uint16(f.Reason),
			AtMillis: at, WaitMillis: uint32(f.Wait.Milliseconds())}
	}
	if cap(q.failures) > failuresNoteMax {
		q.failures = nil
	}
	return journal{list, s.seeks}
}

// record gives failures to the log. Nobody waits for it: a crash in the next milliseconds forgets a failure or two. A log that takes
// nothing any more says so by Failed.
func (s *Subscription) record(j journal) {
	for some := range slices.Chunk(j.failures, failuresNoteMax) {
		note := ledger.AppendFailed(nil, s.durable.ID, j.seeks, some)
		_ = s.office.Shard.Enqueue([]engine.Record{{Kind: engine.KindNote, Body: note}})
	}
}

// admitAgain admits a message that failed before a restart: it goes on where it was, in its backoff too. False when it did not fail.
// The caller holds s.mu.
func (s *Subscription) admitAgain(q *queue, m *reader.Message, key []byte) bool {
	f, failed := s.durable.Failure(m.Offset)
	if !failed {
		return false
	}
	now := s.office.Clock.Mono()
	past := lease.Past{Failures: f.Failures, Reason: Reason(f.Reason), NotBefore: now + int64(f.WaitLeft(s.office.Clock.Wall()))}
	q.AdmitAt(now, uint64(m.Offset), uint32(len(m.Bytes)), key, past)
	s.arm(now)
	s.bury()
	return true
}
