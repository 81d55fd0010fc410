package serve

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// headroomBytes is what may be allocated between two collections at the least. Most of what the broker keeps is outside of Go's heap, so
	// that a collector which waits for as much again as the heap holds would run many times a second under load: publishing over REST takes a
	// third more of the processors' time that way.
	headroomBytes = 64 << 20

	defaultGarbagePercent = 100
)

// keepHeadroom makes the collector leave headroomBytes free from its next run on, and as much as the heap holds where that is more. GOGC, if
// somebody has set it, stays in force; GOMEMLIMIT does in any case. It lasts until stop is called.
func keepHeadroom() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	ended := make(chan struct{})
	afterEachCollection(func() (again bool) {
		select {
		case <-ended:
			debug.SetGCPercent(defaultGarbagePercent)
			return false
		default:
			debug.SetGCPercent(garbagePercent(liveBytes()))
			return true
		}
	})
	return func() { close(ended) }
}

// garbagePercent is the GOGC that leaves the headroom over so many bytes in use.
func garbagePercent(live uint64) int {
	return max(defaultGarbagePercent, int(headroomBytes*100/max(live, 1<<20)))
}

// liveBytes is what the last collection found in use.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// cycle is garbage that tells when it is collected.
type cycle struct{ then func() bool }

// afterEachCollection calls then, on the runtime's goroutine for such things, until it does not want to be called again.
func afterEachCollection(then func() (again bool)) {
	runtime.SetFinalizer(&cycle{then}, func(c *cycle) {
		if c.then() {
			afterEachCollection(c.then)
		}
	})
}
