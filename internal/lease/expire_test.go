package lease

import (
	"math"
	"testing"

	"github.com/posthaste-io/posthaste/internal/wheel"
)

// expireAll expires some at a time, and fails when more are dealt with at once, or Next says that nothing is left although it is.
func expireAll(t *testing.T, q *Queue, now int64, most int) (calls int) {
	t.Helper()
	for {
		if at, ok := q.Next(); !ok || at > now {
			return calls
		}
		calls++
		if n := q.Expire(now, most); n > most {
			t.Fatalf("%d at once, want at most %d", n, most)
		}
	}
}

func TestVeryManyLeasesExpireSomeAtATime(t *testing.T) {
	const messages, most = 1000, 64
	q := New(Rules{}, 1)
	admit(q, make([]string, messages)...)
	takeAll(q, 0, 0)
	now := 10*second + 2*wheel.Tick
	if calls := expireAll(t, q, now, most); calls < messages/most {
		t.Errorf("%d calls", calls)
	}
	if q.Outstanding() != 0 || q.Ready() != messages {
		t.Fatalf("%d out, %d ready", q.Outstanding(), q.Ready())
	}
	seen := map[uint64]bool{}
	for _, l := range takeAll(q, now, 0) {
		if l.Attempt != 2 || seen[l.Offset] {
			t.Fatalf("message %d: attempt %d", l.Offset, l.Attempt)
		}
		seen[l.Offset] = true
	}
	if len(seen) != messages {
		t.Errorf("%d came again", len(seen))
	}
}

func TestAckOfWhatExpireHasNotComeToYetCounts(t *testing.T) {
	q := New(Rules{}, 1)
	admit(q, make([]string, 100)...)
	out := takeAll(q, 0, 0)
	now := 10*second + 2*wheel.Tick
	q.Expire(now, 10)
	for _, l := range out {
		if v := q.Ack(now, l.Handle, l.Offset); v != Done {
			t.Fatalf("message %d: %v", l.Offset, v)
		}
	}
	expireAll(t, q, now, 10)
	if q.Len() != 0 {
		t.Errorf("%d are left", q.Len())
	}
}

// However few leases end at a time, a key comes again in order, and only its first message has failed: as when all end at once.
func TestAKeyExpiresAsOneHoweverFewAreLookedAt(t *testing.T) {
	const messages, keys = 300, 7
	for _, most := range []int{1, 2, 50, math.MaxInt} {
		q := New(Rules{Ordered: true}, 1)
		for i := range uint64(messages) {
			q.Admit(i, 1, []byte{byte(i % keys)})
		}
		h := q.Join()
		takeAll(q, 0, h)
		now := 10*second + 2*wheel.Tick
		expireAll(t, q, now, most)
		next := map[uint64]uint64{}
		for _, l := range takeAll(q, now, h) {
			key := l.Offset % keys
			if l.Offset/keys != next[key] {
				t.Fatalf("%d at a time: message %d before %d", most, l.Offset, next[key]*keys+key)
			}
			if want := map[bool]uint32{true: 2, false: 1}[next[key] == 0]; l.Attempt != want {
				t.Fatalf("%d at a time: message %d has attempt %d, want %d", most, l.Offset, l.Attempt, want)
			}
			next[key]++
		}
		for key := range uint64(keys) {
			if want := uint64(messages+keys-1-int(key)) / keys; next[key] != want {
				t.Fatalf("%d at a time: %d of key %d came again, want %d", most, next[key], key, want)
			}
		}
	}
}
