// Package sandbox runs message transforms in processes of their own, so that no function can take the broker down with it. A function that
// uses too much memory, or that a built-in of the engine keeps from being interrupted, costs its process: the message at hand fails, and
// the next one gets a new process.
//
//	broker ──Run──▶ Pool ──pipe──▶ Serve (the same binary, started again) ─▶ transform.Local
//
// A process has no file but its two pipes, and ends when they are closed.
package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/posthaste-io/posthaste/internal/transform"
)

// Argument is the only argument of a process that is to call Serve.
const Argument = "transform-worker"

const (
	// chunkMessagesMax is how many messages travel at a time.
	chunkMessagesMax = 16
	// chunkBytesAim is how many bytes of new messages travel back at a time, and one message more.
	chunkBytesAim = 8 << 20
	// frameBytesMax bounds a frame: a chunk of the largest messages, and what surrounds them.
	frameBytesMax = 256 << 20
)

// A frame is its length (4 bytes, big endian) and that many bytes. Requests and answers, v an unsigned varint, s a varint length with
// that many bytes:
//
//	run     op=1 v:chain v:whole s:spec v:count (s:message v:id v:time)*
//	outcomes     v:count (v:kind s:text)*         fewer than were asked for when they are large: ask again for the rest
//	check   op=2 s:spec
//	fault        s:text                           empty: none
const (
	opRun   = 1
	opCheck = 2
)

// What became of a message.
const (
	kindChanged = 0
	kindDropped = 1
	kindFailed  = 2
	kindSkipped = 3
)

var errFrame = errors.New("malformed frame")

// sendFrame writes a frame whose first four bytes were left free for its length.
func sendFrame(w io.Writer, frame []byte) error {
	size := len(frame) - 4
	if size > frameBytesMax {
		return fmt.Errorf("a frame of %d bytes is too large", size)
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	_, err := w.Write(frame)
	return err
}

// readFrame reads a frame into buf, or into a larger one.
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > frameBytesMax {
		return buf, errFrame
	}
	if cap(buf) < int(size) {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err := io.ReadFull(r, buf)
	return buf, err
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// fields takes values from the front of a frame; after a malformed one it stays bad.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) number() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.bad, f.rest = true, nil
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) bytes() []byte {
	n := f.number()
	if n > uint64(len(f.rest)) {
		f.bad, f.rest = true, nil
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func appendRun(dst []byte, c *transform.Chain, spec []byte, in []transform.Input) []byte {
	dst = binary.AppendUvarint(append(dst, opRun), c.Number)
	whole := uint64(0)
	if c.Whole {
		whole = 1
	}
	dst = appendBytes(binary.AppendUvarint(dst, whole), spec)
	dst = binary.AppendUvarint(dst, uint64(len(in)))
	for i := range in {
		dst = appendBytes(dst, in[i].Message)
		dst = binary.AppendUvarint(dst, in[i].ID)
		dst = binary.AppendUvarint(dst, uint64(in[i].Time))
	}
	return dst
}

func appendOutcome(dst []byte, o *transform.Outcome) []byte {
	switch {
	case o.Failure != "":
		return appendBytes(append(dst, kindFailed), []byte(o.Failure))
	case o.Dropped:
		return appendBytes(append(dst, kindDropped), nil)
	case o.Message == nil:
		return appendBytes(append(dst, kindSkipped), nil)
	}
	return appendBytes(append(dst, kindChanged), o.Message)
}

// parseOutcomes reads at most most outcomes. They alias the frame.
func parseOutcomes(frame []byte, most int) ([]transform.Outcome, error) {
	f := fields{rest: frame}
	count := f.number()
	if f.bad || count == 0 || count > uint64(most) {
		return nil, errFrame
	}
	out := make([]transform.Outcome, count)
	for i := range out {
		kind, text := f.number(), f.bytes()
		switch kind {
		case kindChanged:
			out[i].Message = text
		case kindDropped:
			out[i].Dropped = true
		case kindFailed:
			out[i].Failure = string(text)
		case kindSkipped:
		default:
			f.bad = true
		}
	}
	if f.bad || len(f.rest) > 0 {
		return nil, errFrame
	}
	return out, nil
}
