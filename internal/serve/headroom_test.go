package serve

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGarbagePercentLeavesTheHeadroom(t *testing.T) {
	for live, want := range map[uint64]int{0: 6400, 1 << 20: 6400, 8 << 20: 800, 64 << 20: 100, 1 << 30: 100} {
		if got := garbagePercent(live); got != want {
			t.Errorf("GOGC %d over %d bytes in use, want %d", got, live, want)
		}
	}
}

// percent is the collector's, read without changing it.
func percent() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// percentBecomes collects until the collector's percentage is one that is wanted.
func percentBecomes(t *testing.T, wanted func(int) bool) {
	t.Helper()
	got := 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		runtime.GC()
		if got = percent(); wanted(got) {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("GOGC stays %d", got)
}

func TestTheHeadroomIsKeptUntilItIsNotWanted(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(defaultGarbagePercent)
	defer debug.SetGCPercent(before)
	stop := keepHeadroom()
	percentBecomes(t, func(percent int) bool { return percent > defaultGarbagePercent })
	stop()
	percentBecomes(t, func(percent int) bool { return percent == defaultGarbagePercent })
}

func TestWhoSetsGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "50")
	before := debug.SetGCPercent(50)
	defer debug.SetGCPercent(before)
	defer keepHeadroom()()
	for range 10 {
		runtime.GC()
	}
	if got := percent(); got != 50 {
		t.Errorf("GOGC became %d", got)
	}
}
