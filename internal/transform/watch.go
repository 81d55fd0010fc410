package transform

import (
	"sync"
	"syscall"
	"time"

	"github.com/dop251/goja"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// watched is the time limit on one call of a function. The call is over when limit.TransformTimeMax has passed and this process has used
// as much CPU time meanwhile: functions do nothing but compute, and one that waits for a busy machine has not had its time.
type watched struct {
	vm    *goja.Runtime
	began time.Duration // CPU time of this process

	mu    sync.Mutex
	timer *time.Timer
	over  bool // the runtime was told to stop
	ended bool
}

func watch(vm *goja.Runtime) *watched {
	w := &watched{vm: vm, began: CPUTime()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit.TransformTimeMax, w.look)
	return w
}

// look stops the runtime when the time is up, and otherwise looks again later.
func (w *watched) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	if left := limit.TransformTimeMax - (CPUTime() - w.began); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.over = true
	w.vm.Interrupt(errTooLong)
}

// end lifts the limit and tells whether the runtime had been told to stop.
func (w *watched) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
	return w.over
}

// CPUTime is what this process has used.
func CPUTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic("bug: transform: CPU time of this process: " + err.Error()) // only for a wrong argument
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
