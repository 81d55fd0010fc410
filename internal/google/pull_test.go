package google

import (
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/limit"
)

func TestPullsAreAnsweredBeforeTheirDeadline(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct{ given, want time.Duration }{
		{0, limit.PullWaitMax}, // no deadline
		{limit.PullWaitMax + time.Hour, limit.PullWaitMax},
		{limit.PullWaitMax + pullMargin, limit.PullWaitMax},
		{10 * time.Second, 10*time.Second - pullMargin},
		{time.Second, time.Second / 2},
		{pullMargin, pullMargin / 2}, // it is looked for messages in any case
		{2 * time.Millisecond, time.Millisecond},
	} {
		var deadline time.Time
		if test.given > 0 {
			deadline = now.Add(test.given)
		}
		if got := answerBy(now, deadline).Sub(now); got != test.want {
			t.Errorf("deadline after %v: answered after %v, want %v", test.given, got, test.want)
		}
	}
}
