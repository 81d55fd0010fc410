package load

import (
	"errors"
	"syscall"
	"time"
)

// sleep waits precisely to some 0.1 ms. Go's own timers wait in epoll, which counts whole milliseconds while nothing else runs: at a
// thousand messages a second the generator's lateness would be most of what it measures.
func sleep(d time.Duration) {
	rest := syscall.NsecToTimespec(int64(d))
	for errors.Is(syscall.Nanosleep(&rest, &rest), syscall.EINTR) {
		continue // rest is what a signal left over
	}
}
