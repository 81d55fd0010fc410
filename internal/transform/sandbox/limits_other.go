//go:build !linux

package sandbox

import (
	"runtime/debug"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// lowerLimits asks for little memory. This system has no limit that could be relied on.
func lowerLimits() error {
	debug.SetMemoryLimit(limit.TransformMemoryBytesMax / 2)
	return nil
}
