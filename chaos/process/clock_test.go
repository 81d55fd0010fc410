package process

import (
	"testing"
	"time"
)

func TestAClockIsAheadByWhatPassedAndWhatItWasSetBy(t *testing.T) {
	c, err := NewClock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func()
		want time.Duration // ahead of the machine's
	}{
		{func() {}, 0},
		{func() { c.Pass(48 * time.Hour) }, 48 * time.Hour},
		{func() { c.Set(-72 * time.Hour) }, -24 * time.Hour},
		{func() { c.Pass(time.Hour) }, -23 * time.Hour},
	} {
		step.do()
		before := time.Now()
		ahead := c.Now().Sub(before)
		if slow := time.Since(before); ahead < step.want || ahead > step.want+slow {
			t.Errorf("ahead by %v, want %v", ahead, step.want)
		}
	}
}
