package ledger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/ackset"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// Failure is how often a message failed at a subscription, and how it failed last. It is kept until the message is acknowledged.
type Failure struct {
	Offset     engine.Offset
	Failures   uint32 // by now
	Reason     uint16 // of the last one, a lease.Reason
	AtMillis   int64  // when the last one was, Unix milliseconds
	WaitMillis uint32 // the backoff that began with it
}

// WaitLeft is what is left of the backoff at a time, Unix nanoseconds. That clock may have been set meanwhile: no wait is longer than it
// was to begin with.
func (f *Failure) WaitLeft(at int64) time.Duration {
	wait := time.Duration(f.WaitMillis) * time.Millisecond
	passed := time.Duration(at - f.AtMillis*int64(time.Millisecond))
	return min(max(0, wait-passed), wait)
}

// AppendFailed appends the note that messages failed at a subscription. They failed at the same time, that of the first; of a message
// that is in the ledger already, the higher number of failures counts. Once the subscription has had more seeks, the note has no effect.
func AppendFailed(dst []byte, id SubscriptionID, seeks uint64, failures []Failure) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpFailed)), uint64(id))
	dst = binary.AppendUvarint(dst, seeks)
	if len(failures) == 0 {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(max(0, failures[0].AtMillis)))
	for i := range failures {
		dst = failures[i].append(dst)
	}
	return dst
}

// append writes all but the time.
func (f *Failure) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(f.Offset))
	dst = binary.AppendUvarint(dst, uint64(f.Failures))
	dst = binary.AppendUvarint(dst, uint64(f.Reason))
	return binary.AppendUvarint(dst, uint64(f.WaitMillis))
}

// makeFailure puts a failure together from numbers that were read; false when one is out of bounds.
func makeFailure(atMillis, offset, failures, reason, waitMillis uint64) (Failure, bool) {
	ok := atMillis <= math.MaxInt64 && failures <= math.MaxUint32 && reason <= math.MaxUint16 && waitMillis <= math.MaxUint32
	return Failure{Offset: engine.Offset(offset), Failures: uint32(failures), Reason: uint16(reason),
		AtMillis: int64(atMillis), WaitMillis: uint32(waitMillis)}, ok
}

// failures appends the failures of an OpFailed to dst.
func (n *note) failures(dst []Failure) ([]Failure, error) {
	r := reader{rest: n.config}
	for len(r.rest) > 0 {
		f, ok := makeFailure(n.topic, r.number(), r.number(), r.number(), r.number())
		if r.bad || !ok {
			return dst, fmt.Errorf("%w: %v", errNote, n.op)
		}
		dst = append(dst, f)
	}
	return dst, nil
}

func (n *note) describeFailed() string {
	failures, err := n.failures(nil)
	if err != nil {
		return fmt.Sprintf("failed subscription=%d: %v", n.id, err)
	}
	return fmt.Sprintf("failed subscription=%d messages=%d", n.id, len(failures))
}

func (l *Ledger) failed(n *note) (Change, error) {
	failures, err := n.failures(nil)
	s := l.subscriptions[SubscriptionID(n.id)]
	if err != nil || s == nil { // malformed, or the subscription was deleted meanwhile
		return Change{Op: OpFailed}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.seeks != s.seeks {
		return Change{Op: OpFailed}, nil // before a seek, which made each message new
	}
	for _, f := range failures {
		if s.acked.Contains(uint64(f.Offset)) || s.failures[f.Offset].Failures > f.Failures {
			continue // the note of what came later was faster
		}
		if s.failures == nil {
			s.failures = map[engine.Offset]Failure{}
		}
		s.failures[f.Offset] = f
	}
	return Change{Op: OpFailed}, nil
}

// Failure is what is known of a message's failures; false when it has none. Safe for concurrent use.
func (s *Subscription) Failure(off engine.Offset) (Failure, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, failed := s.failures[off]
	return f, failed
}

// forgetFailures drops the failures of messages that are done with. The caller holds s.mu.
func (s *Subscription) forgetFailures(done ackset.Run) {
	if len(s.failures) == 0 {
		return
	}
	if done.To-done.From <= uint64(len(s.failures)) {
		for off := done.From; off < done.To; off++ {
			delete(s.failures, engine.Offset(off))
		}
	} else {
		maps.DeleteFunc(s.failures, func(off engine.Offset, _ Failure) bool { return uint64(off) >= done.From && uint64(off) < done.To })
	}
	if len(s.failures) == 0 {
		s.failures = nil // a map keeps the memory of its largest size
	}
}

// appendFailures writes the failures for a checkpoint, in the order of their offsets. The caller holds s.mu.
func (s *Subscription) appendFailures(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.failures)))
	for _, off := range slices.Sorted(maps.Keys(s.failures)) {
		f := s.failures[off]
		b = f.append(binary.AppendUvarint(b, uint64(f.AtMillis)))
	}
	return b
}

// restoreFailures reads what appendFailures wrote.
func (s *Subscription) restoreFailures(r *source) error {
	for range r.number() {
		f, ok := makeFailure(r.number(), r.number(), r.number(), r.number(), r.number())
		if r.err != nil {
			return r.err
		}
		if !ok {
			return fmt.Errorf("%w: subscription %d: a failure out of bounds", errCheckpoint, s.ID)
		}
		if s.failures == nil {
			s.failures = map[engine.Offset]Failure{}
		}
		s.failures[f.Offset] = f
	}
	return r.err
}
