// Package google speaks google.pubsub.v1 and v1beta2 over gRPC: it translates requests into calls of packages broker and delivery and back.
//
// The hot methods (Publish, Pull, StreamingPull, Acknowledge, ModifyAckDeadline) carry bytes that gRPC does not decode; package wire
// scans them. All others go the ordinary way. A request that is not a valid encoding is the client's mistake in both: it gets
// INVALID_ARGUMENT, where gRPC's generated code would say INTERNAL, which clients retry for ever.
package google

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // publishers may compress their requests
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/broker"
	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// server is what the methods work on.
type server struct {
	broker *broker.Broker
	intake *intake
	large  narrow // large publishes
}

// ServerOptions are the gRPC settings that the services rely on.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(wire.Codec()),
		grpc.MaxSendMsgSize(limit.GRPCMessageBytesMax),
		// What a stream may send before anybody reads: the intake asks for more when it has memory for it. gRPC's default of 64 KiB would
		// make publishers of common sizes wait for that.
		grpc.InitialWindowSize(limit.GRPCWindowBytes),
		grpc.InitialConnWindowSize(16 << 20),
		grpc.ReadBufferSize(128 << 10),
		grpc.WriteBufferSize(128 << 10),
		// Goroutines that are used again keep the stack that a call needs; growing it for each call costs a fifth of a small publish.
		grpc.NumStreamWorkers(256),
		grpc.MaxConcurrentStreams(limit.GRPCStreamsMax),
		grpc.MaxHeaderListSize(limit.GRPCHeaderBytesMax),
		grpc.ConnectionTimeout(limit.GRPCHandshakeTimeMax),
		// Clients ping idle connections.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: limit.GRPCPingEveryMin, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: limit.GRPCQuietTimeMax, Timeout: limit.GRPCPongTimeMax,
			MaxConnectionIdle: limit.GRPCIdleTimeMax, MaxConnectionAge: limit.GRPCConnectionAgeMax,
		}),
	}
}

// Register makes the services of google.pubsub.v1, google.iam.v1.IAMPolicy and the tester of message transforms, available on s. Requests take
// their memory from the budget.
func Register(s grpc.ServiceRegistrar, b *broker.Broker, memory *budget.Memory) {
	front := &server{broker: b, intake: newIntake(memory), large: make(narrow, limit.PublishLargeAtOnceMax)}
	s.RegisterService(&publisher, front)
	s.RegisterService(&subscriber, front)
	s.RegisterService(&schemaService, front)
	s.RegisterService(&accessPolicy, front)
	s.RegisterService(&transformTester, front)
	s.RegisterService(olderService(&publisher), front)
	s.RegisterService(olderService(&subscriber), front)
}

// method describes a unary method whose messages are decoded in the ordinary way.
func method[Request, Response any](name string, serve func(*server, context.Context, *Request) (*Response, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		s := srv.(*server)
		received, err := s.intake.receive(ctx, decode)
		if err != nil {
			return nil, err
		}
		defer s.intake.release(received)
		request := new(Request)
		if err := wire.Receive(received.Decode, request); err != nil {
			return nil, refusal(err)
		}
		response, err := serve(s, ctx, request)
		if err != nil {
			return nil, err // not a typed nil inside an interface
		}
		return response, nil
	}}
}

// rawMethod describes a unary method that reads and writes bytes.
func rawMethod(name string, serve func(*server, context.Context, []byte) (*wire.Raw, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		s := srv.(*server)
		request, err := s.intake.receive(ctx, decode)
		if err != nil {
			return nil, err
		}
		defer s.intake.release(request)
		response, err := serve(s, ctx, request.Data)
		if err != nil {
			return nil, refusal(err)
		}
		return response, nil
	}}
}

// refusal turns a scanner's error into a status; others are statuses already.
func refusal(err error) error {
	var invalid *wire.InvalidError
	if errors.As(err, &invalid) {
		return status.Error(codes.InvalidArgument, invalid.Text)
	}
	return err
}

// empty is a google.protobuf.Empty, and any response without a field set.
func empty() *wire.Raw { return &wire.Raw{} }
