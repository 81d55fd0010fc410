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

// TestLivesAndAgesFollowTheTimeThatPasses: however the clock jumps, what is given a life lives for it, by the time that really passes and
// until the time of day that was named; and nothing looks older than it is. Where the clock was never set back, both are exact.
func TestLivesAndAgesFollowTheTimeThatPasses(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		back := seed%2 == 0
		var c Calendar
		type thing struct{ mono, from, to int64 }
		var things []thing
		offset := noon
		for mono := int64(0); mono < 40*hour; mono += hour / 2 {
			if rng.IntN(8) == 0 {
				if offset += rng.Int64N(20) * hour; back { // smaller steps than stepMin would not count
					offset -= 10 * hour
				}
			}
			wall := offset + mono
			c.Observe(mono, wall)
			for _, thing := range things {
				lived, life := mono-thing.mono, thing.to-thing.from
				over, age := c.Over(mono, wall, thing.from, thing.to), c.Age(mono, wall, thing.from)
				switch {
				case over && (lived < life || wall < thing.to):
					t.Fatalf("seed %d: over after %v of %v", seed, time.Duration(lived), time.Duration(life))
				case int64(age) > lived:
					t.Fatalf("seed %d: %v old after %v", seed, age, time.Duration(lived))
				case !back && (over != (lived >= life) || int64(age) != lived):
					t.Fatalf("seed %d: after %v of %v: over %v, %v old", seed, time.Duration(lived), time.Duration(life), over, age)
				}
			}
			things = append(things, thing{mono, wall, wall + rng.Int64N(10*hour)})
		}
	}
}

func TestWhatIsToComeHasNoAgeAndWhatWasOverAtTheStartIsOver(t *testing.T) {
	var c Calendar
	if age := c.Age(0, noon, noon+hour); age != 0 {
		t.Errorf("what will be published in an hour is %v old", age)
	}
	if c.Over(0, noon, noon, noon+1) || !c.Over(0, noon, noon, noon) || !c.Over(0, noon, noon, noon-hour) {
		t.Error("a life is over when its end has come, and not before")
	}
}

// A caller may be held up between reading the clocks and asking.
func TestALateQuestionIsNoJump(t *testing.T) {
	var c Calendar
	c.Observe(0, noon)
	c.Observe(2*hour, noon+9*hour) // a jump by seven hours
	c.Observe(hour, noon+hour)     // read before the jump
	c.Observe(3*hour, noon+10*hour)
	if len(c.jumps) != 1 {
		t.Errorf("%d jumps", len(c.jumps))
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
