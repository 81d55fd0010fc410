package sandbox

import (
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// lowerLimits bounds what this process may use. Memory beyond the bound is not given, and Go ends the process then.
func lowerLimits() error {
	debug.SetMemoryLimit(limit.TransformMemoryBytesMax / 2) // collect in time
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit.TransformMemoryBytesMax, Max: limit.TransformMemoryBytesMax}); err != nil {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
