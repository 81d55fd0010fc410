// Package batch gathers messages for publish calls.
package batch

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// lineBufferBytes is how much of the input is looked ahead, and so how large a batch of short lines may grow.
const lineBufferBytes = 1 << 20

// Lines reads messages, one a line, and gathers them into batches without ever waiting: a batch ends when it is full or when the
// input has nothing more at hand. So a person's line goes out at once, and a file goes out in large batches.
type Lines struct {
	reader *bufio.Reader
	number int // of the line read last
}

// NewLines reads from r.
func NewLines(r io.Reader) *Lines { return &Lines{reader: bufio.NewReaderSize(r, lineBufferBytes)} }

// Feed sends batches until the input ends, ctx ends, or a line is too long. It does not come back from a read that waits; its caller
// leaves it behind when ctx ends, and the process with it.
func (l *Lines) Feed(ctx context.Context, overheadBytes int, to chan<- [][]byte) error {
	defer close(to)
	b := Batch{OverheadBytes: overheadBytes}
	for {
		line, err := l.next()
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) > 0 {
			if full := b.Add(line); full != nil && !Send(ctx, to, full) {
				return ctx.Err()
			}
		}
		if (err == io.EOF || l.reader.Buffered() == 0) && len(b.data) > 0 && !Send(ctx, to, b.Take()) {
			return ctx.Err()
		}
		if err == io.EOF {
			return nil
		}
	}
}

// next is the next line without its end, which may be empty; the last one comes with io.EOF.
func (l *Lines) next() ([]byte, error) {
	l.number++
	var line []byte
	for {
		part, err := l.reader.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit.PublishRequestBytesMax {
			return nil, fmt.Errorf("line %d is longer than %d bytes, the most that one message can have", l.number, limit.PublishRequestBytesMax)
		}
		switch err {
		case nil:
			return line[:len(line)-1], nil
		case bufio.ErrBufferFull:
		case io.EOF:
			return line, io.EOF
		default:
			return nil, fmt.Errorf("read line %d: %w", l.number, err)
		}
	}
}

// batchBytesAim is where a batch is full, unless one message alone is larger: large enough to amortise a call, small enough for
// several to be in flight.
const batchBytesAim = 1 << 20

// Batch gathers the data of messages for one call.
type Batch struct {
	OverheadBytes int // of a message beside its data
	data          [][]byte
	bytes         int
}

// Add takes a message and returns the batch before it, if that has no room for it.
func (b *Batch) Add(message []byte) (full [][]byte) {
	size := b.OverheadBytes + len(message)
	if len(b.data) == limit.PublishMessagesMax || (len(b.data) > 0 && b.bytes+size > batchBytesAim) {
		full = b.Take()
	}
	b.data = append(b.data, message)
	b.bytes += size
	return full
}

// Take gives what is left and begins anew.
func (b *Batch) Take() [][]byte {
	taken := b.data
	b.data, b.bytes = nil, 0
	return taken
}

// Send reports whether the batch was taken before ctx ended.
func Send(ctx context.Context, to chan<- [][]byte, b [][]byte) bool {
	select {
	case to <- b:
		return true
	case <-ctx.Done():
		return false
	}
}
