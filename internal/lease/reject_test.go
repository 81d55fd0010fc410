package lease

import (
	"math"
	"testing"
	"time"
)

func TestARejectedMessageWaitsWithoutABackoffToo(t *testing.T) {
	for _, c := range []struct {
		backoff, least, wait time.Duration
	}{
		{0, time.Second, time.Second},
		{5 * time.Second, time.Second, 5 * time.Second},
		{time.Second, 5 * time.Second, 5 * time.Second},
	} {
		q := New(Rules{BackoffMin: c.backoff, BackoffMax: c.backoff}, 1)
		h := q.Join()
		q.Admit(7, 10, nil)
		l, _ := q.Take(0, h, 1000, int64(time.Minute))
		if v := q.Reject(0, l.Handle, 7, int64(c.least)); v != Done {
			t.Fatalf("rejected: %v", v)
		}
		q.Expire(int64(c.wait)-int64(100*time.Millisecond), math.MaxInt)
		if q.Ready() != 0 {
			t.Errorf("backoff %v, least %v: ready before %v", c.backoff, c.least, c.wait)
		}
		q.Expire(int64(c.wait)+int64(100*time.Millisecond), math.MaxInt)
		l, ok := q.Take(int64(c.wait), h, 1000, int64(time.Hour))
		if !ok || l.Attempt != 2 {
			t.Errorf("backoff %v, least %v: taken again %v, attempt %d", c.backoff, c.least, ok, l.Attempt)
		}
		q.Nack(int64(c.wait), l.Handle, 7)
		if want := c.backoff == 0; (q.Ready() == 1) != want {
			t.Errorf("backoff %v: after a nack %d are ready", c.backoff, q.Ready())
		}
	}
}
