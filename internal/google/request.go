package google

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// intake reads requests, of calls and of streams. gRPC's own reading takes in a message of any allowed size, from as many clients as there
// are, before anybody is asked. The intake reads the length that stands before each message, and takes memory from the budget before it
// lets the rest come: until then HTTP/2's flow control keeps it with the client, but for limit.GRPCWindowBytes. What is too large is
// refused by its length alone.
//
// It is safe for concurrent use.
type intake struct {
	memory   *budget.Memory
	arrivals *arrivals
	gunzip   *gunzip
	requests sync.Pool // of *request
}

func newIntake(memory *budget.Memory) *intake {
	return &intake{
		memory: memory, gunzip: newGunzip(),
		arrivals: newArrivals(clock.System(), limit.GRPCRequestTimeMax, limit.GRPCRequestCheckEvery),
	}
}

// request is a request that is on its way, or was read and not yet released.
type request struct {
	wire.Raw
	arrival arrival
	source  source
	taken   budget.Part
	header  [headerBytes]byte
}

// A message on the wire:
//
//	┌────────────┬────────────┬─────────┐
//	│ compressed │ length u32 │ message │
//	└────────────┴────────────┴─────────┘
const headerBytes = 5

// pieceBytes is how much of a message is asked for at a time: a larger one is put together as it comes, so that its pieces need not be
// in memory all at once besides it.
const pieceBytes = 1 << 20

// source is what a call's or a stream's requests are read from: gRPC's own stream, on which its RecvMsg rests.
type source interface {
	ReadMessageHeader(header []byte) error
	Read(bytes int) (mem.BufferSlice, error)
	RecvCompress() string
	WriteStatus(*status.Status) error
}

// sourceOf finds the stream of a call that came over gRPC; nil for any other.
func sourceOf(ctx context.Context) source {
	s, _ := grpc.ServerTransportStreamFromContext(ctx).(source)
	return s
}

// receive reads a call's request, which decode does where it comes from elsewhere. The request is released after the answer.
func (t *intake) receive(ctx context.Context, decode func(any) error) (*request, error) {
	r := t.open(ctx)
	var err error
	if r.source == nil {
		err = decode(&r.Raw)
	} else {
		t.arrivals.await(&r.arrival)
		if err = r.source.ReadMessageHeader(r.header[:]); err == nil {
			if err = t.read(ctx, r); err == nil {
				err = r.finish()
			}
		}
		if !t.arrivals.arrived(&r.arrival) {
			err = errLate
		}
	}
	if errors.Is(err, io.EOF) {
		err = status.Error(codes.InvalidArgument, "The call has no request.")
	}
	if err != nil {
		t.release(r)
		return nil, readError(err)
	}
	return r, nil
}

// open prepares to read requests, one after the other.
func (t *intake) open(ctx context.Context) *request {
	r, is := t.requests.Get().(*request)
	if !is {
		r = new(request)
	}
	r.source = sourceOf(ctx)
	r.arrival.call = r.source
	return r
}

// first reads the first request of a stream, for which it has as much time as a call.
func (t *intake) first(ctx context.Context, r *request) error {
	t.arrivals.await(&r.arrival)
	err := r.source.ReadMessageHeader(r.header[:])
	if err == nil {
		err = t.read(ctx, r)
	}
	if !t.arrivals.arrived(&r.arrival) {
		err = errLate
	}
	return readError(err)
}

// another reads a further request of a stream, in place of the last. It may begin at any time; then its time runs.
func (t *intake) another(ctx context.Context, r *request) error {
	t.free(r)
	err := r.source.ReadMessageHeader(r.header[:])
	if err == nil {
		r.arrival.call = r.source
		t.arrivals.await(&r.arrival)
		err = t.read(ctx, r)
		if !t.arrivals.arrived(&r.arrival) {
			err = errLate
		}
	}
	return readError(err)
}

// read reads the message whose header was read.
func (t *intake) read(ctx context.Context, r *request) error {
	length := int(binary.BigEndian.Uint32(r.header[1:]))
	if length > limit.RequestBytesMax {
		return wire.RequestTooLarge(limit.RequestBytesMax)
	}
	if err := t.memory.Take(ctx, &r.taken, 2*length); err != nil { // as it came, and as it is rewritten or decoded
		return err
	}
	if err := r.fill(length); err != nil {
		return err
	}
	switch encoding := r.source.RecvCompress(); {
	case r.header[0] == 0:
		return nil
	case r.header[0] == 1 && encoding == gzipName: // gRPC refuses encodings that it does not know
		return t.gunzip.open(ctx, t.memory, r)
	default:
		return status.Errorf(codes.InvalidArgument, "A message with compression %d in a request whose grpc-encoding is %q.", r.header[0], encoding)
	}
}

// fill reads the message itself.
func (r *request) fill(length int) error {
	if length <= pieceBytes {
		pieces, err := r.source.Read(length)
		if err != nil {
			return endedEarly(err)
		}
		r.Receive(pieces)
		pieces.Free()
		return nil
	}
	r.Reset(length)
	for len(r.Data) < length {
		pieces, err := r.source.Read(min(length-len(r.Data), pieceBytes))
		if err != nil {
			return endedEarly(err)
		}
		for _, piece := range pieces {
			r.Data = append(r.Data, piece.ReadOnlyData()...)
		}
		pieces.Free()
	}
	return nil
}

// finish reads the end of a call's requests behind the only one.
func (r *request) finish() error {
	switch err := r.source.ReadMessageHeader(r.header[:]); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return status.Error(codes.InvalidArgument, "The call has more than one request.")
	default:
		return err
	}
}

// free gives back what a request holds.
func (t *intake) free(r *request) {
	r.Free()
	t.memory.GiveBack(&r.taken)
}

// release is the end of a request.
func (t *intake) release(r *request) {
	t.free(r)
	r.source, r.arrival.call = nil, nil
	t.requests.Put(r)
}

// endedEarly makes the end of a stream within a message different from one between messages.
func endedEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readError is the status for what went wrong with reading; io.EOF stays what it is.
func readError(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return status.Error(codes.InvalidArgument, "The request ends before its message does.")
	}
	if _, is := status.FromError(refusal(err)); is {
		return refusal(err)
	}
	if contextual := status.FromContextError(err); contextual.Code() != codes.Unknown {
		return contextual.Err()
	}
	return status.Errorf(codes.Unavailable, "The request cannot be read: %v.", err)
}
