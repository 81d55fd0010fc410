//go:build !linux

package load

import "time"

// sleep waits as precisely as the system's timers do.
func sleep(d time.Duration) { time.Sleep(d) }
