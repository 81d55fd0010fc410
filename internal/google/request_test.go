package google

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// script is a stream that plays what it was given, and then ends or stays silent.
type script struct {
	bytes    []byte
	asked    int // bytes of messages that were asked for
	encoding string
	end      error         // nil: silence
	cut      chan struct{} // closed when the call is ended
	status   *status.Status
}

func (s *script) Method() string               { return "/x/Y" }
func (s *script) SetHeader(metadata.MD) error  { return nil }
func (s *script) SendHeader(metadata.MD) error { return nil }
func (s *script) SetTrailer(metadata.MD) error { return nil }
func (s *script) RecvCompress() string         { return s.encoding }

func (s *script) WriteStatus(with *status.Status) error {
	s.status = with
	close(s.cut)
	return nil
}

func (s *script) ReadMessageHeader(header []byte) error {
	if len(s.bytes) == 0 && s.end != nil {
		return s.end
	}
	err := s.take(header)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // as gRPC has it
	}
	return err
}

func (s *script) Read(n int) (mem.BufferSlice, error) {
	s.asked += n
	message := make([]byte, n)
	if err := s.take(message); err != nil {
		return nil, err
	}
	var pieces mem.BufferSlice
	for part := range slices.Chunk(message, 16<<10) {
		pieces = append(pieces, mem.SliceBuffer(part))
	}
	return pieces, nil
}

func (s *script) take(into []byte) error {
	if len(s.bytes) < len(into) {
		if s.end != nil {
			return s.end
		}
		<-s.cut
		return status.Error(codes.Canceled, "the call was ended")
	}
	s.bytes = s.bytes[copy(into, s.bytes):]
	return nil
}

// message is a message with the header that announces it.
func message(compressed byte, length int, text []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(length)), text...)
}

// played is an intake with a budget, and the context of a call that sends what is given and ends.
func played(t *testing.T, sent ...[]byte) (*intake, *script, context.Context) {
	t.Helper()
	s := &script{bytes: bytes.Join(sent, nil), end: io.EOF, cut: make(chan struct{})}
	i := newIntake(budget.New(budget.Options{Bytes: 64 << 20, Wait: time.Second, Waiting: 8}))
	return i, s, grpc.NewContextWithServerTransportStream(t.Context(), s)
}

func TestRequestsAreReadWhole(t *testing.T) {
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, pieceBytes, pieceBytes + 1, 3*pieceBytes + 5, limit.RequestBytesMax} {
		text := bytes.Repeat([]byte("0123456789a"), size/11+1)[:size]
		i, _, ctx := played(t, message(0, size, text))
		r, err := i.receive(ctx, nil)
		if err != nil || !bytes.Equal(r.Data, text) {
			t.Errorf("%d bytes: %v", size, err)
			continue
		}
		if taken := i.memory.Taken(); taken != 2*size {
			t.Errorf("%d bytes take %d of the budget", size, taken)
		}
		i.release(r)
		if taken := i.memory.Taken(); taken != 0 {
			t.Errorf("%d bytes are taken after the release", taken)
		}
	}
}

