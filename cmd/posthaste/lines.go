package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// lineBufferBytes is how much of the input is looked ahead, and so how large a batch of short lines may grow.
const lineBufferBytes = 1 << 20

// lines reads messages, one a line, and gathers them into batches without ever waiting: a batch ends when it is full or when the
// input has nothing more at hand. So a person's line goes out at once, and a file goes out in large batches.
type lines struct {
	reader *bufio.Reader
	number int // of the line read last
}

func newLines(r io.Reader) *lines { return &lines{reader: bufio.NewReaderSize(r, lineBufferBytes)} }

// feed sends batches until the input ends, ctx ends, or a line is too long. It does not come back from a read that waits; its caller
// leaves it behind when ctx ends, and the process with it.
func (l *lines) feed(ctx context.Context, overheadBytes int, to chan<- [][]byte) error {
	defer close(to)
	b := batch{overheadBytes: overheadBytes}
	for {
		line, err := l.next()
		if err != nil && err != io.EOF {
			return err
		}
		if len(line) > 0 {
			if full := b.add(line); full != nil && !send(ctx, to, full) {
				return ctx.Err()
			}
		}
		if (err == io.EOF || l.reader.Buffered() == 0) && len(b.data) > 0 && !send(ctx, to, b.take()) {
			return ctx.Err()
		}
		if err == io.EOF {
			return nil
		}
	}
}

// next is the next line without its end, which may be empty; the last one comes with io.EOF.
func (l *lines) next() ([]byte, error) {
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

// batch gathers the data of messages for one call.
type batch struct {
	overheadBytes int // of a message beside its data
	data          [][]byte
	bytes         int
}

// add takes a message and returns the batch before it, if that has no room for it.
func (b *batch) add(message []byte) (full [][]byte) {
	size := b.overheadBytes + len(message)
	if len(b.data) == limit.PublishMessagesMax || (len(b.data) > 0 && b.bytes+size > batchBytesAim) {
		full = b.take()
	}
	b.data = append(b.data, message)
	b.bytes += size
	return full
}

func (b *batch) take() [][]byte {
	taken := b.data
	b.data, b.bytes = nil, 0
	return taken
}

// send reports whether the batch was taken before ctx ended.
func send(ctx context.Context, to chan<- [][]byte, b [][]byte) bool {
	select {
	case to <- b:
		return true
	case <-ctx.Done():
		return false
	}
}
