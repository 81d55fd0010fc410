package load

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that everything else falls through to
	"google.golang.org/grpc/mem"
)

// Encoded is a request that is already protobuf bytes. The buffers must not change until the call has been answered.
type Encoded struct {
	Buffers mem.BufferSlice
}

// Receiver reads what it needs from the bytes of a message. It must not keep them: they go back to gRPC's pool when Receive returns.
type Receiver interface {
	Receive(mem.BufferSlice) error
}

// RawCodec sends encoded bytes as they are and hands replies over undecoded, so that the generator's own cost stays far below the
// server's. Every other message goes through the ordinary codec.
type RawCodec struct {
	other encoding.CodecV2 // for everything else
}

// NewRawCodec makes the codec, for either side of a connection.
func NewRawCodec() RawCodec {
	return RawCodec{other: encoding.GetCodecV2("proto")}
}

// Name is the ordinary codec's: servers see no difference on the wire.
func (RawCodec) Name() string { return "proto" }

// Marshal returns the bytes of an encoded request, or encodes any other message.
func (c RawCodec) Marshal(message any) (mem.BufferSlice, error) {
	if e, ok := message.(*Encoded); ok {
		return e.Buffers, nil
	}
	buffers, err := c.other.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", message, err)
	}
	return buffers, nil
}

// Unmarshal lets a receiver look at the bytes, or decodes any other message.
func (c RawCodec) Unmarshal(data mem.BufferSlice, message any) error {
	if r, ok := message.(Receiver); ok {
		return r.Receive(data)
	}
	return c.other.Unmarshal(data, message)
}