func TestRequestsThatAreNoneAreTheClientsMistake(t *testing.T) {
	plain, packed := []byte("plain"), zipped(t, []byte("plain"))
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // the checksum
	bomb := zipped(t, make([]byte, 3*limit.RequestBytesMax))
	lie := bytes.Clone(bomb)
	binary.LittleEndian.PutUint32(lie[len(lie)-4:], 10)
	for name, c := range map[string]struct {
		sent     []byte
		encoding string
		text     string
	}{
		"nothing":                      {nil, "", "The call has no request."},
		"half a header":                {[]byte{0, 0}, "", "The request ends before"},
		"half a message":               {message(0, 10, plain), "", "The request ends before"},
		"a header only":                {message(0, 10, nil), "", "The request ends before"},
		"half a large message":         {message(0, 3*pieceBytes, make([]byte, 2*pieceBytes)), "", "The request ends before"},
		"two messages":                 {append(message(0, 5, plain), message(0, 5, plain)...), "", "more than one request"},
		"too large":                    {message(0, limit.RequestBytesMax+1, nil), "", "Request payload size exceeds the limit: 10485760 bytes."},
		"far too large":                {message(0, 1<<32-1, nil), "", "Request payload size exceeds the limit: 10485760 bytes."},
		"compressed without a name":    {message(1, len(packed), packed), "", `compression 1 in a request whose grpc-encoding is ""`},
		"compressed as identity":       {message(1, len(packed), packed), "identity", "compression 1"},
		"a flag that is none":          {message(2, len(packed), packed), "gzip", "compression 2"},
		"compressed, empty":            {message(1, 0, nil), "gzip", "not a valid protocol buffer"},
		"compressed, no gzip":          {message(1, 5, plain), "gzip", "not a valid protocol buffer"},
		"compressed, cut":              {message(1, len(packed)-1, packed[:len(packed)-1]), "gzip", ""},
		"compressed, wrong checksum":   {message(1, len(flipped), flipped), "gzip", "not a valid protocol buffer"},
		"compressed, too large":        {message(1, len(bomb), bomb), "gzip", "Request payload size exceeds the limit: 10485760 bytes."},
		"compressed, larger than said": {message(1, len(lie), lie), "gzip", "Request payload size exceeds the limit: 10485760 bytes."},
	} {
		i, s, ctx := played(t, c.sent)
		s.encoding = c.encoding
		_, err := i.receive(ctx, nil)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want INVALID_ARGUMENT with %q", name, err, c.text)
		}
		if i.memory.Taken() != 0 {
			t.Errorf("%s: %d bytes are still taken", name, i.memory.Taken())
		}
	}
}

func TestWhatIsTooLargeIsNotRead(t *testing.T) {
	i, s, ctx := played(t, message(0, limit.RequestBytesMax+1, make([]byte, 1<<20)))
	if _, err := i.receive(ctx, nil); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	if s.asked != 0 {
		t.Errorf("%d bytes were asked for", s.asked)
	}
}

func TestCompressedRequestsAreOpened(t *testing.T) {
	large := bytes.Repeat([]byte("x"), limit.RequestBytesMax)
	for name, c := range map[string]struct{ sent, want []byte }{
		"nothing":  {zipped(t, nil), nil},
		"small":    {zipped(t, []byte("abc")), []byte("abc")},
		"large":    {zipped(t, large), large},
		"in parts": {append(zipped(t, large[:5000]), zipped(t, large[:10])...), large[:5010]},
	} {
		i, s, ctx := played(t, message(1, len(c.sent), c.sent))
		s.encoding = "gzip"
		r, err := i.receive(ctx, nil)
		if err != nil || !bytes.Equal(r.Data, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if taken := i.memory.Taken(); taken < 2*len(c.want) {
			t.Errorf("%s: %d bytes take %d of the budget", name, len(c.want), taken)
		}
		i.release(r)
		if taken := i.memory.Taken(); taken != 0 {
			t.Errorf("%s: %d bytes are still taken", name, taken)
		}
	}
}

func TestGunzipWorksOnFewMessagesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		packed := zipped(t, []byte("abc"))
		i, s, ctx := played(t, message(1, len(packed), packed))
		s.encoding = "gzip"
		for range limit.GunzipsMax {
			i.gunzip.slots <- struct{}{}
		}
		opened := make(chan error, 1)
		go func() {
			r, err := i.receive(ctx, nil)
			if err == nil {
				i.release(r)
			}
			opened <- err
		}()
		synctest.Wait()
		if len(opened) > 0 {
			t.Errorf("one more than limit.GunzipsMax was opened: %v", <-opened)
		}
		<-i.gunzip.slots
		if err := <-opened; err != nil {
			t.Error(err)
		}
		if len(i.gunzip.slots) != limit.GunzipsMax-1 {
			t.Errorf("%d slots are taken", len(i.gunzip.slots))
		}
	})
}

