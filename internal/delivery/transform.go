package delivery

import (
	"context"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// rejectedWait is how long a message waits at least before its transforms are tried again: they will most likely fail again, and without a
// retry policy nothing else would keep them from running all the time.
const rejectedWait = time.Second

// transformed applies the subscription's transforms to what was taken: dropped messages are acknowledged, failed ones nacked. What the
// transforms had no time for, or made too large for bytesMax, goes back into the line. They run outside all locks, and each time anew, so
// that what is stored, and what a dead letter topic gets, is what was published.
func (t *Taker) transformed(ctx context.Context, bytesMax int64, err error) ([]Delivery, error) {
	if t.chain == nil || err != nil || len(t.out) == 0 {
		return t.out, err
	}
	s := t.sub
	in := make([]transform.Input, len(t.out))
	for i, d := range t.out {
		in[i] = transform.Input{Message: d.Message, ID: d.ID, Time: d.Time}
	}
	_, ordered := s.Properties()
	out, err := transform.Deliver(ctx, s.office.Transforms, t.chain, in, transform.Delivery{Ordered: ordered, BytesMax: bytesMax, Now: s.office.Clock.Mono})
	s.record(s.giveBack(t.out, out))
	var dropped []wire.AckID
	kept := t.out[:0]
	for i, o := range out {
		d := t.out[i]
		if o.Dropped {
			dropped = append(dropped, wire.AckID{Epoch: s.office.epoch(), Subscription: s.ID(), Offset: uint64(d.Offset), Slot: d.Handle.Slot, Turn: d.Handle.Turn})
		} else if d.Message = o.Message; o.Failure == "" {
			kept = append(kept, d)
		}
	}
	if len(dropped) > 0 {
		_ = s.ackAll(context.WithoutCancel(ctx), dropped, nil, false, true) // a log that fails says so itself
		t.hurried = t.hurried || len(dropped) == len(in)
	}
	if t.out = slices.Delete(t.out, len(kept), len(t.out)); len(kept) > 0 {
		return kept, nil
	}
	return nil, err
}

// giveBack nacks what failed to be transformed, and returns what has no outcome as if it had never been taken. The first failure of an
// ordering key ends the leases of the key's later messages.
func (s *Subscription) giveBack(taken []Delivery, out []transform.Outcome) journal {
	now := s.office.Clock.Mono()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil {
		return journal{}
	}
	for i, d := range taken {
		if i >= len(out) {
			s.queue.Return(now, d.Handle, uint64(d.Offset))
		} else if out[i].Failure != "" {
			s.queue.Reject(now, d.Handle, uint64(d.Offset), int64(rejectedWait))
		}
	}
	failed := s.failed()
	s.arm(now)
	s.bell.Ring(s.queue.Ready())
	s.feedStarved()
	return failed
}
