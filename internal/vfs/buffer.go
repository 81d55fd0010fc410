package vfs

// Buffer is aligned memory outside of Go's heap, where the operating system has it to give. A few large buffers have nothing for the
// garbage collector to follow, but on its heap they would count: it leaves as much memory free as is in use. The zero value is empty.
type Buffer struct {
	bytes  []byte
	mapped bool
}

// NewBuffer gives n zero bytes, at least one. They take up memory as far as they are written to, and must be freed.
func NewBuffer(n int) Buffer {
	if b := mapBytes(n); b != nil {
		return Buffer{bytes: b, mapped: true}
	}
	return Buffer{bytes: alignedBytes(n)}
}

// Bytes are the buffer's, until Free.
func (b *Buffer) Bytes() []byte { return b.bytes }

// Free gives the memory back. Nobody may refer to it any more: to touch it from here on can end the process.
func (b *Buffer) Free() {
	if b.mapped {
		unmapBytes(b.bytes)
	}
	*b = Buffer{}
}
