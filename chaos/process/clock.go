package process

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Clock is the time of a broker, as a test that cannot wait for days wants it to be: ahead of the machine's by as much as the test says.
// It goes on over restarts. It is safe for concurrent use.
type Clock struct {
	shared
	page *clockPage
}

// clockPage is the memory that a test and its broker share; testdata/movable.go has its twin.
type clockPage struct{ passed, jumped atomic.Int64 }

// NewClock makes a clock that shows the machine's time, on a file in the directory, which must stay as long as a broker uses it.
func NewClock(dir string) (*Clock, error) {
	memory, err := share(dir, unsafe.Sizeof(clockPage{}))
	if err != nil {
		return nil, err
	}
	return &Clock{memory, (*clockPage)(unsafe.Pointer(unsafe.SliceData(memory.data)))}, nil
}

// Pass lets time pass, for a broker that runs and for one that does not.
func (c *Clock) Pass(d time.Duration) { c.page.passed.Add(int64(d)) }

// Set sets the time of day forward, or back, as somebody who sets the machine's clock does: no time passes.
func (c *Clock) Set(by time.Duration) { c.page.jumped.Add(int64(by)) }

// Now is the time of day as the broker sees it.
func (c *Clock) Now() time.Time {
	return time.Now().Add(time.Duration(c.page.passed.Load() + c.page.jumped.Load()))
}
