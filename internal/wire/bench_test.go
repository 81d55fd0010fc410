package wire_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// hundred is a request of 100 messages of 1 KiB with one attribute each, the load of the speed targets.
func hundred(t testing.TB, change func(m *pubsubpb.PubsubMessage)) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	req := request()
	for range 100 {
		m := &pubsubpb.PubsubMessage{Data: make([]byte, 1024), Attributes: map[string]string{"attribute": "value"}}
		for i := range m.Data {
			m.Data[i] = byte(r.Uint32())
		}
		change(m)
		req.Messages = append(req.Messages, m)
	}
	return marshal(t, req)
}

func clean(*pubsubpb.PubsubMessage)    {}
func forged(m *pubsubpb.PubsubMessage) { m.MessageId = "666" }
func crowded(m *pubsubpb.PubsubMessage) {
	for _, c := range "abcdefghij" {
		m.Attributes[strings.Repeat(string(c), 10)] = strings.Repeat(string(c), 50)
	}
}

// The steps of the hot path. Each is measured and must not allocate.
func steps(t testing.TB) map[string]func(n int) {
	scan := func(req []byte) func(n int) {
		var p wire.Publish
		return func(n int) {
			for range n {
				if err := p.Scan(req); err != nil {
					panic(err)
				}
			}
		}
	}
	var published wire.Publish
	if err := published.Scan(hundred(t, clean)); err != nil {
		t.Fatal(err)
	}
	body := published.Body
	msg, _ := wire.Next(body)
	key := wire.NewAckKey(secret)
	text := key.Append(nil, wire.AckID{Offset: 1})
	dst := make([]byte, 0, 1<<20)
	ids := &pubsubpb.AcknowledgeRequest{Subscription: "projects/p/subscriptions/s"}
	for range 1000 {
		ids.AckIds = append(ids.AckIds, string(text))
	}
	ackRequest := marshal(t, ids)
	streamRequest := marshal(t, &pubsubpb.StreamingPullRequest{AckIds: ids.AckIds})
	var ack wire.Acknowledge
	var stream wire.StreamingPull
	repeat := func(f func()) func(n int) {
		return func(n int) {
			for range n {
				f()
			}
		}
	}
	return map[string]func(n int){
		"scan 100 x 1 KiB":             scan(hundred(t, clean)),
		"scan 100 x 1 KiB, forged":     scan(hundred(t, forged)),
		"scan 100 x 1 KiB, attributes": scan(hundred(t, crowded)),
		"scan 1 x 100 B":               scan(marshal(t, request(&pubsubpb.PubsubMessage{Data: make([]byte, 100)}))),
		"splice 1 KiB": repeat(func() {
			dst = wire.AppendReceived(dst[:0], text, msg, 9760094994850475, 1721984460513e6, 0)
		}),
		"splice size": repeat(func() { wire.ReceivedSize(len(text), len(msg), 9760094994850475, 1721984460513e6, 0) }),
		"encode ack id": repeat(func() {
			dst = key.Append(dst[:0], wire.AckID{Shard: 1, Epoch: 2, Subscription: 3, Offset: 4, Slot: 5, Turn: 6})
		}),
		"decode ack id": repeat(func() {
			if _, ok := key.Decode(text); !ok {
				panic("refused")
			}
		}),
		"scan 1000 ack ids": repeat(func() {
			if err := ack.Scan(ackRequest); err != nil {
				panic(err)
			}
		}),
		"scan 1000 streamed ack ids": repeat(func() {
			if err := stream.Scan(streamRequest); err != nil {
				panic(err)
			}
		}),
		"walk a body of 100": repeat(func() {
			for m, rest := wire.Next(body); m != nil; m, rest = wire.Next(rest) {
				_ = m
			}
		}),
		"check a body of 100": repeat(func() {
			if err := wire.CheckBody(body, 100); err != nil {
				panic(err)
			}
		}),
		"ordering key":     repeat(func() { wire.OrderingKey(msg) }),
		"lookup attribute": repeat(func() { wire.LookupAttribute(msg, "attribute") }),
		"all attributes": repeat(func() {
			size := 0
			for k, v := range wire.Attributes(msg) {
				size += len(k) + len(v)
			}
		}),
		"publish response of 100": repeat(func() { dst = wire.AppendPublishResponse(dst[:0], 9760094994850475, 100) }),
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for name, step := range steps(t) {
		step(1) // what is kept between calls is allocated here
		if n := testing.AllocsPerRun(100, func() { step(1) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestSendingAllocatesPerResponseOnly(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops buffers on purpose")
	}
	codec := wire.Codec()
	for _, size := range []int{100, 1024, 50_000} {
		var r wire.Raw
		if n := testing.AllocsPerRun(100, func() {
			r.Reset(size)
			r.Data = r.Data[:size]
			sent, err := codec.Marshal(&r)
			if err != nil {
				t.Fatal(err)
			}
			sent.Free()
		}); n > 1 {
			t.Errorf("%v allocations for a response of %d bytes, want the buffer slice only", n, size)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	for name, step := range steps(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			step(b.N)
		})
	}
}

// BenchmarkGenerated is the generated code on the same work, for comparison.
func BenchmarkGenerated(b *testing.B) {
	req := hundred(b, clean)
	b.Run("decode 100 x 1 KiB", func(b *testing.B) {
		for b.Loop() {
			var r pubsubpb.PublishRequest
			if err := proto.Unmarshal(req, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
