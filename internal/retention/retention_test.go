package retention

import (
	"math/rand/v2"
	"testing"
	"time"
)

const (
	hour = int64(time.Hour)
	noon = 1_790_000_000 * int64(time.Second)
)

func TestMessagesLiveForTheirRetention(t *testing.T) {
	var c Calendar
	for mono := int64(0); mono < 100*hour; mono += hour {
		if got, want := c.Cutoff(mono, noon+mono, 10*time.Hour), noon+mono-10*hour; got != want {
			t.Fatalf("after %d h: cutoff %d, want %d", mono/hour, got, want)
		}
	}
}

func TestAClockSetForwardMakesNoMessageOlder(t *testing.T) {
	for name, step := range map[string]int64{"an hour": hour, "a week": 7 * 24 * hour, "from 1970": 0} {
		t.Run(name, func(t *testing.T) {
			var c Calendar
			before := noon
			if step == 0 {
				before, step = 0, noon
			}
			const retention = 10 * time.Hour
			published := before + hour // one hour after the start
			c.Cutoff(hour, published, retention)
			at := func(mono int64) bool { return published < c.Cutoff(mono, before+mono+step, retention) }
			for mono := 2 * hour; mono <= 11*hour; mono += hour / 4 {
				if at(mono) {
					t.Fatalf("gone %v after it was published", time.Duration(mono-hour))
				}
			}
			if !at(12*hour + hour/4) {
				t.Error("still there long after its retention")
			}
		})
	}
}

func TestAClockSetBackLosesNothing(t *testing.T) {
	var c Calendar
	published := noon
	c.Cutoff(0, published, time.Hour)
	for mono := int64(0); mono < 24*hour; mono += hour {
		if published < c.Cutoff(mono, published-30*24*hour+mono, time.Hour) {
			t.Fatal("gone")
		}
	}
}

// TestNoMessageDiesYoung: however the clock jumps, a message lives for its retention, by the time that really passes.
func TestNoMessageDiesYoung(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var c Calendar
		type message struct{ mono, published int64 }
		var messages []message
		retention := time.Duration(1+rng.Int64N(20)) * time.Hour
		offset := noon
		for mono := int64(0); mono < 40*hour; mono += hour / 2 {
			if rng.IntN(8) == 0 {
				offset += rng.Int64N(20*hour) - 10*hour
			}
			cutoff := c.Cutoff(mono, offset+mono, retention)
			for _, m := range messages {
				if m.published < cutoff && mono-m.mono < int64(retention)-hour {
					t.Fatalf("seed %d: gone %v after it was published, of %v", seed, time.Duration(mono-m.mono), retention)
				}
			}
			published := offset + mono // as an engine stamps it: never before the one before it
			if n := len(messages); n > 0 {
				published = max(published, messages[n-1].published)
			}
			messages = append(messages, message{mono, published})
		}
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	var c Calendar
	for i := range int64(1000) {
		c.Cutoff(i*hour, noon+2*i*hour, time.Hour)
	}
	if len(c.jumps) > jumpsMax {
		t.Errorf("%d jumps", len(c.jumps))
	}
	c.Cutoff(1000*hour+int64(2*rememberMax), noon+2000*hour+int64(2*rememberMax), time.Hour)
	if len(c.jumps) > 1 {
		t.Errorf("%d jumps are remembered for ever", len(c.jumps))
	}
}
