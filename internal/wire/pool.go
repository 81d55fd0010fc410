package wire

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two. gRPC does not give back buffers of 1 KiB or less, so the smallest is above that; the largest holds any
// message of a client (limit.RequestBytesMax, limit.PullResponseBytesMax).
const (
	bufferBitsMin = 11
	bufferBitsMax = 24
)

// bufferPool is a mem.BufferPool that does not clear what it gives out, unlike gRPC's own: clearing costs more than scanning does.
// It is safe for concurrent use.
type bufferPool struct {
	sizes [bufferBitsMax + 1]sync.Pool // of *[]byte with a capacity of 1<<i or more, less than twice that; the first bufferBitsMin stay unused
}

// buffers is the memory that messages travel in, in both directions.
var buffers bufferPool

// Get is a buffer of the given length, with any content.
func (p *bufferPool) Get(length int) *[]byte {
	size := max(bits.Len(uint(max(length, 1)-1)), bufferBitsMin)
	if size > bufferBitsMax {
		b := make([]byte, length)
		return &b
	}
	b, ok := p.sizes[size].Get().(*[]byte)
	if !ok {
		fresh := make([]byte, length, 1<<size)
		return &fresh
	}
	*b = (*b)[:length]
	return b
}

// Put takes a buffer back. One that is too small or too large for the pool is left to the garbage collector.
func (p *bufferPool) Put(b *[]byte) {
	size := bits.Len(uint(cap(*b))) - 1
	if size < bufferBitsMin || size > bufferBitsMax {
		return
	}
	p.sizes[size].Put(b)
}
