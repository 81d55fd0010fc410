package google

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// gunzip opens the messages that clients compressed. gRPC's own way would answer INTERNAL to bytes that are no gzip, which clients retry for
// ever, and would let a few kilobytes become megabytes in each of any number of calls at once.
//
// Here the memory comes from the budget, and no more than limit.GunzipsMax messages are opened at a time, which is as many as processors
// can work on anyway. It is safe for concurrent use.
type gunzip struct {
	slots   chan struct{}
	readers sync.Pool // of *gzip.Reader
}

func newGunzip() *gunzip { return &gunzip{slots: make(chan struct{}, limit.GunzipsMax)} }

// gzipName is the name of the compression in gRPC's headers.
const gzipName = "gzip"

// open replaces a request by what is in it.
func (g *gunzip) open(ctx context.Context, memory *budget.Memory, r *request) error {
	room, ok := announcedBytes(r.Data)
	switch {
	case !ok:
		return wire.ErrMalformed
	case room > limit.RequestBytesMax:
		return wire.RequestTooLarge(limit.RequestBytesMax)
	}
	room++ // so that the end is seen before growing
	if err := memory.Take(ctx, &r.taken, 2*room); err != nil {
		return err
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	reader, is := g.readers.Get().(*gzip.Reader)
	if !is {
		reader = new(gzip.Reader)
	}
	defer g.readers.Put(reader)
	if err := reader.Reset(bytes.NewReader(r.Data)); err != nil {
		return wire.ErrMalformed
	}
	plain := make([]byte, 0, room)
	for {
		n, err := reader.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		switch {
		case len(plain) > limit.RequestBytesMax:
			return wire.RequestTooLarge(limit.RequestBytesMax)
		case err == io.EOF:
			r.Free()
			r.Data = plain
			return nil
		case err != nil:
			return wire.ErrMalformed
		case len(plain) == cap(plain): // it consists of several, of which the last spoke for itself only
			if err := memory.Take(ctx, &r.taken, 2*(limit.RequestBytesMax+1-cap(plain))); err != nil {
				return err
			}
			plain = append(make([]byte, 0, limit.RequestBytesMax+1), plain...)
		}
	}
}

// A gzip begins with two bytes that say so, and ends with how many bytes were compressed, modulo 2^32. No gzip is shorter than gzipBytesMin.
const gzipBytesMin = 18

// announcedBytes is how large a gzip says that its content is; not ok for what is none.
func announcedBytes(compressed []byte) (bytes int, ok bool) {
	if len(compressed) < gzipBytesMin || compressed[0] != 0x1f || compressed[1] != 0x8b {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(compressed[len(compressed)-4:])), true
}
