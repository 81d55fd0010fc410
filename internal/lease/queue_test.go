package lease

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/posthaste-io/posthaste/internal/wheel"
)

const (
	second    = int64(time.Second)
	unlimited = math.MaxInt64
)

// admit takes in messages 0, 1, … with the given keys, of 100 bytes each.
func admit(q *Queue, keys ...string) {
	for i, key := range keys {
		q.Admit(uint64(i), 100, []byte(key))
	}
}

// takeAll takes what there is for a holder, each until now + 10 s.
func takeAll(q *Queue, now int64, h Holder) (leases []Lease) {
	for {
		l, ok := q.Take(now, h, unlimited, now+10*second)
		if !ok {
			return leases
		}
		leases = append(leases, l)
	}
}

func offsets(leases []Lease) (found []uint64) {
	for _, l := range leases {
		found = append(found, l.Offset)
	}
	return found
}

func wantOffsets(t *testing.T, leases []Lease, want ...uint64) {
	t.Helper()
	if got := offsets(leases); !slices.Equal(got, want) {
		t.Fatalf("took %v, want %v", got, want)
	}
}

func wantVerdict(t *testing.T, got, want Verdict) {
	t.Helper()
	if got != want {
		t.Fatalf("verdict %v, want %v", got, want)
	}
}

func TestNewMessagesComeInOrder(t *testing.T) {
	q := New(Rules{}, 1)
	admit(q, "", "", "", "")
	wantOffsets(t, takeAll(q, 0, 0), 0, 1, 2, 3)
}

func TestUnackedMessageComesBackAtItsDeadlineAndNotBefore(t *testing.T) {
	q := New(Rules{}, 1)
	admit(q, "")
	takeAll(q, 0, 0)
	for now := int64(0); now < 10*second; now += wheel.Tick / 3 {
		if n := q.Expire(now, math.MaxInt); n != 0 || q.Has(0) {
			t.Fatalf("back at %v", time.Duration(now))
		}
	}
	if n := q.Expire(10*second+100e6, math.MaxInt); n != 1 {
		t.Fatalf("not back 100 ms after its deadline")
	}
	again := takeAll(q, 11*second, 0)
	if wantOffsets(t, again, 0); again[0].Attempt != 2 {
		t.Fatalf("attempt %d", again[0].Attempt)
	}
}

func TestRedeliveriesComeFirst(t *testing.T) {
	q := New(Rules{}, 1)
	admit(q, "", "", "", "")
	l, _ := q.Take(0, 0, unlimited, second)
	wantVerdict(t, q.Nack(0, l.Handle, 0), Done)
	wantOffsets(t, takeAll(q, 0, 0), 0, 1, 2, 3)
}

// TestPoisonDoesNotShutOutOthers: messages that are nacked at once, for ever, by a holder that takes one at a time.
func TestPoisonDoesNotShutOutOthers(t *testing.T) {
	q := New(Rules{}, 1)
	const poison, healthy = 5, 20
	admit(q, make([]string, poison+healthy)...)
	done, takes := 0, 0
	for ; done < healthy; takes++ {
		if takes > (againMax+1)*(healthy+poison) {
			t.Fatalf("%d of %d healthy messages after %d hand-outs", done, healthy, takes)
		}
		l, _ := q.Take(0, 0, unlimited, second)
		if l.Offset < poison {
			wantVerdict(t, q.Nack(0, l.Handle, l.Offset), Done)
			continue
		}
		wantVerdict(t, q.Ack(0, l.Handle, l.Offset), Done)
		done++
	}
}

func TestLeavingHolderGivesBackInOrderWithoutFailure(t *testing.T) {
	q := New(Rules{}, 1)
	admit(q, "", "", "", "", "")
	gone, stays := q.Join(), q.Join()
	leases := takeAll(q, 0, gone)
	for _, i := range []int{3, 1} { // they come back last and first, and are taken so
		wantVerdict(t, q.Nack(0, leases[i].Handle, leases[i].Offset), Done)
	}
	takeAll(q, 0, gone)
	if n := q.Leave(0, gone); n != 5 {
		t.Fatalf("%d came back", n)
	}
	back := takeAll(q, 0, stays)
	wantOffsets(t, back, 0, 1, 2, 3, 4)
	for i, want := range []uint32{1, 2, 1, 2, 1} {
		if back[i].Attempt != want {
			t.Fatalf("message %d: attempt %d, want %d", i, back[i].Attempt, want)
		}
	}
}

