package google

import (
	"bytes"
	"compress/gzip"
	"io"
	"sync"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// gunzip opens the messages that clients compressed. gRPC's own way would answer INTERNAL to bytes that are no gzip, which clients retry for
// ever, and would let a few kilobytes become limit.GRPCMessageBytesMax in each of any number of calls at once.
//
// Instead no more than limit.GunzipsMax messages are opened at a time, which is as many as processors can work on anyway, and what cannot be
// opened becomes bytes that every method refuses with INVALID_ARGUMENT: broken gzip is no encoding of anything, and what is too large has
// more bytes than a request may have.
type gunzip struct {
	slots   chan struct{}
	readers sync.Pool // of *gzip.Reader
}

func newGunzip() *gunzip { return &gunzip{slots: make(chan struct{}, limit.GunzipsMax)} }

// noEncoding is no message of Protocol Buffers: there is no field 0.
var noEncoding = []byte{0}

// Type is the name of the compression in gRPC's headers.
func (g *gunzip) Type() string { return "gzip" }

// Do opens one message. It has no errors.
func (g *gunzip) Do(compressed io.Reader) ([]byte, error) {
	g.slots <- struct{}{}
	defer func() { <-g.slots }()
	reader, is := g.readers.Get().(*gzip.Reader)
	if !is {
		reader = new(gzip.Reader)
	}
	defer g.readers.Put(reader)
	if err := reader.Reset(compressed); err != nil {
		return noEncoding, nil
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(io.LimitReader(reader, limit.RequestBytesMax+1)); err != nil {
		return noEncoding, nil
	}
	return plain.Bytes(), nil
}