func TestARequestIsNotReadBeforeThereIsMemoryForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 9 << 20
		i, s, ctx := played(t, message(0, size, make([]byte, size)))
		var others budget.Part
		if err := i.memory.Take(ctx, &others, 64<<20); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() {
			_, err := i.receive(ctx, nil)
			got <- err
		}()
		synctest.Wait()
		if s.asked != 0 || len(got) > 0 {
			t.Errorf("%d bytes were asked for while all memory was taken", s.asked)
		}
		i.memory.GiveBack(&others)
		if err := <-got; err != nil || s.asked != size {
			t.Errorf("after memory was given back: %v, %d bytes were asked for", err, s.asked)
		}
	})
}

func TestWithoutMemoryARequestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s, ctx := played(t, message(0, 9<<20, nil))
		var others budget.Part
		if err := i.memory.Take(ctx, &others, 64<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := i.receive(ctx, nil); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "request-memory") {
			t.Errorf("%v, want RESOURCE_EXHAUSTED that names the setting", err)
		}
		if s.asked != 0 {
			t.Errorf("%d bytes were asked for", s.asked)
		}
	})
}

// A call that is ended for its slowness gives back what it holds: it waits for memory, for its message, or for the end.
func TestSlowRequestsAreEnded(t *testing.T) {
	for name, c := range map[string]struct {
		sent  []byte
		taken int // of the budget, by others
	}{
		"nothing comes":              {nil, 0},
		"the message stops":          {message(0, 1000, []byte("beginning")), 0},
		"a large one stops":          {message(0, 2*pieceBytes, make([]byte, pieceBytes+1)), 0},
		"the end does not come":      {message(0, 3, []byte("abc")), 0},
		"there is no memory for one": {message(0, 9<<20, nil), 64 << 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			i, s, ctx := played(t, c.sent)
			s.end = nil
			i.memory = budget.New(budget.Options{Bytes: 64 << 20, Wait: time.Hour, Waiting: 8})
			var others budget.Part
			if err := i.memory.Take(ctx, &others, c.taken); err != nil {
				t.Fatal(err)
			}
			before := i.memory.Taken()
			ctx, cancel := context.WithCancel(ctx)
			go func() { // as gRPC does
				<-s.cut
				cancel()
			}()
			began := time.Now()
			if _, err := i.receive(ctx, nil); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s: %v", name, err)
			}
			if age := time.Since(began); age < 26*time.Second || age > 30*time.Second || s.status.Code() != codes.DeadlineExceeded {
				t.Errorf("%s: ended after %v with %v", name, age, s.status)
			}
			if i.memory.Taken() != before {
				t.Errorf("%s: %d bytes are still taken", name, i.memory.Taken()-before)
			}
		})
	}
}

func TestAStreamMayBeSilentBetweenRequestsButNotWithinOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s, ctx := played(t, message(0, 3, []byte("abc")))
		s.end = nil
		r := i.open(ctx)
		if err := i.first(ctx, r); err != nil || string(r.Data) != "abc" {
			t.Fatalf("%q, %v", r.Data, err)
		}
		s.end = io.EOF
		if err := i.another(ctx, r); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		s.end, s.bytes = nil, message(0, 3, []byte("def"))
		time.Sleep(time.Hour)
		if err := i.another(ctx, r); err != nil || string(r.Data) != "def" {
			t.Fatalf("%q, %v", r.Data, err)
		}
		if taken := i.memory.Taken(); taken != 6 {
			t.Errorf("%d bytes are taken for the last request alone", taken)
		}
		s.bytes = message(0, 3, []byte("g"))
		if err := i.another(ctx, r); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a request that stops: %v", err)
		}
		i.release(r)
		if i.memory.Taken() != 0 {
			t.Errorf("%d bytes are still taken", i.memory.Taken())
		}
	})
}