func TestCredit(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes  []uint32
		credit int64
		want   []uint64
	}{
		"fits":                               {[]uint32{10, 10, 10}, 30, []uint64{0, 1, 2}},
		"stops below the limit":              {[]uint32{10, 10, 11}, 30, []uint64{0, 1}},
		"the first may be too big":           {[]uint32{31, 1}, 30, []uint64{0}},
		"does not pass over one too big":     {[]uint32{10, 31, 10}, 30, []uint64{0}},
		"nothing is given when all is spent": {[]uint32{30, 1}, 30, []uint64{0}},
	} {
		t.Run(name, func(t *testing.T) {
			q := New(Rules{}, 1)
			h := q.Join()
			for i, n := range tc.bytes {
				q.Admit(uint64(i), n, nil)
			}
			var got []Lease
			for {
				_, held := q.Held(h)
				l, ok := q.Take(0, h, tc.credit-held, second)
				if !ok {
					break
				}
				got = append(got, l)
			}
			wantOffsets(t, got, tc.want...)
		})
	}
}

func TestKeyStaysWithOneHolder(t *testing.T) {
	q := New(Rules{Ordered: true}, 1)
	a, b := q.Join(), q.Join()
	admit(q, "k", "k", "other", "k", "")
	first, _ := q.Take(0, a, unlimited, second)
	wantOffsets(t, takeAll(q, 0, b), 2, 4)
	second, _ := q.Take(0, a, unlimited, 10*second)
	wantOffsets(t, []Lease{first, second}, 0, 1)
	wantVerdict(t, q.Ack(0, first.Handle, 0), Done)
	if q.Has(b) {
		t.Fatal("a message of the key for another while one is out")
	}
	wantVerdict(t, q.Ack(0, second.Handle, 1), Done)
	wantOffsets(t, takeAll(q, 0, b), 3)
}

func TestHolderZeroHasOneMessageOfAKey(t *testing.T) {
	q := New(Rules{Ordered: true}, 1)
	admit(q, "k", "k", "l")
	leases := takeAll(q, 0, 0)
	wantOffsets(t, leases, 0, 2)
	q.Ack(0, leases[0].Handle, 0)
	wantOffsets(t, takeAll(q, 0, 0), 1)
}

func TestRetiredHolderKeepsItsKeyUntilSettled(t *testing.T) {
	q := New(Rules{Ordered: true}, 1)
	admit(q, "k", "k")
	h := q.Join()
	leases := takeAll(q, 0, h)
	wantOffsets(t, leases, 0, 1)
	q.Retire(h)
	q.Admit(2, 100, []byte("k"))
	if q.Has(0) {
		t.Fatal("the key goes on while something of it is out")
	}
	for _, l := range leases {
		wantVerdict(t, q.Ack(0, l.Handle, l.Offset), Done)
	}
	wantOffsets(t, takeAll(q, 0, 0), 2)
	if next := q.Join(); next != h {
		t.Fatalf("holder %d is still there: %d", h, next)
	}
}

// TestNackBringsBackWhatFollows: with several messages of a key out, a failure voids the later leases and no others.
func TestNackBringsBackWhatFollows(t *testing.T) {
	for _, exactly := range []bool{false, true} {
		t.Run(fmt.Sprintf("exactly-once=%v", exactly), func(t *testing.T) {
			q := New(Rules{Ordered: true, ExactlyOnce: exactly}, 1)
			admit(q, "k", "k", "x", "k", "k")
			h := q.Join()
			leases := takeAll(q, 0, h) // 0 1 2 3 4
			wantVerdict(t, q.Nack(0, leases[1].Handle, 1), Done)
			if n, _ := q.Held(h); n != 2 {
				t.Fatalf("%d messages are held", n)
			}
			want := []uint64{1, 3, 4}
			if exactly {
				wantVerdict(t, q.Ack(0, leases[3].Handle, 3), Expired)
			} else {
				wantVerdict(t, q.Ack(0, leases[3].Handle, 3), Done)
				want = []uint64{1, 4}
			}
			wantVerdict(t, q.Extend(0, leases[4].Handle, 4, second), Expired)
			back := takeAll(q, 0, h)
			wantOffsets(t, back, want...)
			for _, l := range back {
				if failed := l.Offset == 1; (l.Attempt == 2) != failed {
					t.Fatalf("message %d: attempt %d", l.Offset, l.Attempt)
				}
			}
			wantVerdict(t, q.Ack(0, leases[0].Handle, 0), Done)
		})
	}
}

