package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// echo is a service with a raw unary method, a raw stream, and an ordinary method, as the server's fronts have them.
var echo = grpc.ServiceDesc{
	ServiceName: "Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Raw", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var req wire.Raw
			if err := decode(&req); err != nil {
				return nil, err
			}
			defer req.Free()
			resp := wire.NewRaw(len(req.Data))
			resp.Data = append(resp.Data, req.Data...)
			return resp, nil
		}},
		{MethodName: "Ordinary", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var topic pubsubpb.Topic
			err := wire.Receive(decode, &topic)
			if invalid := (*wire.InvalidError)(nil); errors.As(err, &invalid) {
				return nil, status.Error(codes.InvalidArgument, invalid.Text)
			}
			return &topic, err
		}},
	},
	Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
		var req, resp wire.Raw
		defer req.Free()
		for {
			if err := stream.RecvMsg(&req); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			resp.Reset(len(req.Data) / 2)
			resp.Data = append(resp.Data, req.Data...)
			if err := stream.SendMsg(&resp); err != nil {
				return err
			}
		}
	}}},
}

func dialEcho(t *testing.T) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()), grpc.MaxRecvMsgSize(20<<20))
	server.RegisterService(&echo, nil)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:echo",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(wire.Codec()), grpc.MaxCallRecvMsgSize(20<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		serving.Wait()
	})
	return conn
}

// sizes cross gRPC's frame size and the pool's size classes.
var sizes = []int{1, 100, 2000, 16_379, 16_384, 50_000, 1 << 20, 0, 3 << 20, 7}

func TestRawTravelsThroughGRPC(t *testing.T) {
	conn := dialEcho(t)
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			stream, err := conn.NewStream(t.Context(), &echo.Streams[0], "/Echo/Stream")
			if err != nil {
				t.Error(err)
				return
			}
			var resp wire.Raw
			defer resp.Free()
			for round, size := range sizes {
				want := bytes.Repeat([]byte{byte(caller), byte(round), 3}, size)
				if err := conn.Invoke(t.Context(), "/Echo/Raw", &wire.Raw{Data: want}, &resp); err != nil || !bytes.Equal(resp.Data, want) {
					t.Errorf("call of %d bytes: %v, %d bytes come back", len(want), err, len(resp.Data))
				}
				if err := stream.SendMsg(&wire.Raw{Data: want}); err != nil {
					t.Errorf("stream, %d bytes: %v", len(want), err)
				}
				if err := stream.RecvMsg(&resp); err != nil || !bytes.Equal(resp.Data, want) {
					t.Errorf("stream, %d bytes: %v, %d bytes come back", len(want), err, len(resp.Data))
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := stream.RecvMsg(&resp); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ends with %v", err)
			}
		})
	}
	callers.Wait()
}

func TestMalformedOrdinaryRequestIsTheClientsMistake(t *testing.T) {
	conn := dialEcho(t)
	var topic pubsubpb.Topic
	if err := conn.Invoke(t.Context(), "/Echo/Ordinary", &wire.Raw{Data: textField(1, "name")}, &topic); err != nil || topic.Name != "name" {
		t.Errorf("a good request: %v, name %q", err, topic.Name)
	}
	for _, bad := range [][]byte{{0xff}, textField(1, "\xff")} {
		if err := conn.Invoke(t.Context(), "/Echo/Ordinary", &wire.Raw{Data: bad}, &topic); status.Code(err) != codes.InvalidArgument {
			t.Errorf("request %x: %v, want INVALID_ARGUMENT", bad, err)
		}
	}
}
