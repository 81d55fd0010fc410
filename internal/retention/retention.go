// Package retention decides how old is too old, and whether a moment has come until which something lives. Publish times and expire times are
// times of the day, and so is the moment that a retention looks back to; but a clock that somebody sets forward makes nothing older.
// What has happened to the clock while the process runs is remembered, and what is from before a jump ages by the time that has really
// passed. A clock that was set back lets everything live longer, by as much.
package retention

import (
	"sync"
	"time"
)

const (
	// stepMin is the least change of the time of day, against the time that passed, that counts as a jump: smaller ones are how time
	// servers keep a clock right.
	stepMin = 10 * time.Second
	// jumpsMax bounds what is remembered. A clock that jumps more often loses the oldest.
	jumpsMax = 64
	// rememberMax is longer than any retention.
	rememberMax = 32 * 24 * time.Hour
)

// Calendar knows the jumps of the wall clock. The zero value is ready; it is safe for concurrent use. It sees a jump when it is next
// asked or told the time, so that has to happen now and then. Its methods take the monotonic and the wall clock's time of one moment.
type Calendar struct {
	mu         sync.Mutex
	known      bool // mono and wall are set
	mono, wall int64
	jumps      []jump
}

// jump is a moment at which the wall clock was set forward.
type jump struct {
	mono   int64
	before int64 // what the wall clock would have shown without it
}

// Observe tells the calendar the time.
func (c *Calendar) Observe(mono, wall int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(mono, wall)
}

// Cutoff is the publish time, in Unix nanoseconds, before which messages have outlived the retention.
func (c *Calendar) Cutoff(mono, wall int64, retention time.Duration) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(mono, wall)
	return c.cutoff(mono, wall, retention)
}

// Over says whether the life is over of what was given it at the time of day from, and was to live to the time of day to: both in Unix
// nanoseconds.
func (c *Calendar) Over(mono, wall, from, to int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(mono, wall)
	return wall >= to && c.cutoff(mono, wall, time.Duration(to-from)) >= from
}

// Age is for how long there has been what was published at a time of day, in Unix nanoseconds; 0 if that is still to come.
func (c *Calendar) Age(mono, wall, published int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(mono, wall)
	age := wall - published
	for _, j := range c.jumps {
		age = min(age, mono-j.mono+max(0, j.before-published))
	}
	return time.Duration(max(0, age))
}

// cutoff needs the mutex.
func (c *Calendar) cutoff(mono, wall int64, retention time.Duration) int64 {
	cutoff := wall - int64(retention)
	for _, j := range c.jumps {
		if since := mono - j.mono; since < int64(retention) {
			cutoff = min(cutoff, j.before+since-int64(retention))
		}
	}
	return cutoff
}

// observe notices a jump since it was last called. It needs the mutex.
func (c *Calendar) observe(mono, wall int64) {
	if mono < c.mono {
		return // somebody who read the clocks later was quicker
	}
	if expected := c.wall + mono - c.mono; c.known && wall-expected >= int64(stepMin) {
		c.jumps = append(c.jumps, jump{mono: mono, before: expected})
	}
	c.known, c.mono, c.wall = true, mono, wall
	for len(c.jumps) > 0 && (len(c.jumps) > jumpsMax || mono-c.jumps[0].mono > int64(rememberMax)) {
		c.jumps = c.jumps[1:]
	}
}