func TestBackoffHoldsBackTheKeyAndNoOther(t *testing.T) {
	q := New(Rules{Ordered: true, BackoffMin: 20 * time.Second, BackoffMax: time.Minute}, 1)
	admit(q, "k", "k", "other")
	h := q.Join()
	l, _ := q.Take(0, h, unlimited, second)
	wantVerdict(t, q.Nack(0, l.Handle, 0), Done)
	wantOffsets(t, takeAll(q, 0, h), 2)
	if q.Outstanding() != 1 || q.Waiting() != 1 {
		t.Fatalf("%d out, %d waiting", q.Outstanding(), q.Waiting())
	}
	q.Expire(19*second, math.MaxInt)
	if q.Has(h) {
		wantOffsets(t, takeAll(q, 19*second, h), 2) // its lease ran out; the key waits
	}
	q.Expire(23*second, math.MaxInt)
	wantOffsets(t, takeAll(q, 23*second, h), 0, 1)
}

func TestBackoffDoublesUpToItsMaximum(t *testing.T) {
	q := New(Rules{BackoffMin: 10 * time.Second, BackoffMax: 100 * time.Second}, 1)
	admit(q, "")
	now := int64(0)
	for n, want := range []int64{10, 20, 40, 80, 100, 100, 100} {
		l, ok := q.Take(now, 0, unlimited, now+second)
		if !ok {
			t.Fatalf("failure %d: not back", n)
		}
		q.Nack(now, l.Handle, 0)
		at, _ := q.wheel.At(l.Slot)
		if wait := at - now; wait < want*second || wait > min(want*second*11/10, 100*second) {
			t.Fatalf("failure %d: waits %v, want %d s", n+1, time.Duration(wait), want)
		}
		now = at + wheel.Tick
		q.Expire(now, math.MaxInt)
	}
}

func TestDelayedMessageWaits(t *testing.T) {
	q := New(Rules{Ordered: true}, 1)
	h := q.Join()
	q.AdmitAt(0, 0, 1, []byte("k"), Past{NotBefore: 5 * second})
	q.Admit(1, 1, []byte("k"))
	q.AdmitAt(0, 2, 1, nil, Past{Failures: 3})
	if leases := takeAll(q, 0, h); leases[0].Attempt != 4 || len(leases) != 1 || leases[0].Offset != 2 {
		t.Fatalf("took %+v", leases)
	}
	q.Expire(4*second, math.MaxInt)
	if q.Has(h) {
		t.Fatal("not waiting")
	}
	q.Expire(5*second+wheel.Tick, math.MaxInt)
	wantOffsets(t, takeAll(q, 6*second, h), 0, 1)
}

func TestExactlyOnceTakesTheNewestUnexpiredHandleOnly(t *testing.T) {
	q := New(Rules{ExactlyOnce: true}, 1)
	admit(q, "")
	old, _ := q.Take(0, 0, unlimited, 10*second)
	wantVerdict(t, q.Extend(10*second-1, old.Handle, 0, 20*second), Done)
	for _, verb := range []func(int64, Handle, uint64) Verdict{q.Ack, q.Nack} {
		wantVerdict(t, verb(20*second, old.Handle, 0), Expired) // at the deadline, noticed by nobody yet
	}
	wantVerdict(t, q.Extend(20*second, old.Handle, 0, 30*second), Expired)
	q.Expire(21*second, math.MaxInt)
	wantVerdict(t, q.Ack(21*second, old.Handle, 0), Expired)
	l, _ := q.Take(21*second, 0, unlimited, 30*second)
	for _, verb := range []func(int64, Handle, uint64) Verdict{q.Ack, q.Nack} {
		wantVerdict(t, verb(22*second, old.Handle, 0), Stale)
	}
	wantVerdict(t, q.Ack(30*second-1, l.Handle, 0), Done)
	wantVerdict(t, q.Ack(30*second-1, l.Handle, 0), Unknown)
}

