package clock

import (
	"slices"
	"sync"
	"time"
)

// Manual is a clock for tests: it stands still until it is told to move. Timers fire inside Advance, one after the other, in the
// order of their times and, among equals, in the order in which they were set; so a test that moves the clock sees the same
// sequence every time. It is safe for concurrent use.
type Manual struct {
	mu      sync.Mutex
	moving  sync.Mutex // held by the one Advance that fires timers
	wall    int64
	mono    int64
	planned []*manualTimer // earliest first
}

// NewManual is a clock that stands at the given time of day.
func NewManual(wall time.Time) *Manual { return &Manual{wall: wall.UnixNano()} }

// Wall is the time of day as Advance and SetWall left it.
func (m *Manual) Wall() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wall
}

// Mono is how far Advance has moved the clock, in nanoseconds.
func (m *Manual) Mono() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mono
}

// Both is Mono and Wall of one moment.
func (m *Manual) Both() (mono, wall int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mono, m.wall
}

// SetWall makes the time of day jump, as somebody who sets the machine's clock does. Monotonic time and timers do not notice.
func (m *Manual) SetWall(wall time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wall = wall.UnixNano()
}

// Advance moves both clocks on by d and makes every call that falls due, each at its own moment: a function sees the time that it
// was planned for, and a timer that it sets fires in the same Advance if that is long enough. A function must not call Advance.
func (m *Manual) Advance(d time.Duration) {
	m.moving.Lock()
	defer m.moving.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	until := m.mono + int64(d)
	for len(m.planned) > 0 && m.planned[0].at <= until {
		next := m.planned[0]
		m.planned = m.planned[1:]
		m.moveTo(next.at)
		m.mu.Unlock()
		next.call()
		m.mu.Lock()
	}
	m.moveTo(until)
}

// moveTo never moves backwards: a timer may be planned for a moment that has passed.
func (m *Manual) moveTo(mono int64) {
	if step := mono - m.mono; step > 0 {
		m.mono += step
		m.wall += step
	}
}

// AfterFunc plans a call that an Advance will make. With d of zero or less it waits for the next Advance, even one by nothing.
func (m *Manual) AfterFunc(d time.Duration, f func()) Timer {
	t := &manualTimer{clock: m, call: f}
	t.Reset(d)
	return t
}

// Timers is how many calls are planned: a test of something that should have none left asks here.
func (m *Manual) Timers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.planned)
}

// Next is the monotonic time of the earliest call that is planned; false when there is none. With it, a test can let what one call set
// off come to an end before the next.
func (m *Manual) Next() (at int64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.planned) == 0 {
		return 0, false
	}
	return m.planned[0].at, true
}

type manualTimer struct {
	clock *Manual
	at    int64
	call  func()
}

func (t *manualTimer) Reset(d time.Duration) bool {
	m := t.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	was := t.unplan()
	t.at = m.mono + int64(max(d, 0))
	later := func(other *manualTimer) bool { return other.at > t.at }
	place := slices.IndexFunc(m.planned, later)
	if place < 0 {
		place = len(m.planned)
	}
	m.planned = slices.Insert(m.planned, place, t)
	return was
}

func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.unplan()
}

// unplan needs the clock's mutex.
func (t *manualTimer) unplan() bool {
	place := slices.Index(t.clock.planned, t)
	if place < 0 {
		return false
	}
	t.clock.planned = slices.Delete(t.clock.planned, place, place+1)
	return true
}
