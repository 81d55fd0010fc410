package usage

import (
	"testing"
	"time"
)

const (
	second = int64(time.Second)
	noon   = 1_800_000_000 * second // by the wall clock
)

func TestIdleCountsFromTheLastUse(t *testing.T) {
	var u Usage
	u.Touch(5 * second)
	if got := u.Idle(8 * second); got != 3*time.Second {
		t.Errorf("idle for %v", got)
	}
	if got := u.Idle(4 * second); got != 0 { // who looked at the clock earlier and was slower
		t.Errorf("idle for %v", got)
	}
	u.Enter()
	u.Enter()
	u.Exit(10 * second)
	if got := u.Idle(100 * second); got != 0 {
		t.Errorf("idle for %v while one of two is there", got)
	}
	u.Exit(110 * second)
	if got := u.Idle(111 * second); got != time.Second {
		t.Errorf("idle for %v after all have left", got)
	}
}

func TestARestartMakesNothingUnusedForLonger(t *testing.T) {
	const moment = noon + 300_000_000
	var u, after Usage
	u.Touch(moment - noon)
	after.Remember(5*second, noon+5*second, u.Last(moment-noon, moment))
	if got := after.Idle(5 * second); got > 4700*time.Millisecond || got <= 3700*time.Millisecond {
		t.Errorf("idle for %v, and was used 4.7 s ago", got)
	}
	if Seconds(noon) != noon/second || Seconds(noon+1) != noon/second+1 {
		t.Errorf("%d and %d", Seconds(noon), Seconds(noon+1))
	}
}

func TestUseIsRememberedByTheWallClock(t *testing.T) {
	for _, c := range []struct {
		name string
		last int64 // Unix seconds
		idle time.Duration
	}{
		{"a minute ago", noon/second - 60, time.Minute},
		{"never", 0, 0},
		{"in the future: the clock was set back", noon/second + 60, 0},
	} {
		var u Usage
		u.Remember(7*second, noon, c.last)
		if got := u.Idle(7 * second); got != c.idle {
			t.Errorf("%s: idle for %v, want %v", c.name, got, c.idle)
		}
		if got, want := u.Last(9*second, noon+2*second), (noon-int64(c.idle))/second; got != want {
			t.Errorf("%s: last used at %d, want %d", c.name, got, want)
		}
	}
}