func TestWithoutExactlyOnceALateAckCounts(t *testing.T) {
	for name, late := range map[string]func(*Queue, Lease) int64{
		"past the deadline": func(q *Queue, l Lease) int64 { return 11 * second },
		"back in line":      func(q *Queue, l Lease) int64 { q.Expire(11*second, math.MaxInt); return 11 * second },
		"given to another": func(q *Queue, l Lease) int64 {
			q.Expire(11*second, math.MaxInt)
			takeAll(q, 11*second, 0)
			return 12 * second
		},
		"nacked and then thought": func(q *Queue, l Lease) int64 { q.Nack(0, l.Handle, l.Offset); return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			q := New(Rules{}, 1)
			admit(q, "")
			l, _ := q.Take(0, 0, unlimited, 10*second)
			now := late(q, l)
			wantVerdict(t, q.Ack(now, l.Handle, 0), Done)
			if q.Len() != 0 || q.Has(0) {
				t.Fatalf("%d messages", q.Len())
			}
			if _, ok := q.Next(); ok {
				t.Fatal("a timer is left")
			}
		})
	}
}

func TestOrderedExactlyOnceAckMustBeInOrder(t *testing.T) {
	q := New(Rules{Ordered: true, ExactlyOnce: true}, 1)
	admit(q, "k", "k")
	h := q.Join()
	leases := takeAll(q, 0, h)
	wantVerdict(t, q.Ack(0, leases[1].Handle, 1), Unordered)
	wantVerdict(t, q.Ack(0, leases[0].Handle, 0), Done)
	wantVerdict(t, q.Ack(0, leases[1].Handle, 1), Done)
}

// TestDeadLettersOfAKeyComeInOrder, and the key goes on when they are forwarded.
func TestDeadLettersOfAKeyComeInOrder(t *testing.T) {
	q := New(Rules{Ordered: true, AttemptsMax: 1}, 1)
	admit(q, "k", "k", "k", "other")
	h := q.Join()
	leases := takeAll(q, 0, h)
	q.Nack(0, leases[1].Handle, 1) // dead, but 0 is still out
	if _, _, ok := q.Dead(); ok {
		t.Fatal("a dead message before its predecessor is settled")
	}
	q.Expire(11*second, math.MaxInt)
	for _, want := range []uint64{0, 3} { // 0 and 3 expired
		l, why, ok := q.Dead()
		if !ok || l.Offset != want || why != DeadlineExpired || l.Attempt != 1 {
			t.Fatalf("dead: %+v %v %v, want %d", l, why, ok, want)
		}
		if want == 0 {
			wantVerdict(t, q.Ack(12*second, leases[0].Handle, 0), Stale)
		}
		if !q.Forwarded(l.Handle, l.Offset) || q.Forwarded(l.Handle, l.Offset) {
			t.Fatal("not forwarded exactly once")
		}
	}
	l, why, ok := q.Dead()
	if !ok || l.Offset != 1 || why != Nacked {
		t.Fatalf("dead: %+v %v %v, want 1", l, why, ok)
	}
	if q.Has(h) {
		t.Fatal("the key does not wait for its dead message")
	}
	q.Forwarded(l.Handle, 1)
	wantOffsets(t, takeAll(q, 12*second, h), 2)
}

func TestFailedForwardIsDeliveredAgain(t *testing.T) {
	q := New(Rules{AttemptsMax: 2, BackoffMin: time.Second, BackoffMax: time.Second}, 1)
	q.AdmitAt(0, 7, 1, nil, Past{Failures: 1})
	l, _ := q.Take(0, 0, unlimited, second)
	q.Nack(0, l.Handle, 7)
	d, _, _ := q.Dead()
	if !q.ForwardFailed(0, d.Handle, 7, 0) || q.Has(0) {
		t.Fatal("back at once")
	}
	q.Expire(2*second, math.MaxInt)
	if l, ok := q.Take(2*second, 0, unlimited, 3*second); !ok || l.Attempt != 3 {
		t.Fatalf("took %+v, %v", l, ok)
	}
}

