package google

import (
	"context"
	"slices"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/posthaste-io/posthaste/internal/google/v1beta2pb"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// google.pubsub.v1beta2 is served by the methods of v1, on the same resources. Its messages are those of v1 with fewer fields, under the
// same numbers; so a message of one version becomes one of the other by leaving out, from its encoding, the fields that v1beta2 does not
// have. Requests lose them on the way in, so that they have no effect, and responses on the way out. The one request that differs is
// ModifyAckDeadline's.

// olderService is the v1beta2 form of a service of v1.
func olderService(now *grpc.ServiceDesc) *grpc.ServiceDesc {
	file := v1beta2pb.File_v1beta2pb_pubsub_proto
	definition := file.Services().ByName(protoreflect.FullName(now.ServiceName).Name())
	if definition == nil {
		panic("bug: v1beta2 has no service " + now.ServiceName)
	}
	older := &grpc.ServiceDesc{ServiceName: string(definition.FullName()), HandlerType: now.HandlerType, Metadata: file.Path()}
	for i := range definition.Methods().Len() {
		m := definition.Methods().Get(i)
		at := slices.IndexFunc(now.Methods, func(d grpc.MethodDesc) bool { return d.MethodName == string(m.Name()) })
		if at < 0 {
			panic("bug: v1 has no method " + string(m.Name()))
		}
		older.Methods = append(older.Methods, olderMethod(&now.Methods[at], typeOf(m.Input()), typeOf(m.Output())))
	}
	return older
}

func typeOf(m protoreflect.MessageDescriptor) protoreflect.MessageType {
	found, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil {
		panic("bug: no generated code for " + string(m.FullName()))
	}
	return found
}

// olderMethod wraps a method of v1.
func olderMethod(now *grpc.MethodDesc, request, response protoreflect.MessageType) grpc.MethodDesc {
	handle := func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		intake := srv.(*server).intake
		received, err := intake.receive(ctx, decode)
		if err != nil {
			return nil, err
		}
		defer intake.release(received)
		in, err := older(received.Data, request)
		if err != nil {
			return nil, refusal(wire.ErrMalformed)
		}
		encoded := encode(newer(in))
		decoded := grpc.NewContextWithServerTransportStream(ctx, nil) // the request was read already
		answer, err := now.Handler(srv, decoded, func(into any) error {
			return wire.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, into)
		}, interceptor)
		if err != nil {
			return nil, err
		}
		buffers, err := wire.Codec().Marshal(answer)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "a response of v1 cannot be encoded: %v", err)
		}
		defer buffers.Free()
		out, err := older(buffers.Materialize(), response)
		if err != nil {
			return nil, status.Errorf(codes.Internal, "a response of v1 cannot be one of v1beta2: %v", err)
		}
		hideTopics(answer, out)
		return out, nil
	}
	return grpc.MethodDesc{MethodName: now.MethodName, Handler: handle}
}

// older reads an encoding as a message of v1beta2, without the fields that it does not have.
func older(encoded []byte, kind protoreflect.MessageType) (proto.Message, error) {
	message := kind.New().Interface()
	return message, proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(encoded, message)
}

// hideTopics takes the topics of detached subscriptions out of a response, given its form in v1. Without a field detached, a client of
// v1beta2 knows an attached subscription by its having a topic.
func hideTopics(answer any, out proto.Message) {
	switch now := answer.(type) {
	case *pubsubpb.Subscription:
		if now.Detached {
			out.(*v1beta2pb.Subscription).Topic = ""
		}
	case *pubsubpb.ListSubscriptionsResponse:
		for i, s := range now.Subscriptions {
			if s.Detached {
				out.(*v1beta2pb.ListSubscriptionsResponse).Subscriptions[i].Topic = ""
			}
		}
	}
}

// newer is a request that v1 understands.
func newer(request proto.Message) proto.Message {
	single, is := request.(*v1beta2pb.ModifyAckDeadlineRequest)
	if !is {
		return request
	}
	list := &pubsubpb.ModifyAckDeadlineRequest{Subscription: single.Subscription, AckDeadlineSeconds: single.AckDeadlineSeconds}
	if single.AckId != "" {
		list.AckIds = []string{single.AckId}
	}
	return list
}

func encode(m proto.Message) []byte {
	encoded, err := proto.Marshal(m)
	if err != nil {
		panic("bug: a message that was decoded cannot be encoded: " + err.Error())
	}
	return encoded
}
