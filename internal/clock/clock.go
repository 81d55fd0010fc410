// Package clock is the seam between the broker and time.
//
// There are two clocks, and they are not mixed. Wall time names moments for people and for other machines: publish times, retention,
// seek. Somebody may set it, so it can jump either way. Monotonic time measures how long something took, and never goes back:
// ack deadlines, backoff, delays. Timers run on the monotonic clock.
package clock

import "time"

// Clock tells both times. It is safe for concurrent use.
type Clock interface {
	// Wall is the time of day in Unix nanoseconds. It may jump, backwards too.
	Wall() int64
	// Mono is nanoseconds since some moment before the clock was handed out. It never falls.
	Mono() int64
	// Both is Mono and Wall of one moment. Who compares the two must not be held up between readings of each.
	Both() (mono, wall int64)
	// AfterFunc calls f once, in a goroutine of the clock's, when the monotonic clock has moved on by d.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call that AfterFunc promised. *time.Timer is one.
type Timer interface {
	// Reset plans the call anew for d from now, whether or not it was made. It reports whether one was still planned.
	Reset(d time.Duration) bool
	// Stop calls it off and reports whether it was still planned. A call that has begun goes on.
	Stop() bool
}

// System is the machine's clock.
func System() Clock { return system{start: time.Now()} }

type system struct{ start time.Time }

func (s system) Wall() int64 { return time.Now().UnixNano() }

func (s system) Mono() int64 { return int64(time.Since(s.start)) }

func (s system) Both() (mono, wall int64) {
	now := time.Now()
	return int64(now.Sub(s.start)), now.UnixNano()
}

func (s system) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
