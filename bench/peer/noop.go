package peer

import (
	"context"
	"fmt"
	"io"
	"net"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/posthaste-io/posthaste/bench/load"
)

const (
	noopGenerated = "noop-generated"
	noopRaw       = "noop-raw"

	noopMessageID       = "1234567890123456" // as long as the ids of a real server
	noopMessagesMax     = 1000
	noopWindowBytes     = 4 << 20
	noopBufferBytes     = 128 << 10
	requestMessageField = 2 // PublishRequest.messages
	replyIDField        = 1 // PublishResponse.message_ids
)

// StartNoopGenerated starts the yardstick N: a gRPC server with the generated code that decodes each PublishRequest, keeps nothing,
// and answers with as many message ids.
func StartNoopGenerated() (*Process, error) { return startChild("N", noopGenerated) }

// StartNoopRaw starts the yardsticks raw and n: the same without decoding, the ceiling of the protocol in this language.
func StartNoopRaw() (*Process, error) { return startChild("raw", noopRaw) }

// serveNoop tunes the no-op server like the generator's side of the connection: a slow yardstick would flatter.
func serveNoop(ctx context.Context, kind string, stdout io.Writer) error {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(32 << 20),
		grpc.InitialWindowSize(noopWindowBytes),
		grpc.InitialConnWindowSize(2 * noopWindowBytes),
		grpc.ReadBufferSize(noopBufferBytes),
		grpc.WriteBufferSize(noopBufferBytes),
	}
	if kind == noopRaw {
		options = append(options, grpc.ForceServerCodecV2(load.NewRawCodec()))
	}
	server := grpc.NewServer(options...)
	if kind == noopRaw {
		server.RegisterService(rawPublisher(), nil)
	} else {
		pubsubpb.RegisterPublisherServer(server, newGeneratedPublisher())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if _, err := fmt.Fprintf(stdout, "%s%s\n", listeningPrefix, listener.Addr()); err != nil {
		return fmt.Errorf("%s: say the address: %w", kind, err)
	}
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	return server.Serve(listener)
}

type generatedPublisher struct {
	pubsubpb.UnimplementedPublisherServer
	ids []string
}

func newGeneratedPublisher() *generatedPublisher {
	p := &generatedPublisher{ids: make([]string, noopMessagesMax)}
	for i := range p.ids {
		p.ids[i] = noopMessageID
	}
	return p
}

// Publish answers with one id a message.
func (p *generatedPublisher) Publish(_ context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	n := len(r.Messages)
	if n > len(p.ids) {
		return nil, fmt.Errorf("%d messages in one call, at most %d", n, len(p.ids))
	}
	return &pubsubpb.PublishResponse{MessageIds: p.ids[:n]}, nil
}

// messageCounter is a request of which only the number of messages is looked at.
type messageCounter struct {
	messages int
}

// Receive counts.
func (m *messageCounter) Receive(data mem.BufferSlice) error {
	count, err := load.CountFields(data, requestMessageField)
	m.messages = count
	return err
}

// rawPublisher answers from one encoded reply of noopMessagesMax ids, cut to length: all ids are equally long.
func rawPublisher() *grpc.ServiceDesc {
	one := protowire.AppendString(protowire.AppendTag(nil, replyIDField, protowire.BytesType), noopMessageID)
	var all []byte
	for range noopMessagesMax {
		all = append(all, one...)
	}
	publish := func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		request := &messageCounter{}
		if err := decode(request); err != nil {
			return nil, err
		}
		if request.messages > noopMessagesMax {
			return nil, fmt.Errorf("%d messages in one call, at most %d", request.messages, noopMessagesMax)
		}
		reply := mem.SliceBuffer(all[:request.messages*len(one)])
		return &load.Encoded{Buffers: mem.BufferSlice{reply}}, nil
	}
	return &grpc.ServiceDesc{
		ServiceName: "google.pubsub.v1.Publisher",
		Methods:     []grpc.MethodDesc{{MethodName: "Publish", Handler: publish}},
	}
}
