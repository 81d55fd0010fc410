package rest

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// body is a request's body in memory, which counts against the budget until it is released.
type body struct {
	text     []byte
	memory   *budget.Memory
	taken    budget.Part
	patience time.Duration
}

// A body takes bodyBytesFirst before anything has come, and bodyGrowth times what has come afterwards: clients that announce much and
// send little hold little. From bodyBytesSerious on it takes what it announced: bodies that each hold a part and wait for the rest would
// keep each other waiting.
const (
	bodyBytesFirst   = 16 << 10
	bodyGrowth       = 4
	bodyBytesSerious = 256 << 10
)

var errBodyTooLarge = wire.RequestTooLarge(limit.RESTBodyBytesMax)

// read takes in the body of a request, as fast as memory and time allow and no larger than limit.RESTBodyBytesMax, compressed or not.
// Memory is taken as bytes come, not as they are announced.
func (b *body) read(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	if r.ContentLength > limit.RESTBodyBytesMax {
		return errBodyTooLarge
	}
	connection := http.NewResponseController(w)
	source := &paced{body: r.Body, connection: connection, began: time.Now(), patience: b.patience}
	if err := source.extend(); err != nil {
		return status.Errorf(codes.Internal, "set the time for a request's body: %v", err)
	}
	plain, err := decompressed(source, r.Header)
	if err != nil {
		return err
	}
	most := limit.RESTBodyBytesMax + 1 // one more than may come, so that the end is seen before growing
	if r.ContentLength > 0 && plain == io.Reader(source) {
		most = int(r.ContentLength) + 1
	}
	if err := b.fill(ctx, plain, most); err != nil {
		return err
	}
	// Without a deadline from here on: the server's own reading ahead, which notices when the client leaves, must not fail.
	if err := connection.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return status.Errorf(codes.Internal, "lift the time for a request's body: %v", err)
	}
	return nil
}

func (b *body) fill(ctx context.Context, source io.Reader, most int) error {
	if err := b.grow(ctx, min(bodyBytesFirst, most)); err != nil {
		return err
	}
	for {
		if len(b.text) == most {
			return errBodyTooLarge
		}
		if len(b.text) == cap(b.text) {
			size := bodyGrowth * cap(b.text)
			if size > bodyBytesSerious {
				size = most
			}
			if err := b.grow(ctx, min(size, most)); err != nil {
				return err
			}
		}
		n, err := source.Read(b.text[len(b.text):cap(b.text)])
		b.text = b.text[:len(b.text)+n]
		switch {
		case len(b.text) > limit.RESTBodyBytesMax:
			return errBodyTooLarge
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return status.Errorf(codes.DeadlineExceeded, "The request's body did not arrive within %v and a second for each %d bytes.",
				b.patience, limit.RESTBodyBytesPerSecondMin)
		case err != nil:
			return status.Errorf(codes.InvalidArgument, "The request's body cannot be read: %v.", err)
		}
	}
}

// grow gives the body room for size bytes, for which twice as much is taken: the encoded request grows to about the same size.
func (b *body) grow(ctx context.Context, size int) error {
	if err := b.memory.Take(ctx, &b.taken, 2*(size-cap(b.text))); err != nil {
		return err
	}
	b.text = append(make([]byte, 0, size), b.text...)[:len(b.text):size]
	return nil
}

func (b *body) release() {
	b.memory.GiveBack(&b.taken)
	b.text = nil
}

// paced reads a body from its connection, and gives it more time as it comes: a slow line is honest, a byte a second is not.
type paced struct {
	body       io.Reader
	connection *http.ResponseController
	began      time.Time
	patience   time.Duration // for the first bytes
	bytes      int           // read so far
	timed      int           // of them, when the time was last set
}

// Read reads from the body.
func (p *paced) Read(into []byte) (int, error) {
	n, err := p.body.Read(into)
	if p.bytes += n; p.bytes-p.timed >= limit.RESTBodyBytesPerSecondMin && err == nil {
		err = p.extend()
	}
	return n, err
}

// extend sets the time by which more must have come.
func (p *paced) extend() error {
	p.timed = p.bytes
	earned := time.Duration(p.bytes/limit.RESTBodyBytesPerSecondMin) * time.Second
	err := p.connection.SetReadDeadline(p.began.Add(p.patience + earned))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// decompressed is a body without its content encoding.
func decompressed(body io.Reader, header http.Header) (io.Reader, error) {
	switch encoding := strings.ToLower(header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(body)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "The request's body is not compressed with gzip, as its Content-Encoding says: %v.", err)
		}
		return plain, nil
	default:
		return nil, status.Errorf(codes.InvalidArgument, "The Content-Encoding %.50q is not supported; gzip is.", encoding)
	}
}
