package vfs

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// stalled is how much longer a sync takes, in nanoseconds: memory that a test has in common with the broker, or none.
var stalled = sync.OnceValue(func() *atomic.Int64 {
	name := os.Getenv("POSTHASTE_TEST_DISK")
	if name == "" {
		return new(atomic.Int64)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		panic("bug: " + err.Error())
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(unsafe.Sizeof(atomic.Int64{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic("bug: " + err.Error())
	}
	return (*atomic.Int64)(unsafe.Pointer(unsafe.SliceData(data)))
})

func stall() { time.Sleep(time.Duration(stalled().Load())) }
