package clock

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestSystemTimersRunOnMonotonicTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := System()
		fired := make(chan int64, 1)
		c.AfterFunc(time.Minute, func() { fired <- c.Mono() })
		stopped := c.AfterFunc(time.Second, func() { t.Error("a stopped timer fired") })
		if !stopped.Stop() || stopped.Stop() {
			t.Error("Stop is true once, for a planned timer")
		}
		before := c.Wall()
		if at := <-fired; at != int64(time.Minute) {
			t.Errorf("fired at %v", time.Duration(at))
		}
		if passed := c.Wall() - before; passed != int64(time.Minute) {
			t.Errorf("the wall clock moved by %v", time.Duration(passed))
		}
		if mono, wall := c.Both(); mono != c.Mono() || wall != c.Wall() {
			t.Errorf("both are %d and %d, want %d and %d", mono, wall, c.Mono(), c.Wall())
		}
	})
}

func TestManualStandsUntilAdvanced(t *testing.T) {
	c := NewManual(noon)
	c.AfterFunc(1, func() { t.Error("fired by itself") })
	if c.Wall() != noon.UnixNano() || c.Mono() != 0 || c.Timers() != 1 {
		t.Errorf("wall %d, mono %d, %d timers", c.Wall(), c.Mono(), c.Timers())
	}
}

func TestManualFiresInOrderEachAtItsMoment(t *testing.T) {
	c := NewManual(noon)
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, fmt.Sprint(name, " ", c.Mono(), " ", c.Wall()-noon.UnixNano())) }
	}
	c.AfterFunc(30, note("late"))
	c.AfterFunc(10, note("first"))
	c.AfterFunc(10, note("second"))
	c.AfterFunc(20, func() {
		note("chain")()
		c.AfterFunc(5, note("chained"))
		c.AfterFunc(-5, note("at once"))
	})
	c.AfterFunc(101, note("beyond"))
	c.Advance(100)
	want := []string{"first 10 10", "second 10 10", "chain 20 20", "at once 20 20", "chained 25 25", "late 30 30"}
	if !slices.Equal(got, want) {
		t.Errorf("fired %q, want %q", got, want)
	}
	if c.Mono() != 100 || c.Timers() != 1 {
		t.Errorf("at %d with %d timers left", c.Mono(), c.Timers())
	}
}

func TestManualTimersDoNotNoticeAJumpOfTheWallClock(t *testing.T) {
	for _, wall := range []time.Time{noon.Add(-time.Hour), noon.AddDate(0, 0, 7), time.Unix(0, 0)} {
		c, fired := NewManual(noon), 0
		c.AfterFunc(10, func() { fired++ })
		c.SetWall(wall)
		if c.Advance(9); fired != 0 {
			t.Errorf("%v: fired early", wall)
		}
		if c.Advance(1); fired != 1 {
			t.Errorf("%v: did not fire", wall)
		}
		if c.Wall() != wall.UnixNano()+10 || c.Mono() != 10 {
			t.Errorf("%v: wall %d, mono %d", wall, c.Wall(), c.Mono())
		}
		if mono, now := c.Both(); mono != c.Mono() || now != c.Wall() {
			t.Errorf("%v: both are %d and %d", wall, mono, now)
		}
	}
}

func TestManualResetAndStop(t *testing.T) {
	c := NewManual(noon)
	var fired []int64
	timer := c.AfterFunc(10, func() { fired = append(fired, c.Mono()) })
	if !timer.Reset(20) {
		t.Error("Reset of a planned timer says false")
	}
	c.Advance(20)
	if timer.Stop() || timer.Reset(5) {
		t.Error("a fired timer counts as planned")
	}
	c.Advance(5)
	timer.Reset(5)
	if !timer.Stop() {
		t.Error("Stop of a planned timer says false")
	}
	c.Advance(50)
	if !slices.Equal(fired, []int64{20, 25}) {
		t.Errorf("fired at %v, want [20 25]", fired)
	}
}
