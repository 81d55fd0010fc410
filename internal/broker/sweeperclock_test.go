package broker

import (
	"runtime"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
)

// sweeperClock is a manual clock that knows whether the broker's sweeper waits for its next second. That timers are planned does not tell:
// leases and lazy appends have some too.
type sweeperClock struct {
	*clock.Manual
	mu    sync.Mutex // held while the timer is planned, so that it is not seen to fire before that
	known bool       // the sweeper's timer was seen: the first for sweepEvery since a broker was opened
	rests bool
}

func (c *sweeperClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d != sweepEvery || c.known {
		return c.Manual.AfterFunc(d, f)
	}
	c.known, c.rests = true, true
	return &sweeperTimer{c.Manual.AfterFunc(d, func() {
		c.mu.Lock()
		c.rests = false
		c.mu.Unlock()
		f()
	}), c}
}

type sweeperTimer struct {
	clock.Timer
	clock *sweeperClock
}

func (t *sweeperTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.clock.rests = true
	return t.Timer.Reset(d)
}

// opening forgets the sweeper of a broker that was closed.
func (c *sweeperClock) opening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.rests = false, false
}

func (c *sweeperClock) sweeperRests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rests
}

// settled waits until the sweeper waits.
func (b *bench) settled() {
	b.t.Helper()
	for range 10_000_000 {
		if b.clock.sweeperRests() {
			return
		}
		runtime.Gosched()
	}
	b.t.Fatal("the sweeper does not come to rest")
}
