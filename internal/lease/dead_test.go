package lease

import (
	"testing"
	"time"
)

func TestAMessageThatComesWithTooManyFailuresIsDeadAtOnce(t *testing.T) {
	q := New(Rules{Ordered: true, AttemptsMax: 5}, 1)
	q.Admit(0, 1, []byte("k"))
	q.AdmitAt(0, 1, 1, []byte("k"), Past{Failures: 5, Reason: DeadlineExpired, NotBefore: second})
	q.AdmitAt(0, 2, 1, nil, Past{Failures: 7, Reason: PushStatus(503)})
	q.AdmitAt(0, 3, 1, nil, Past{Failures: 4})
	l, why, ok := q.Dead()
	if !ok || l.Offset != 2 || l.Attempt != 7 || why != PushStatus(503) {
		t.Fatalf("dead: %+v %v %v, want 2", l, why, ok)
	}
	if !q.Forwarded(l.Handle, 2) || q.Burials() {
		t.Fatal("a dead message before its predecessor is settled")
	}
	leases := takeAll(q, 0, 0)
	wantOffsets(t, leases, 0, 3)
	wantVerdict(t, q.Ack(0, leases[0].Handle, 0), Done)
	if l, why, ok := q.Dead(); !ok || l.Offset != 1 || why != DeadlineExpired {
		t.Fatalf("dead: %+v %v %v, want 1", l, why, ok)
	}
}

func TestAFailedForwardWaitsForTheLongerOfItsWaitAndTheBackoff(t *testing.T) {
	for _, c := range []struct{ backoff, wait, want time.Duration }{
		{0, 0, 0}, {0, 2 * time.Second, 2 * time.Second}, {5 * time.Second, 2 * time.Second, 5 * time.Second}, {2 * time.Second, 5 * time.Second, 5 * time.Second},
	} {
		q := New(Rules{AttemptsMax: 1, BackoffMin: c.backoff, BackoffMax: c.backoff}, 1)
		q.Admit(7, 1, nil)
		l, _ := q.Take(0, 0, unlimited, second)
		q.Nack(0, l.Handle, 7)
		d, _, _ := q.Dead()
		q.ForwardFailed(0, d.Handle, 7, c.wait)
		at, waits := q.wheel.At(d.Slot)
		if waits != (c.want > 0) || q.Has(0) == waits || waits && at != int64(c.want) {
			t.Errorf("%+v: waits %v, until %v", c, waits, time.Duration(at))
		}
	}
}

func TestReasonsAreNamedAsDeadLettersCarryThem(t *testing.T) {
	for r, want := range map[Reason]string{
		Nacked: "nacked", DeadlineExpired: "expired", PushFailed: "push failed", Disconnected: "disconnected",
		PushStatus(404): "push status 404", PushStatus(503): "push status 503",
	} {
		if got := r.String(); got != want {
			t.Errorf("reason %d is %q, want %q", r, got, want)
		}
	}
}