func TestFailuresAreKeptForTheLog(t *testing.T) {
	q := New(Rules{Journal: true}, 1)
	admit(q, "", "")
	leases := takeAll(q, 0, 0)
	q.Nack(0, leases[0].Handle, 0)
	q.Expire(11*second, math.MaxInt)
	if got, want := q.Failures(nil), []Failure{{Offset: 0, Failures: 1}, {Offset: 1, Failures: 1, Reason: DeadlineExpired}}; !slices.Equal(got, want) {
		t.Fatalf("failures %v, want %v", got, want)
	}
	if got := q.Failures(nil); len(got) != 0 {
		t.Fatalf("again %v", got)
	}
}

func TestDropAsksNothingButTheMessage(t *testing.T) {
	q := New(Rules{Ordered: true, ExactlyOnce: true}, 1)
	admit(q, "k", "k", "k")
	h := q.Join()
	leases := takeAll(q, 0, h)
	wantVerdict(t, q.Drop(leases[1].Handle, 1), Done)
	wantVerdict(t, q.Drop(leases[1].Handle, 1), Unknown)
	q.Nack(0, leases[0].Handle, 0)
	wantOffsets(t, takeAll(q, 0, h), 0, 2)
}

func TestResetVoidsAllHandlesAndKeepsHolders(t *testing.T) {
	for _, rules := range []Rules{{}, {Ordered: true}, {ExactlyOnce: true}, {Ordered: true, ExactlyOnce: true}} {
		q := New(rules, 1)
		h := q.Join()
		admit(q, "k", "k", "")
		old := takeAll(q, 0, h)
		q.Reset()
		if messages, bytes := q.Held(h); q.Len() != 0 || messages != 0 || bytes != 0 {
			t.Fatalf("%+v: %d messages, %d held of %d bytes", rules, q.Len(), messages, bytes)
		}
		admit(q, "k", "k", "")
		again := takeAll(q, 0, h)
		wantOffsets(t, again, 0, 1, 2)
		for i := range old { // the same messages, in the same slots
			wantVerdict(t, q.Ack(0, old[i].Handle, old[i].Offset), Unknown)
			wantVerdict(t, q.Nack(0, old[i].Handle, old[i].Offset), Unknown)
			wantVerdict(t, q.Extend(0, old[i].Handle, old[i].Offset, second), Unknown)
			wantVerdict(t, q.Ack(0, again[i].Handle, again[i].Offset), Done)
		}
	}
}

func TestAQueueThatGoesOnKnowsWhichHandlesOfTheOneBeforeAreVoid(t *testing.T) {
	q := New(Rules{}, 1)
	admit(q, "")
	old := takeAll(q, 0, 0)[0]
	turns := q.Turns()
	turns.Void()
	next := New(Rules{}, 2)
	next.GoOn(turns)
	admit(next, "")
	l := takeAll(next, 0, 0)[0]
	if old.Slot != l.Slot || old.Offset != l.Offset {
		t.Fatalf("%+v and %+v could not be mixed up", old, l)
	}
	wantVerdict(t, next.Ack(0, old.Handle, 0), Unknown)
	wantVerdict(t, next.Ack(0, l.Handle, 0), Done)
}

func TestTurnsGiveUpTheOldestHandlesWhenTheyHaveGoneRound(t *testing.T) {
	turns := Turns{void: 5, last: 4}
	if turns.Has(Handle{Turn: 5}) || !turns.Has(Handle{Turn: 6}) || !turns.Has(Handle{Turn: 4}) {
		t.Fatal("not all but one are given out")
	}
	if turns.next(); turns.last != 5 || !turns.Has(Handle{Turn: 5}) {
		t.Fatal("the newest is void")
	}
	if turns.Has(Handle{Turn: 6}) || turns.Has(Handle{Turn: 5 + voidStep}) || !turns.Has(Handle{Turn: 6 + voidStep}) {
		t.Error("not the oldest quarter is void")
	}
	if last := (Turns{last: math.MaxUint32}); last.next() != 1 {
		t.Error("a turn of 0")
	}
}

