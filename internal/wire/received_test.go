package wire_test

import (
	"bytes"
	"math"
	"strconv"
	"testing"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/wire"
)

func decimal(id uint64) string { return strconv.FormatUint(id, 10) }

// FuzzReceived takes a message the whole way: encoded by the generated code, scanned, stored, spliced, decoded by the generated code.
func FuzzReceived(f *testing.F) {
	f.Add([]byte("data"), "key", "value", "order", uint64(1), int64(0), int32(0), "", int64(0), int32(0), uint(0))
	f.Add([]byte(nil), "key", "", "", uint64(math.MaxUint64), int64(math.MaxInt64), int32(math.MaxInt32), "666", int64(5), int32(999), uint(7))
	f.Add([]byte("x"), "", "", "", uint64(9999999999999999), int64(math.MinInt64), int32(-1), "1", int64(-1), int32(-1), uint(200))
	f.Add(bytes.Repeat([]byte("d"), 300), "k", "v", "o", uint64(10), int64(-1), int32(1), "", int64(0), int32(1), uint(1000))
	f.Fuzz(func(t *testing.T, data []byte, key, value, order string, id uint64, unixNano int64, attempt int32,
		forgedID string, forgedSeconds int64, forgedNanos int32, copies uint) {
		m := &pubsubpb.PubsubMessage{Data: data, OrderingKey: order, MessageId: forgedID}
		if key != "" {
			m.Attributes = map[string]string{key: value, "other": "value"}
		}
		if forgedSeconds != 0 || forgedNanos != 0 {
			m.PublishTime = &timestamppb.Timestamp{Seconds: forgedSeconds, Nanos: forgedNanos}
		}
		for _, text := range []string{key, value, order, forgedID} {
			if !utf8.ValidString(text) {
				return
			}
		}
		var p wire.Publish
		if err := p.Scan(marshal(t, times(int(copies%1100), m))); err != nil {
			return
		}
		m.MessageId, m.PublishTime = "", nil
		for msg, rest := wire.Next(p.Body); msg != nil; msg, rest = wire.Next(rest) {
			compareReceived(t, msg, m, id, unixNano, attempt)
		}
	})
}

func TestReceivedMessageCarriesTheServersFields(t *testing.T) {
	stored := &pubsubpb.PubsubMessage{Data: []byte("data"), Attributes: map[string]string{"k": "v"}, OrderingKey: "key"}
	msg := marshal(t, stored)
	ids := []uint64{0, 9760094994850475, math.MaxUint64}
	for power := uint64(1); power <= math.MaxUint64/10; power *= 10 {
		ids = append(ids, power, power-1, power*10, power*10-1)
	}
	for _, id := range ids {
		for _, unixNano := range []int64{0, 1, 1e9 - 1, 1e9, 1721984460513e6, -1, -1e9, math.MaxInt64, math.MinInt64} {
			for _, attempt := range []int32{-1, 0, 1, 127, 128, math.MaxInt32} {
				compareReceived(t, msg, stored, id, unixNano, attempt)
			}
		}
	}
}

func TestZeroPublishTimeOverridesAnEarlierOne(t *testing.T) {
	// A message that was stored with a publish_time, against the rule: the server's zeros must still win over it.
	msg := marshal(t, &pubsubpb.PubsubMessage{Data: []byte("d"), MessageId: "666", PublishTime: &timestamppb.Timestamp{Seconds: 7, Nanos: 999}})
	compareReceived(t, msg, &pubsubpb.PubsubMessage{Data: []byte("d")}, 1, 0, 0)
}

func TestPublishResponseHoldsConsecutiveIDs(t *testing.T) {
	for _, test := range []struct {
		first uint64
		count int
	}{{1, 0}, {1, 1}, {0, 3}, {8, 1000}, {math.MaxUint64 - 1, 2}, {9999999999999999, 2}} {
		b := wire.AppendPublishResponse(nil, test.first, test.count)
		if len(b) > wire.PublishResponseSize(test.count) {
			t.Errorf("%d ids from %d take %d bytes, PublishResponseSize says %d", test.count, test.first, len(b), wire.PublishResponseSize(test.count))
		}
		var want pubsubpb.PublishResponse
		for i := range test.count {
			want.MessageIds = append(want.MessageIds, decimal(test.first+uint64(i)))
		}
		var got pubsubpb.PublishResponse
		if err := proto.Unmarshal(b, &got); err != nil || !proto.Equal(&got, &want) {
			t.Errorf("%d ids from %d: %v (%v)", test.count, test.first, &got, err)
		}
	}
}

func TestSubscriptionPropertiesAreAlwaysPresent(t *testing.T) {
	for _, exactlyOnce := range []bool{false, true} {
		for _, ordered := range []bool{false, true} {
			var got pubsubpb.StreamingPullResponse
			if err := proto.Unmarshal(wire.AppendSubscriptionProperties(nil, exactlyOnce, ordered), &got); err != nil {
				t.Fatal(err)
			}
			want := &pubsubpb.StreamingPullResponse{SubscriptionProperties: &pubsubpb.StreamingPullResponse_SubscriptionProperties{
				ExactlyOnceDeliveryEnabled: exactlyOnce, MessageOrderingEnabled: ordered,
			}}
			if !proto.Equal(&got, want) {
				t.Errorf("exactly once %t, ordered %t: %v", exactlyOnce, ordered, &got)
			}
		}
	}
}

func TestConfirmationsNameTheAckIDs(t *testing.T) {
	list := func(ids ...string) (raw [][]byte) {
		for _, id := range ids {
			raw = append(raw, []byte(id))
		}
		return raw
	}
	long := string(bytes.Repeat([]byte("x"), 200))
	b := wire.AppendAckConfirmation(nil, &wire.AckConfirmation{Done: list("a", "b"), Invalid: list("c"), Unordered: list("d"), TemporaryFailed: list("e", long)})
	b = wire.AppendModackConfirmation(b, &wire.ModackConfirmation{Done: list("f"), Invalid: list("g", long), TemporaryFailed: list("h")})
	var got pubsubpb.StreamingPullResponse
	if err := proto.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := &pubsubpb.StreamingPullResponse{
		AcknowledgeConfirmation: &pubsubpb.StreamingPullResponse_AcknowledgeConfirmation{
			AckIds: []string{"a", "b"}, InvalidAckIds: []string{"c"}, UnorderedAckIds: []string{"d"}, TemporaryFailedAckIds: []string{"e", long},
		},
		ModifyAckDeadlineConfirmation: &pubsubpb.StreamingPullResponse_ModifyAckDeadlineConfirmation{
			AckIds: []string{"f"}, InvalidAckIds: []string{"g", long}, TemporaryFailedAckIds: []string{"h"},
		},
	}
	if !proto.Equal(&got, want) {
		t.Errorf("got %v, want %v", &got, want)
	}
}
