package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // registers the codec for ordinary messages
	"google.golang.org/grpc/mem"
)

// Raw is a message whose bytes gRPC carries without decoding or encoding them, in either direction.
//
// A Raw that was received owns a reference to the transport's memory until Free. A Raw made by NewRaw or Reset owns a pooled buffer, to
// be filled by appending to Data; sending it passes the buffer to gRPC, which gives it back after the write, and leaves the Raw empty.
// A Raw with Data set by hand owns nothing, and can be sent again and again as long as Data does not change.
//
// It is for one goroutine at a time.
type Raw struct {
	Data []byte

	received mem.Buffer // that Data is, when it came from the transport in one piece
	pooled   *[]byte    // that Data was, when it came from the pool
}

// NewRaw is an empty message with room for capacity bytes; more can be appended.
func NewRaw(capacity int) *Raw {
	r := new(Raw)
	r.Reset(capacity)
	return r
}

// Reset frees what the Raw owns and makes it as NewRaw does, so that a stream needs one Raw only.
func (r *Raw) Reset(capacity int) {
	r.Free()
	r.pooled = buffers.Get(capacity)
	r.Data = (*r.pooled)[:0]
}

// Free gives back what the Raw owns and empties it. It may be called twice, and after sending.
func (r *Raw) Free() {
	if r.received != nil {
		r.received.Free()
	}
	if r.pooled != nil {
		buffers.Put(r.pooled)
	}
	*r = Raw{}
}

// Receive makes r the message that data holds.
func (r *Raw) Receive(data mem.BufferSlice) {
	r.Free()
	switch len(data) {
	case 0:
	case 1:
		data[0].Ref()
		r.received = data[0]
		r.Data = data[0].ReadOnlyData()
	default:
		r.pooled = buffers.Get(data.Len())
		data.CopyTo(*r.pooled)
		r.Data = *r.pooled
	}
}

// Decode decodes the message that r holds, as gRPC would have.
func (r *Raw) Decode(into any) error {
	return Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(r.Data)}, into)
}

// send turns r into buffers that gRPC frees after the write.
func (r *Raw) send() mem.BufferSlice {
	if len(r.Data) == 0 {
		r.Free()
		return nil
	}
	var b mem.Buffer
	switch {
	case r.received != nil:
		b, r.received = r.received, nil
	case r.pooled == nil:
		return mem.BufferSlice{mem.SliceBuffer(r.Data)}
	case cap(r.Data) == cap(*r.pooled):
		*r.pooled = r.Data
		b, r.pooled = mem.NewBuffer(r.pooled, &buffers), nil
	case cap(r.Data) > cap(*r.pooled):
		// Appending outgrew the pooled buffer: Free returns that one, and Data's memory is left to the garbage collector.
		b = mem.SliceBuffer(r.Data)
	default:
		// Data was cut at the front and is still part of the pooled buffer, which therefore must not be used again.
		b, r.pooled = mem.SliceBuffer(r.Data), nil
	}
	r.Free()
	return mem.BufferSlice{b}
}

// Checked is an ordinary message to receive into. gRPC makes a decoding error INTERNAL, which clients retry, although the mistake is
// theirs; a Checked takes the error aside, for the server to answer INVALID_ARGUMENT.
type Checked struct {
	Message any   // a proto.Message
	Err     error // an *InvalidError when the bytes received are none
}

// Receive decodes an ordinary message through a gRPC handler's decoding function (or a stream's RecvMsg). An *InvalidError is the
// client's mistake; any other error is gRPC's and is to be returned as it is.
func Receive(decode func(any) error, message any) error {
	c := Checked{Message: message}
	if err := decode(&c); err != nil {
		return err
	}
	return c.Err
}

// Codec is the codec of both servers and clients, named "proto": it carries *Raw unread, and leaves everything else to gRPC's own.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

type codec struct{ ordinary encoding.CodecV2 }

func (codec) Name() string { return proto.Name }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*Raw); ok {
		return r.send(), nil
	}
	return c.ordinary.Marshal(v)
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *Raw:
		v.Receive(data)
		return nil
	case *Checked:
		if err := c.ordinary.Unmarshal(data, v.Message); err != nil {
			v.Err = &InvalidError{RuleMalformed, fmt.Sprintf("Request contains an invalid argument: %v.", err)}
		}
		return nil
	default:
		return c.ordinary.Unmarshal(data, v)
	}
}