// TestTurnsGoRound: after four billion hand-outs, no handle looks like that of a message never given out.
func TestTurnsGoRound(t *testing.T) {
	q := New(Rules{}, 1)
	q.GoOn(Turns{last: math.MaxUint32})
	admit(q, "")
	l, _ := q.Take(0, 0, unlimited, second)
	if l.Turn == 0 {
		t.Fatal("turn 0")
	}
	wantVerdict(t, q.Nack(0, l.Handle, 0), Done)
	wantOffsets(t, takeAll(q, 0, 0), 0)
}

func TestAttemptStaysAtItsEnd(t *testing.T) {
	q := New(Rules{}, 1)
	q.AdmitAt(0, 0, 1, nil, Past{Failures: 1 << 30})
	for range 3 {
		l, ok := q.Take(0, 0, unlimited, second)
		if !ok || l.Attempt != 1<<16 {
			t.Fatalf("took %+v, %v", l, ok)
		}
		q.Nack(0, l.Handle, 0)
	}
}

func TestOurOwnMistakesPanic(t *testing.T) {
	for name, mistake := range map[string]func(q *Queue){
		"offset twice":         func(q *Queue) { q.Admit(5, 1, nil); q.Admit(5, 1, nil) },
		"nobody takes":         func(q *Queue) { q.Take(0, 9, 1, 1) },
		"who left takes":       func(q *Queue) { h := q.Join(); q.Leave(0, h); q.Take(0, h, 1, 1) },
		"who retired takes":    func(q *Queue) { h := q.Join(); q.Admit(0, 1, nil); takeAll(q, 0, h); q.Retire(h); q.Take(0, h, 1, 1) },
		"holder 0 leaves":      func(q *Queue) { q.Leave(0, 0) },
		"holder 0 retires":     func(q *Queue) { q.Retire(0) },
		"whoever left, leaves": func(q *Queue) { h := q.Join(); q.Leave(0, h); q.Leave(0, h) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			mistake(New(Rules{}, 1))
		})
	}
}

func TestMessageTakes64Bytes(t *testing.T) {
	const node = 16 // stated and tested in package wheel
	if n := unsafe.Sizeof(entry{}) + node; n > 64 {
		t.Fatalf("%d bytes", n)
	}
}

// TestEmptyQueueGivesMemoryBack, with holders whose anchors lie among and behind the messages.
func TestEmptyQueueGivesMemoryBack(t *testing.T) {
	q := New(Rules{Ordered: true}, 1)
	const messages = 100 * slabPage
	var last Holder
	for i := range uint64(messages) {
		if i == messages/2 || i == messages-1 {
			last = q.Join()
		}
		q.Admit(i, 1, fmt.Append(nil, i%5000))
	}
	for round := range 2 {
		for _, l := range takeAll(q, 0, last) {
			wantVerdict(t, q.Ack(0, l.Handle, l.Offset), Done)
		}
		if trouble := structure(q); trouble != "" || q.Len() != 0 {
			t.Fatalf("%d messages, %s", q.Len(), trouble)
		}
		if round == 0 {
			q.Leave(0, last)
			last = q.Join()
		}
		for i := range uint64(messages) {
			q.Admit(messages*uint64(round+1)+i, 1, fmt.Append(nil, i%7000))
		}
		if round == 1 {
			q.Reset()
		}
	}
	if pages := len(q.entries.pages); pages > 60 {
		t.Fatalf("%d pages of an empty queue", pages)
	}
}

func TestKeysAreFoundUntilDropped(t *testing.T) {
	var k keys
	numbers := map[string]uint32{}
	for round := range 40_000 {
		key := fmt.Sprint(round * 7919 % 3001)
		if number, there := numbers[key]; there {
			if found := k.find([]byte(key)); found != number {
				t.Fatalf("key %s is chain %d, want %d", key, found, number)
			}
			if round%3 == 0 {
				k.drop(number)
				delete(numbers, key)
			}
		} else {
			numbers[key] = k.find([]byte(key))
		}
		if k.used != len(numbers) {
			t.Fatalf("%d keys, want %d", k.used, len(numbers))
		}
	}
	seen := map[uint32]bool{}
	for key, number := range numbers {
		if seen[number] || k.find([]byte(key)) != number {
			t.Fatalf("key %s has not chain %d for itself", key, number)
		}
		seen[number] = true
	}
}
