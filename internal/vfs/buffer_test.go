package vfs

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"
)

func TestBuffersAreAlignedAndZero(t *testing.T) {
	for _, n := range []int{1, Align, Align + 1, 3*Align - 1, 4 << 20} {
		for range 3 {
			b := NewBuffer(n)
			p := b.Bytes()
			if len(p) != n || cap(p) != n {
				t.Fatalf("%d bytes, capacity %d, want %d", len(p), cap(p), n)
			}
			if address := uintptr(unsafe.Pointer(&p[0])); address%Align != 0 {
				t.Errorf("%d bytes at %#x", n, address)
			}
			if !bytes.Equal(p, make([]byte, n)) {
				t.Errorf("%d bytes are not zero", n)
			}
			for i := range p {
				p[i] = 0xff
			}
			b.Free()
			if b.Bytes() != nil {
				t.Error("a freed buffer has bytes")
			}
		}
	}
	var none Buffer
	none.Free()
}

func TestBuffersDoNotCountAsHeap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("buffers are on Go's heap here")
	}
	const size = 64 << 20
	heap := func() (stats runtime.MemStats) {
		runtime.ReadMemStats(&stats)
		return stats
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := heap()
	b := NewBuffer(size)
	defer b.Free()
	b.Bytes()[size-1] = 1
	if after := heap(); after.HeapSys > before.HeapSys+size/2 || after.HeapAlloc > before.HeapAlloc+size/2 {
		t.Errorf("a buffer of %d bytes made the heap grow by %d", size, after.HeapAlloc-before.HeapAlloc)
	}
}

// TestFilesTakeBuffers writes to a real file, past the page cache where that is possible.
func TestFilesTakeBuffers(t *testing.T) {
	name := t.TempDir() + "/file"
	b := NewBuffer(2 * Align)
	defer b.Free()
	copy(b.Bytes()[Align:], "from outside of the heap")
	f, err := OS().Create(name, 4*Align, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b.Bytes(), Align); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2*Align)
	if _, err := f.ReadAt(got, Align); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Error("the file holds something else")
	}
}
