package wire

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two up to a megabyte, and in whole megabytes above that, where a power of two would be a waste. gRPC does not
// give back buffers of 1 KiB or less, so the smallest is above that; the largest holds any message of a client (limit.RequestBytesMax,
// limit.PullResponseBytesMax).
const (
	bufferBitsMin       = 11
	bufferBitsMax       = 20
	bufferMegabytesMax  = 16
	bufferBytesMegabyte = 1 << bufferBitsMax
)

// bufferPool is a mem.BufferPool that does not clear what it gives out, unlike gRPC's own: clearing costs more than scanning does.
// It is safe for concurrent use.
type bufferPool struct {
	sizes     [bufferBitsMax + 1]sync.Pool      // of *[]byte with a capacity of 1<<i or more, less than twice that; the first bufferBitsMin stay unused
	megabytes [bufferMegabytesMax + 1]sync.Pool // of *[]byte with a capacity of i megabytes or more, less than one more; the first two stay unused
}

// buffers is the memory that messages travel in, in both directions.
var buffers bufferPool

// Get is a buffer of the given length, with any content.
func (p *bufferPool) Get(length int) *[]byte {
	var pool *sync.Pool
	var size int
	if length <= bufferBytesMegabyte {
		bit := max(bits.Len(uint(max(length, 1)-1)), bufferBitsMin)
		pool, size = &p.sizes[bit], 1<<bit
	} else {
		megabytes := (length + bufferBytesMegabyte - 1) / bufferBytesMegabyte
		if megabytes > bufferMegabytesMax {
			b := make([]byte, length)
			return &b
		}
		pool, size = &p.megabytes[megabytes], megabytes*bufferBytesMegabyte
	}
	b, ok := pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, length, size)
		return &fresh
	}
	*b = (*b)[:length]
	return b
}

// Put takes a buffer back. One that is too small or too large for the pool is left to the garbage collector.
func (p *bufferPool) Put(b *[]byte) {
	if megabytes := cap(*b) / bufferBytesMegabyte; megabytes >= 2 {
		if megabytes <= bufferMegabytesMax {
			p.megabytes[megabytes].Put(b)
		}
		return
	}
	if bit := bits.Len(uint(cap(*b))) - 1; bit >= bufferBitsMin {
		p.sizes[min(bit, bufferBitsMax)].Put(b)
	}
}
