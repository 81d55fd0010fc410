package google

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// arrivalServer gives requests a short time, and serves x/Stay, which takes three times as long.
func arrivalServer(t *testing.T, within time.Duration) *grpc.ClientConn {
	t.Helper()
	s := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()), grpc.InTapHandle(await(within)))
	stay := rawMethod("Stay", func(_ *server, ctx context.Context, _ []byte) (*wire.Raw, error) {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(3 * within):
			return empty(), nil
		}
	})
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "x", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{stay}}, new(server))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }() // ends with Stop
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestRequestThatDoesNotComeEndsItsCall(t *testing.T) {
	conn := arrivalServer(t, 20*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/x/Stay")
	if err != nil {
		t.Fatal(err)
	}
	err = stream.RecvMsg(new(emptypb.Empty))
	if status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
		t.Errorf("a call without a request ends with %v, want DEADLINE_EXCEEDED of the server", err)
	}
}

func TestCallWhoseRequestIsThereMayTakeItsTime(t *testing.T) {
	conn := arrivalServer(t, 50*time.Millisecond)
	if err := conn.Invoke(context.Background(), "/x/Stay", new(emptypb.Empty), new(emptypb.Empty)); err != nil {
		t.Error(err)
	}
}

func TestClientThatGivesUpIsNotLate(t *testing.T) {
	parent, cancel := context.WithCancel(context.Background())
	ctx, err := await(time.Hour)(parent, nil)
	if err != nil || ctx.Err() != nil {
		t.Fatal(err, ctx.Err())
	}
	cancel()
	<-ctx.Done()
	if ctx.Err() != context.Canceled {
		t.Errorf("the context ended with %v", ctx.Err())
	}
	if err := receive(ctx, func(any) error { return nil }, nil); err != nil {
		t.Error(err)
	}
	if timer := ctx.(*arrival).timer; timer.Stop() {
		t.Error("the timer still runs after the request has arrived")
	}
}
