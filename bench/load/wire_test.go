package load

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// split cuts bytes into buffers of random sizes, empty ones included.
func split(b []byte, random *rand.Rand) mem.BufferSlice {
	var parts mem.BufferSlice
	for len(b) > 0 {
		n := min(random.IntN(40), len(b))
		parts = append(parts, mem.SliceBuffer(b[:n]))
		b = b[n:]
	}
	return parts
}

func marshal(t *testing.T, message proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func response(messages int) (*pubsubpb.StreamingPullResponse, []stamp) {
	r := &pubsubpb.StreamingPullResponse{}
	var stamps []stamp
	for i := range messages {
		s := stamp{number: uint64(i) * 1e9, sentAt: int64(i)}
		data := make([]byte, stampBytes+i%50)
		s.put(data)
		stamps = append(stamps, s)
		r.ReceivedMessages = append(r.ReceivedMessages, &pubsubpb.ReceivedMessage{
			AckId: strings.Repeat("a", i%200) + fmt.Sprint(i), DeliveryAttempt: int32(i),
			Message: &pubsubpb.PubsubMessage{Data: data, Attributes: map[string]string{"k": "v"}, MessageId: fmt.Sprint(i),
				PublishTime: timestamppb.New(time.Unix(int64(i), 5)), OrderingKey: "key"},
		})
	}
	r.SubscriptionProperties = &pubsubpb.StreamingPullResponse_SubscriptionProperties{MessageOrderingEnabled: true}
	return r, stamps
}

func TestScannerFindsEveryStampAndAckIDHoweverTheBytesAreCut(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, messages := range []int{0, 1, 2, 300} {
		want, stamps := response(messages)
		scanner := newDeliveryScanner(split(marshal(t, want), random), nil)
		var got []stamp
		for {
			ok, err := scanner.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got = append(got, scanner.stamp)
		}
		if !slices.Equal(got, stamps) {
			t.Errorf("%d messages: stamps %v", messages, got)
		}
		acks := &pubsubpb.StreamingPullRequest{}
		if err := proto.Unmarshal(scanner.acks, acks); err != nil {
			t.Fatal(err)
		}
		for i, id := range acks.AckIds {
			if id != want.ReceivedMessages[i].AckId {
				t.Fatalf("ack id %d is %q", i, id)
			}
		}
		if len(acks.AckIds) != messages {
			t.Errorf("%d ack ids for %d messages", len(acks.AckIds), messages)
		}
	}
}

func TestScannerRefusesEveryTruncationInsideAMessage(t *testing.T) {
	r, _ := response(1)
	r.SubscriptionProperties = nil
	whole := marshal(t, r)
	for n := 1; n < len(whole); n++ {
		scanner := newDeliveryScanner(mem.BufferSlice{mem.SliceBuffer(whole[:n])}, nil)
		if ok, err := scanner.next(); ok || err == nil {
			t.Errorf("%d of %d bytes: ok=%v err=%v", n, len(whole), ok, err)
		}
	}
}

func TestScannerReadsFieldsInAnyOrder(t *testing.T) {
	data := make([]byte, stampBytes)
	stamp{number: 7, sentAt: 8}.put(data)
	message := protowire.AppendString(protowire.AppendTag(nil, 4, protowire.BytesType), "later")
	message = appendMessage(message, data, false, "")
	var received []byte
	received = protowire.AppendVarint(protowire.AppendTag(received, 3, protowire.VarintType), 2)
	received = protowire.AppendBytes(protowire.AppendTag(received, fieldReceivedMessage, protowire.BytesType), message)
	received = protowire.AppendString(protowire.AppendTag(received, fieldReceivedAckID, protowire.BytesType), "id")
	b := protowire.AppendBytes(protowire.AppendTag(nil, fieldResponseReceived, protowire.BytesType), received)
	scanner := newDeliveryScanner(mem.BufferSlice{mem.SliceBuffer(b)}, nil)
	if ok, err := scanner.next(); !ok || err != nil || scanner.stamp != (stamp{7, 8}) {
		t.Errorf("ok=%v err=%v stamp=%v", ok, err, scanner.stamp)
	}
}

func TestScannerRefusesWhatIsNotOfThisRun(t *testing.T) {
	for name, received := range map[string]*pubsubpb.ReceivedMessage{
		"no ack id":  {Message: &pubsubpb.PubsubMessage{Data: make([]byte, stampBytes)}},
		"short data": {AckId: "a", Message: &pubsubpb.PubsubMessage{Data: []byte("short")}},
	} {
		r := &pubsubpb.StreamingPullResponse{ReceivedMessages: []*pubsubpb.ReceivedMessage{received}}
		scanner := newDeliveryScanner(mem.BufferSlice{mem.SliceBuffer(marshal(t, r))}, nil)
		if ok, err := scanner.next(); ok || err == nil {
			t.Errorf("%s: ok=%v err=%v", name, ok, err)
		}
	}
}

func TestCursorRefusesAnOverlongVarintAndAGroup(t *testing.T) {
	overlong := slices.Repeat([]byte{0xff}, 11)
	group := protowire.AppendTag(nil, 1, protowire.StartGroupType)
	for _, b := range [][]byte{overlong, group, {0x80}, {0x00, 0x00}} {
		if n, err := CountFields(mem.BufferSlice{mem.SliceBuffer(b)}, 1); err == nil {
			t.Errorf("% x: %d fields and no error", b, n)
		}
	}
}

func TestCountFieldsCountsMessageIDs(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	reply := &pubsubpb.PublishResponse{}
	for i := range 1000 {
		reply.MessageIds = append(reply.MessageIds, fmt.Sprint(i))
	}
	if n, err := CountFields(split(marshal(t, reply), random), fieldReplyMessageIDs); n != 1000 || err != nil {
		t.Errorf("%d ids, %v", n, err)
	}
}

func TestRequestDecodesToWhatTheShapeSays(t *testing.T) {
	shape := Shape{MessagesPerCall: 100, DataBytes: 1024, Attribute: true, OrderingKeys: 7}
	r := newRequest("projects/p/topics/t", shape, 1)
	r.stampAll(500, 42)
	r.stampKey(1234)
	got := &pubsubpb.PublishRequest{}
	if err := proto.Unmarshal(r.bytes, got); err != nil {
		t.Fatal(err)
	}
	if got.Topic != "projects/p/topics/t" || len(got.Messages) != 100 {
		t.Fatalf("topic %s, %d messages", got.Topic, len(got.Messages))
	}
	keys := map[string]bool{}
	for i, m := range got.Messages {
		want := make([]byte, stampBytes)
		stamp{number: 500 + uint64(i), sentAt: 42}.put(want)
		if len(m.Data) != 1024 || !slices.Equal(m.Data[:stampBytes], want) || m.Attributes["origin"] != "bench" {
			t.Fatalf("message %d: %d bytes, stamp % x, attributes %v", i, len(m.Data), m.Data[:stampBytes], m.Attributes)
		}
		keys[m.OrderingKey] = true
	}
	if !maps.Equal(keys, map[string]bool{"001234": true}) {
		t.Errorf("ordering keys %v: a call has one", keys)
	}
	if slices.Equal(got.Messages[0].Data[stampBytes:], got.Messages[1].Data[stampBytes:]) {
		t.Error("two messages carry the same data")
	}
}

func TestStreamOpeningDecodes(t *testing.T) {
	got := &pubsubpb.StreamingPullRequest{}
	if err := proto.Unmarshal(streamOpening("projects/p/subscriptions/s", "me", streamDeadlineSeconds, Flow{MessagesMax: 5, BytesMax: 6}), got); err != nil {
		t.Fatal(err)
	}
	want := &pubsubpb.StreamingPullRequest{Subscription: "projects/p/subscriptions/s", ClientId: "me",
		StreamAckDeadlineSeconds: streamDeadlineSeconds, MaxOutstandingMessages: 5, MaxOutstandingBytes: 6}
	if !proto.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestRawCodecPassesEverythingElseToTheOrdinaryOne(t *testing.T) {
	codec := NewRawCodec()
	want := &pubsubpb.Topic{Name: "projects/p/topics/t"}
	b, err := codec.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &pubsubpb.Topic{}
	if err := codec.Unmarshal(b, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := codec.Marshal(42); err == nil {
		t.Error("a number was encoded")
	}
}

func TestTrackerTellsLossDuplicatesAndStrangers(t *testing.T) {
	for _, c := range []struct {
		name       string
		marks      [][]uint64
		published  uint64
		complete   bool
		duplicates uint64
	}{
		{"nothing published", nil, 0, true, 0},
		{"all", [][]uint64{{0, 1, 2}, {3}}, 4, true, 0},
		{"one missing", [][]uint64{{0, 1, 3}}, 4, false, 0},
		{"one twice does not stand for one missing", [][]uint64{{0, 1, 1, 3}}, 4, false, 1},
		{"one twice", [][]uint64{{0, 1}, {1}}, 2, true, 1},
		{"a number never accepted does not stand for one missing", [][]uint64{{0, 1, 4}}, 3, false, 0},
		{"across words", [][]uint64{{63, 64, 65}}, 3, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tr tracker
			for _, numbers := range c.marks {
				if err := tr.markAll(numbers, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			_, duplicates, _ := tr.progress()
			if got := tr.complete(c.published); got != c.complete || duplicates != c.duplicates {
				t.Errorf("complete %v duplicates %d", got, duplicates)
			}
		})
	}
	var tr tracker
	if tr.markAll([]uint64{1 << 60}, time.Now()) == nil {
		t.Error("a number beyond every run was accepted")
	}
}

func TestExpectIsToldOnceEverythingCame(t *testing.T) {
	var tr tracker
	reached := tr.expect(2)
	for _, number := range []uint64{0, 0} {
		if err := tr.markAll([]uint64{number}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-reached:
		t.Fatal("told after one message and a duplicate")
	default:
	}
	if err := tr.markAll([]uint64{1}, time.Now()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reached:
	default:
		t.Fatal("not told")
	}
}

func TestShapeIsChecked(t *testing.T) {
	for _, shape := range []Shape{{MessagesPerCall: 0, DataBytes: 100}, {MessagesPerCall: 1, DataBytes: stampBytes - 1}} {
		if shape.validate() == nil {
			t.Errorf("%+v was accepted", shape)
		}
	}
	if (Shape{MessagesPerCall: 1, DataBytes: stampBytes}).validate() != nil {
		t.Error("the smallest shape was refused")
	}
}
