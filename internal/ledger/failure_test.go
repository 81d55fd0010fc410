package ledger

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// failing is a ledger with one subscription, 2, to a topic of a hundred messages.
func failing(t *testing.T) (*Ledger, *Subscription) {
	t.Helper()
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	s := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
	apply(t, l, block(1, 0, 100))
	return l, s
}

func fail(t *testing.T, l *Ledger, failures ...Failure) {
	t.Helper()
	if c := apply(t, l, noted(AppendFailed(nil, 2, 0, failures))); c.Topic != nil {
		t.Error("a failure says that something may have become free")
	}
}

func TestFailuresAreKnownUntilTheMessageIsDone(t *testing.T) {
	l, s := failing(t)
	first := Failure{Offset: 5, Failures: 1, Reason: 1, AtMillis: 1_700_000_000_000, WaitMillis: 10_000}
	fail(t, l, first, Failure{Offset: 7, Failures: 3, AtMillis: 1_700_000_000_000}, Failure{Offset: 60, Failures: 2})
	if f, failed := s.Failure(5); !failed || f != first {
		t.Errorf("failure %+v, %v; want %+v", f, failed, first)
	}
	second := Failure{Offset: 5, Failures: 2, Reason: 503, AtMillis: 1_700_000_100_000, WaitMillis: 20_000}
	fail(t, l, second)
	fail(t, l, first) // was slower on its way into the log
	if f, _ := s.Failure(5); f != second {
		t.Errorf("failure %+v, want the later %+v", f, second)
	}
	if f, failed := s.Failure(7); !failed || f.AtMillis != 1_700_000_000_000 {
		t.Errorf("failure %+v, %v of one note's second message", f, failed)
	}
	apply(t, l, noted(AppendAcked(nil, 2, 0, []uint64{5})))
	apply(t, l, noted(AppendAckedBefore(nil, 2, 0, 50)))
	for off, want := range map[engine.Offset]bool{5: false, 7: false, 60: true} {
		if _, failed := s.Failure(off); failed != want {
			t.Errorf("offset %d failed: %v, want %v", off, failed, want)
		}
	}
	fail(t, l, second)
	if _, failed := s.Failure(5); failed {
		t.Error("an acknowledged message failed")
	}
	apply(t, l, noted(AppendSeek(nil, 2, Seek{Before: 10, Open: 10})))
	fail(t, l, Failure{Offset: 61, Failures: 1}) // was on its way
	for _, off := range []engine.Offset{60, 61} {
		if _, failed := s.Failure(off); failed {
			t.Errorf("a failure of offset %d outlives a seek", off)
		}
	}
}

// TestOnlyOpenMessagesHaveFailures holds a subscription against a map, over acknowledgements of single messages and of runs longer
// than the number of failures, and over a checkpoint in the middle.
func TestOnlyOpenMessagesHaveFailures(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		l, s := failing(t)
		want, done := map[engine.Offset]uint32{}, map[engine.Offset]bool{}
		for step := range 100 {
			from := rng.Uint64N(100)
			switch rng.IntN(8) {
			case 0:
				var offsets []uint64
				for off := from; off < min(100, from+rng.Uint64N(40)+1); off++ {
					offsets = append(offsets, off)
					done[engine.Offset(off)] = true
				}
				apply(t, l, noted(AppendAcked(nil, 2, 0, offsets)))
			case 1:
				before := rng.Uint64N(uint64(step) + 1)
				for off := range engine.Offset(before) {
					done[off] = true
				}
				apply(t, l, noted(AppendAckedBefore(nil, 2, 0, engine.Offset(before))))
			case 2:
				again := New()
				if err := again.Restore(bytes.NewReader(saved(t, l))); err != nil {
					t.Fatal(err)
				}
				l, s = again, again.Subscription(2)
			default:
				f := Failure{Offset: engine.Offset(from), Failures: 1 + rng.Uint32N(5)}
				fail(t, l, f)
				want[f.Offset] = max(want[f.Offset], f.Failures)
			}
			for off := range engine.Offset(100) {
				f, failed := s.Failure(off)
				if failures := want[off]; failed != (failures > 0 && !done[off]) || failed && f.Failures != failures {
					t.Fatalf("seed %d, step %d: offset %d has %+v, %v; want %d failures, done %v", seed, step, off, f, failed, failures, done[off])
				}
			}
		}
	}
}

func TestMalformedFailuresAreRefused(t *testing.T) {
	whole := AppendFailed(nil, 2, 0, []Failure{{Offset: 500, Failures: 300, Reason: 503, AtMillis: 1_700_000_000_000, WaitMillis: 600_000}})
	head := len(AppendFailed(nil, 2, 0, []Failure{{AtMillis: 1_700_000_000_000}})) - 4
	for cut := 1; cut < len(whole); cut++ {
		if _, err := New().Apply(&engine.Record{Kind: engine.KindNote, Body: whole[:cut]}); err == nil && cut != head {
			t.Errorf("%x was taken", whole[:cut])
		}
	}
	huge := append(AppendFailed(nil, 2, 0, []Failure{{AtMillis: 1}})[:4], 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0)
	if _, err := New().Apply(&engine.Record{Kind: engine.KindNote, Body: huge}); err == nil {
		t.Error("34 thousand million failures were taken")
	}
}

func TestNotesOfFailuresDescribeThemselves(t *testing.T) {
	note := AppendFailed(nil, 2, 0, []Failure{{Offset: 5, Failures: 1}, {Offset: 6, Failures: 4}})
	if got, want := Describe(note), "failed subscription=2 messages=2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Describe(note[:len(note)-1]); got == Describe(note) {
		t.Errorf("a cut note is described as whole: %q", got)
	}
	if Structural(note) {
		t.Error("failures change no resource")
	}
}

func TestAWaitIsOverAfterItsTimeAndNeverLongerThanAtFirst(t *testing.T) {
	f := Failure{AtMillis: 1_700_000_000_000, WaitMillis: 10_000}
	for passed, want := range map[time.Duration]time.Duration{
		0: 10 * time.Second, 3 * time.Second: 7 * time.Second, 10 * time.Second: 0, time.Hour: 0, -time.Hour: 10 * time.Second,
	} {
		if got := f.WaitLeft(f.AtMillis*int64(time.Millisecond) + int64(passed)); got != want {
			t.Errorf("after %v %v are left, want %v", passed, got, want)
		}
	}
}
