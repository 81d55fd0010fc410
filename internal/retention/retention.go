// Package retention decides how old is too old. Publish times are times of the day, and so is the moment that a retention looks back to; but
// a clock that somebody sets forward makes no message older. What has happened to the clock while the process runs is remembered, and
// messages from before a jump age by the time that has really passed.
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
// asked, so it has to be asked now and then.
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

// Cutoff is the publish time, in Unix nanoseconds, before which messages have outlived the retention. It takes the monotonic and the wall
// clock's time. A clock that was set back lets messages live longer, by as much.
func (c *Calendar) Cutoff(mono, wall int64, retention time.Duration) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(mono, wall)
	cutoff := wall - int64(retention)
	for _, j := range c.jumps {
		if since := mono - j.mono; since < int64(retention) {
			cutoff = min(cutoff, j.before+since-int64(retention))
		}
	}
	return cutoff
}

// observe notices a jump since it was last called.
func (c *Calendar) observe(mono, wall int64) {
	if expected := c.wall + mono - c.mono; c.known && wall-expected >= int64(stepMin) {
		c.jumps = append(c.jumps, jump{mono: mono, before: expected})
	}
	c.known, c.mono, c.wall = true, mono, wall
	for len(c.jumps) > 0 && (len(c.jumps) > jumpsMax || mono-c.jumps[0].mono > int64(rememberMax)) {
		c.jumps = c.jumps[1:]
	}
}
