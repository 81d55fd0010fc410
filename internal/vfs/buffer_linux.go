package vfs

import (
	"fmt"
	"syscall"
)

// mapBytes gives zero bytes of the operating system's: nil when it has none to give.
func mapBytes(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	return b
}

func unmapBytes(b []byte) {
	if err := syscall.Munmap(b); err != nil {
		panic(fmt.Sprintf("bug: unmap %d bytes: %v", len(b), err))
	}
}