func TestReadErrors(t *testing.T) {
	for want, err := range map[codes.Code]error{
		codes.Canceled: context.Canceled, codes.DeadlineExceeded: context.DeadlineExceeded, codes.Unavailable: errors.New("connection reset"),
		codes.ResourceExhausted: budget.ErrExhausted, codes.InvalidArgument: wire.ErrMalformed, codes.Aborted: status.Error(codes.Aborted, "x"),
	} {
		if got := readError(err); status.Code(got) != want {
			t.Errorf("%v becomes %v", err, got)
		}
	}
	if readError(nil) != nil || readError(io.EOF) != io.EOF {
		t.Error("no error, and the end, do not stay what they are")
	}
}

func TestReceivingASmallRequestCostsLittleMemory(t *testing.T) {
	text := message(0, 100, make([]byte, 100))
	i, s, ctx := played(t)
	read := func() {
		s.bytes = text
		r, err := i.receive(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		i.release(r)
	}
	const fromScript = 3 // the message, its slice and its buffer, which gRPC makes
	if n := testing.AllocsPerRun(1000, read); n > fromScript {
		t.Errorf("%v allocations, of which %d are not the intake's", n, fromScript)
	}
}

// serveStay serves x/Stay, which tells how large its request is and whether it was read by the intake. Requests have the given time.
func serveStay(t *testing.T, within time.Duration) (*grpc.ClientConn, *intake) {
	t.Helper()
	front := &server{intake: newIntake(budget.New(budget.Options{Bytes: 64 << 20, Wait: time.Second, Waiting: 8}))}
	front.intake.arrivals = newArrivals(clock.System(), within, within/10)
	s := grpc.NewServer(ServerOptions()...)
	stay := rawMethod("Stay", func(_ *server, ctx context.Context, request []byte) (*wire.Raw, error) {
		if sourceOf(ctx) == nil {
			return nil, status.Error(codes.FailedPrecondition, "gRPC's stream has not the methods that the intake needs")
		}
		return nil, status.Errorf(codes.OutOfRange, "%d", len(request))
	})
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "x", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{stay}}, front)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }() // ends with Stop
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, front.intake
}

func TestIntakeOverGRPC(t *testing.T) {
	conn, intake := serveStay(t, time.Minute)
	for _, c := range []struct {
		size    int
		options []grpc.CallOption
		want    codes.Code
		text    string
	}{
		{0, nil, codes.OutOfRange, "0"},
		{100, nil, codes.OutOfRange, "100"},
		{limit.GRPCWindowBytes + 1, nil, codes.OutOfRange, "262145"},
		{limit.RequestBytesMax, nil, codes.OutOfRange, "10485760"},
		{limit.RequestBytesMax, []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, codes.OutOfRange, "10485760"},
		{limit.RequestBytesMax + 1, nil, codes.InvalidArgument, "Request payload size exceeds the limit: 10485760 bytes."},
		{64 << 20, nil, codes.InvalidArgument, "Request payload size exceeds the limit: 10485760 bytes."},
		{11 << 20, []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, codes.InvalidArgument, "Request payload size exceeds the limit: 10485760 bytes."},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := conn.Invoke(ctx, "/x/Stay", &wire.Raw{Data: make([]byte, c.size)}, new(wire.Raw), c.options...)
		cancel()
		if status.Code(err) != c.want || status.Convert(err).Message() != c.text {
			t.Errorf("%d bytes: %v, want %v: %s", c.size, err, c.want, c.text)
		}
	}
	if intake.memory.Taken() != 0 {
		t.Errorf("%d bytes are still taken", intake.memory.Taken())
	}
}

func TestRequestThatDoesNotComeEndsItsCall(t *testing.T) {
	conn, _ := serveStay(t, 20*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/x/Stay")
	if err != nil {
		t.Fatal(err)
	}
	err = stream.RecvMsg(new(wire.Raw))
	if status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
		t.Errorf("a call without a request ends with %v, want DEADLINE_EXCEEDED of the server", err)
	}
}
