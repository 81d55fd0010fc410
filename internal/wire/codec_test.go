package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// countingPool knows how many of its buffers are out.
type countingPool struct{ out int }

func (p *countingPool) Get(length int) *[]byte {
	p.out++
	b := make([]byte, length)
	return &b
}

func (p *countingPool) Put(b *[]byte) {
	p.out--
	clear(*b) // whoever still reads it sees that
}

// cut is b in pieces of n bytes, each in a buffer of the pool.
func (p *countingPool) cut(b []byte, n int) (s mem.BufferSlice) {
	for len(b) > 0 {
		part := p.Get(max(2048, n))
		*part = (*part)[:copy(*part, b[:min(n, len(b))])]
		b = b[len(*part):]
		s = append(s, mem.NewBuffer(part, p))
	}
	return s
}

func TestRawReceivesTheBytes(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 1000)
	for _, size := range []int{len(want), len(want) - 1, 4096, 1000} {
		t.Run(fmt.Sprintf("in pieces of %d", size), func(t *testing.T) {
			var pool countingPool
			data := pool.cut(want, size)
			var r wire.Raw
			if err := wire.Codec().Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
			data.Free() // as gRPC does after decoding
			if !bytes.Equal(r.Data, want) {
				t.Fatalf("received %d bytes that differ", len(r.Data))
			}
			if pool.out > 1 {
				t.Errorf("%d transport buffers are held for one message", pool.out)
			}
			r.Free()
			r.Free()
			if pool.out != 0 || r.Data != nil {
				t.Errorf("after Free %d transport buffers are held, %d bytes of data", pool.out, len(r.Data))
			}
		})
	}
}

func TestRawOfOneBufferIsNotCopied(t *testing.T) {
	var pool countingPool
	data := pool.cut([]byte("message"), 2048)
	var r wire.Raw
	if err := wire.Codec().Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if &r.Data[0] != &data[0].ReadOnlyData()[0] {
		t.Error("a message in one buffer is copied")
	}
	if err := wire.Codec().Unmarshal(nil, &r); err != nil || len(r.Data) != 0 {
		t.Errorf("an empty message after it: %v, %d bytes", err, len(r.Data))
	}
	data.Free()
	if pool.out != 0 {
		t.Error("receiving the next message does not free the last")
	}
}

func TestReceivedRawCanBePassedOn(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 1000)
	for _, size := range []int{len(want), 4096} {
		var pool countingPool
		data := pool.cut(want, size)
		var r wire.Raw
		if err := wire.Codec().Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		data.Free()
		sent, err := wire.Codec().Marshal(&r)
		if err != nil || !bytes.Equal(sent.Materialize(), want) {
			t.Fatalf("%v; %d bytes sent that differ", err, sent.Len())
		}
		r.Free()
		sent.Free()
		if pool.out != 0 {
			t.Errorf("%d transport buffers are held after the write", pool.out)
		}
	}
}

func TestRawSendsWhatWasAppended(t *testing.T) {
	for _, size := range []int{0, 1, 1024, 2048, 2049, 100_000, 5 << 20, 17 << 20} {
		for _, capacity := range []int{0, size, size / 2} {
			want := bytes.Repeat([]byte{'x'}, size)
			r := wire.NewRaw(capacity)
			if len(r.Data) != 0 || cap(r.Data) < capacity {
				t.Fatalf("NewRaw(%d) has %d bytes, room for %d", capacity, len(r.Data), cap(r.Data))
			}
			r.Data = append(r.Data, want...)
			sent, err := wire.Codec().Marshal(r)
			if err != nil || !bytes.Equal(sent.Materialize(), want) {
				t.Fatalf("%d bytes in room for %d: %v; %d bytes sent that differ", size, capacity, err, sent.Len())
			}
			if r.Data != nil {
				t.Errorf("%d bytes in room for %d: a sent message still has %d", size, capacity, len(r.Data))
			}
			r.Free()
			sent.Free()
		}
	}
}

func TestSentBytesStayUntilTheWriteIsDone(t *testing.T) {
	r := wire.NewRaw(4096)
	r.Data = append(r.Data, bytes.Repeat([]byte("first"), 600)...)
	first, err := wire.Codec().Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := first.Materialize()
	for range 10 { // the stream goes on with the same Raw while the transport still writes
		r.Reset(4096)
		r.Data = append(r.Data, bytes.Repeat([]byte("later"), 600)...)
	}
	if !bytes.Equal(first.Materialize(), want) {
		t.Error("a buffer is used again before gRPC has freed it")
	}
	first.Free()
}

func TestDataCutAtTheFrontIsNotPooled(t *testing.T) {
	r := wire.NewRaw(4096)
	r.Data = append(r.Data, bytes.Repeat([]byte("first"), 600)...)[5:]
	sent, err := wire.Codec().Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := sent.Materialize()
	for range 10 {
		r.Reset(4096)
		r.Data = append(r.Data, bytes.Repeat([]byte("later"), 600)...)
	}
	if !bytes.Equal(sent.Materialize(), want) {
		t.Error("a buffer is used again before gRPC has freed it")
	}
}

func TestRawWithDataSetByHandCanBeSentAgain(t *testing.T) {
	r := &wire.Raw{Data: []byte("request")}
	for range 3 {
		sent, err := wire.Codec().Marshal(r)
		if err != nil || string(sent.Materialize()) != "request" {
			t.Fatalf("%q (%v)", sent.Materialize(), err)
		}
		sent.Free()
	}
}

func TestOrdinaryMessagesGoTheOrdinaryWay(t *testing.T) {
	codec := wire.Codec()
	if codec.Name() != "proto" {
		t.Errorf("the codec's name is %q", codec.Name())
	}
	want := &pubsubpb.Topic{Name: topicName, Labels: map[string]string{"k": "v"}}
	sent, err := codec.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got pubsubpb.Topic
	if err := codec.Unmarshal(sent, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v (%v), want %v", &got, err, want)
	}
	if _, err := codec.Marshal("text"); err == nil {
		t.Error("something else than a message is encoded")
	}
	if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer{0xff}}, &got); err == nil {
		t.Error("malformed bytes are decoded")
	}
}

func TestReceiveTellsTheClientsMistakeFromOurs(t *testing.T) {
	codec := wire.Codec()
	decodeOf := func(b ...byte) func(any) error {
		return func(v any) error { return codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, v) }
	}
	var got pubsubpb.Topic
	if err := wire.Receive(decodeOf(textField(1, "name")...), &got); err != nil || got.Name != "name" {
		t.Errorf("a good message: %v, name %q", err, got.Name)
	}
	for name, b := range map[string][]byte{"malformed": {0xff}, "not UTF-8": textField(1, "\xff")} {
		var invalid *wire.InvalidError
		if err := wire.Receive(decodeOf(b...), &got); !errors.As(err, &invalid) || invalid.Rule != wire.RuleMalformed {
			t.Errorf("%s: %v, want an InvalidError", name, err)
		}
	}
	broken := errors.New("connection broken")
	if err := wire.Receive(func(any) error { return broken }, &got); err != broken {
		t.Errorf("gRPC's own error becomes %v", err)
	}
}
