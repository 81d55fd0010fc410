package ledger

import (
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// open is which of the first offsets the subscription is not done with.
func open(s *Subscription, end engine.Offset) (offsets []engine.Offset) {
	for off := s.NextOpen(0); off < end; off = s.NextOpen(off + 1) {
		offsets = append(offsets, off)
	}
	return offsets
}

func expectOpen(t *testing.T, what string, s *Subscription, want ...engine.Offset) {
	t.Helper()
	got := open(s, 10)
	if len(got) != len(want) {
		t.Errorf("%s: open are %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: open are %v, want %v", what, got, want)
			return
		}
	}
}

func TestASeekDecidesWhatIsOpen(t *testing.T) {
	for what, c := range map[string]struct {
		seek Seek
		want []engine.Offset
	}{
		"back to what is kept":             {Seek{Before: 3, Open: 3}, []engine.Offset{3, 4, 5, 6, 7, 8, 9}},
		"back before what is kept":         {Seek{Before: 1, Open: 6}, []engine.Offset{2, 4, 6, 7, 8, 9}},
		"back to where nothing is kept":    {Seek{Before: 1, Open: 10}, []engine.Offset{2, 4, 9}},
		"forward":                          {Seek{Before: 4, Open: 10}, []engine.Offset{4, 9}},
		"forward past everything":          {Seek{Before: 10, Open: 10}, nil},
		"forward, though more is kept":     {Seek{Before: 8, Open: 8}, []engine.Offset{8, 9}},
		"back before the subscription was": {Seek{Before: 0, Open: 0}, []engine.Offset{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	} {
		l := New()
		apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
		apply(t, l, block(1, 0, 2))
		s := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
		apply(t, l, block(1, 2, 8))
		apply(t, l, noted(AppendAcked(nil, 2, 0, []uint64{3, 5, 6, 7, 8})))
		expectOpen(t, "before", s, 2, 4, 9)
		apply(t, l, noted(AppendSeek(nil, 2, c.seek)))
		expectOpen(t, what, s, c.want...)
	}
}

func TestAnAcknowledgementFromBeforeASeekHasNoEffectBehindIt(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	s := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
	apply(t, l, block(1, 0, 10))
	early, before := AppendAcked(nil, 2, s.Seeks(), []uint64{9}), AppendAckedBefore(nil, 2, s.Seeks(), 9)
	sought := Sought{Epoch: 7, Time: 8, Stale: 9}
	apply(t, l, noted(AppendSeek(nil, 2, Seek{Sought: sought, Before: 6, Open: 6})))
	for _, note := range [][]byte{early, before} {
		if c := apply(t, l, noted(note)); c.Subscription != nil {
			t.Errorf("%s changed something", Describe(note))
		}
	}
	expectOpen(t, "after acknowledgements from before", s, 6, 7, 8, 9)
	apply(t, l, noted(AppendAcked(nil, 2, s.Seeks(), []uint64{9})))
	expectOpen(t, "after one from now", s, 6, 7, 8)
	if s.Sought() != sought || s.Seeks() != 1 {
		t.Errorf("remembers %+v, %d seeks", s.Sought(), s.Seeks())
	}
}
