package chaos

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// The flags are the size of a run; their defaults make a run of every day.
var (
	cyclesFlag      = flag.Int("cycles", 4, "how often the broker is killed under load")
	roundsFlag      = flag.Int("rounds", 2, "how often the disk is filled")
	afterMin        = flag.Duration("kill-after-min", 500*time.Millisecond, "shortest time that the broker works before it is killed")
	afterMax        = flag.Duration("kill-after-max", 2*time.Second, "longest time that the broker works before it is killed")
	readyMax        = flag.Duration("ready-within", 2*time.Second, "how long the broker may take to be ready again, at the 99th percentile")
	seedFlag        = flag.Uint64("seed", 0, "seed of all choices; 0 picks one")
	slowWindow      = flag.Duration("slow-window", 1500*time.Millisecond, "how long throughput is measured with and without a slow subscriber, several times each")
	slowCost        = flag.Float64("slow-cost", 35, "how much throughput a slow subscriber may cost another subscription, in percent")
	slowMemory      = flag.Int("slow-memory", 1500, "how much memory the broker may take beside a slow subscriber, in MiB")
	publishEvery    = flag.Duration("publish-every", 40*time.Millisecond, "how often each of the publishers sends ten messages")
	memoryLimit     = flag.Int("memory-limit", 512, "how much memory the broker may take in the test of memory pressure, in MiB")
	memoryHeld      = flag.Int("memory-outstanding", 100_000, "messages out at once in that test")
	memoryBacklog   = flag.Int("memory-backlog", 500_000, "messages that wait in that test")
	memoryLarge     = flag.Int("memory-large", 64, "messages of 10 MB that come at once in that test")
	largeWindow     = flag.Duration("large-window", time.Second, "how long publishes of ordinary messages are timed beside large ones, and without")
	largeSlower     = flag.Float64("large-slower", 20, "how many times as long they may take")
	pausesFlag      = flag.Int("pauses", 3, "how often the broker is paused under load")
	pauseMin        = flag.Duration("pause-min", 1500*time.Millisecond, "shortest pause; not under 1.5s")
	pauseMax        = flag.Duration("pause-max", 3*time.Second, "longest pause")
	stallFor        = flag.Duration("stall-for", 8*time.Second, "how long every sync of the disk stalls under load")
	stallMin        = flag.Duration("stall-min", 200*time.Millisecond, "shortest stall of a sync")
	stallMax        = flag.Duration("stall-max", 2*time.Second, "longest stall of a sync")
	settingsFlag    = flag.Int("settings", 12, "how often the broker's clock is set under load")
	onceCount       = flag.Int("once-messages", 10_000, "messages of the exactly-once test, in waves of 100,000 at most")
	onceOutstanding = flag.Int64("once-outstanding", 0, "messages that a stream may hold in the ordered part of the exactly-once test; 0: any number")
	orderCount      = flag.Int("ordering-messages", 10_000, "messages of the ordering test, in waves of 100,000 at most")
	orderKeys       = flag.Int("ordering-keys", 500, "ordering keys of the ordering test")
	historyFlag     = flag.String("history", "", "file to keep the history in; one that shows violations is kept in any case")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	process.Remove()
	os.Exit(code)
}

// seed is the run's seed, which it prints.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed %d)", s, s)
	return s
}
