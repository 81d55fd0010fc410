// Package usage knows when something was last used, and for how long nobody has used it.
//
// While the process runs, that is measured by a clock that nobody can set. Over a restart it is what the wall clock says of a moment that
// was written down; see [Usage.Remember].
package usage

import (
	"sync/atomic"
	"time"
)

// Usage is the use of one thing. Times are by the monotonic clock unless they are called wall. It is safe for concurrent use.
type Usage struct {
	last    atomic.Int64
	present atomic.Int32
}

// Touch says that the thing is used at this moment.
func (u *Usage) Touch(now int64) { u.last.Store(now) }

// Enter says that somebody begins to use the thing, until Exit.
func (u *Usage) Enter() { u.present.Add(1) }

// Exit ends what Enter began.
func (u *Usage) Exit(now int64) {
	u.Touch(now)
	u.present.Add(-1)
}

// Idle is for how long nobody has used the thing.
func (u *Usage) Idle(now int64) time.Duration {
	if u.present.Load() > 0 {
		u.Touch(now)
		return 0
	}
	return time.Duration(max(0, now-u.last.Load()))
}

// Remember sets the last use to a moment of the wall clock, in Unix seconds, or to now when that is in the future or 0: unknown.
func (u *Usage) Remember(now, wall, lastSeconds int64) {
	idle := int64(0)
	if lastSeconds > 0 {
		idle = max(0, wall-lastSeconds*int64(time.Second))
	}
	u.Touch(now - idle)
}

// Last is the last use by the wall clock, in Unix seconds.
func (u *Usage) Last(now, wall int64) int64 { return Seconds(wall - int64(u.Idle(now))) }

// Seconds is a moment of the wall clock in whole Unix seconds, and not before it: what is written down must not make a life shorter.
func Seconds(wall int64) int64 { return (wall + int64(time.Second) - 1) / int64(time.Second) }
