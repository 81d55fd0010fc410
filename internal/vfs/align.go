package vfs

import (
	"fmt"
	"unsafe"
)

func alignedBytes(n int) []byte {
	b := make([]byte, n+Align)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (Align - 1)
	return b[skip : skip+n : skip+n]
}

// mustAlign checks a write to a file that was opened for direct writing, on every file system alike: code that works only where
// direct I/O is missing would fail on its first good disk.
func mustAlign(name string, p []byte, off int64) {
	address := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	if off%Align != 0 || len(p)%Align != 0 || address%Align != 0 {
		panic(fmt.Sprintf("bug: unaligned write to %s: %d bytes at %d from address %#x", name, len(p), off, address))
	}
}
