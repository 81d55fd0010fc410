package wire_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

func FuzzPublish(f *testing.F) {
	addSeeds(f, oddPublishRequests())
	var p wire.Publish
	f.Fuzz(func(t *testing.T, req []byte) { comparePublish(t, &p, req) })
}

func TestPublishScanAgreesWithTheOfficialDecoder(t *testing.T) {
	var p wire.Publish
	seeds := oddPublishRequests()
	for _, req := range seeds {
		comparePublish(t, &p, req)
	}
	mutated(seeds, 100_000, func(req []byte) { comparePublish(t, &p, req) })
}

// comparePublish checks everything that Publish promises about a request against the generated code.
func comparePublish(t *testing.T, p *wire.Publish, req []byte) {
	t.Helper()
	before := bytes.Clone(req)
	err := p.Scan(req)
	if !bytes.Equal(before, req) {
		t.Fatalf("Scan changed the request %x into %x", before, req)
	}
	var official pubsubpb.PublishRequest
	officialErr := proto.Unmarshal(req, &official)
	if (officialErr != nil) != errors.Is(err, wire.ErrMalformed) {
		t.Fatalf("request %x: Scan says %v, the official decoder %v", req, err, officialErr)
	}
	if officialErr != nil {
		return
	}
	if string(p.Topic) != official.Topic {
		t.Fatalf("request %x: topic %q, want %q", req, p.Topic, official.Topic)
	}
	want, got := brokenRule(t, req, &official), wire.Rule(0)
	if invalid := (*wire.InvalidError)(nil); errors.As(err, &invalid) {
		got = invalid.Rule
	}
	if got != want {
		t.Fatalf("request %x: breaks rule %d, want %d (%v)", req, got, want, err)
	}
	if err == nil {
		compareBody(t, p, &official)
	}
}

// compareBody checks that the stored messages are the client's, without what is not the client's to say, and canonical.
func compareBody(t *testing.T, p *wire.Publish, official *pubsubpb.PublishRequest) {
	t.Helper()
	if err := wire.CheckBody(p.Body, p.Count); err != nil {
		t.Fatal(err)
	}
	if p.Count != len(official.Messages) {
		t.Fatalf("%d messages, want %d", p.Count, len(official.Messages))
	}
	if string(p.OrderingKey) != official.Messages[0].OrderingKey {
		t.Fatalf("ordering key %q, want %q", p.OrderingKey, official.Messages[0].OrderingKey)
	}
	msg, rest := wire.Next(p.Body)
	for i, want := range official.Messages {
		want.MessageId, want.PublishTime = "", nil
		want.ProtoReflect().SetUnknown(nil)
		var got pubsubpb.PubsubMessage
		if err := proto.Unmarshal(msg, &got); err != nil || !proto.Equal(&got, want) {
			t.Fatalf("message %d is %v (%v), want %v", i, &got, err, want)
		}
		compareAccess(t, msg, want)
		compareReceived(t, msg, want, uint64(i)+1<<54, 1_700_000_000_000_000_000+int64(i), int32(i%3))
		if skipped := wire.Skip(p.Body, i+1); len(skipped) != len(rest) {
			t.Fatalf("Skip(%d) leaves %d bytes, want %d", i+1, len(skipped), len(rest))
		}
		msg, rest = wire.Next(rest)
	}
	var again wire.Publish
	if err := again.Scan(p.Body); err != nil || !bytes.Equal(again.Body, p.Body) || &again.Body[0] != &p.Body[0] {
		t.Fatalf("the body %x is not canonical: scanned again (%v) it is %x", p.Body, err, again.Body)
	}
}

// compareAccess checks what is read out of a stored message.
func compareAccess(t *testing.T, msg []byte, want *pubsubpb.PubsubMessage) {
	t.Helper()
	if got := wire.OrderingKey(msg); string(got) != want.OrderingKey {
		t.Fatalf("ordering key %q, want %q", got, want.OrderingKey)
	}
	if got := wire.Data(msg); !bytes.Equal(got, want.Data) {
		t.Fatalf("data %q, want %q", got, want.Data)
	}
	got := map[string]string{}
	for key, value := range wire.Attributes(msg) {
		got[string(key)] = string(value)
	}
	if !maps.Equal(got, want.Attributes) {
		t.Fatalf("attributes %q, want %q", got, want.Attributes)
	}
	for key, value := range want.Attributes {
		if got, ok := wire.LookupAttribute(msg, key); !ok || string(got) != value {
			t.Fatalf("attribute %q is %q, %t, want %q", key, got, ok, value)
		}
	}
}

// compareReceived checks that a spliced message decodes to the stored one with the server's fields, and to nothing more.
func compareReceived(t *testing.T, msg []byte, stored *pubsubpb.PubsubMessage, id uint64, unixNano int64, attempt int32) {
	t.Helper()
	prefix := []byte("\x0a\x02\x0a\x00") // something before it, as in a response with several messages
	b := wire.AppendReceived(bytes.Clone(prefix), []byte("ack"), msg, id, unixNano, attempt)
	if size := wire.ReceivedSize(len("ack"), len(msg), id, unixNano, attempt); size != len(b)-len(prefix) {
		t.Fatalf("ReceivedSize is %d, appended are %d bytes", size, len(b)-len(prefix))
	}
	want := proto.CloneOf(stored)
	want.MessageId, want.PublishTime = decimal(id), timestampOf(unixNano)
	for _, response := range []interface {
		proto.Message
		GetReceivedMessages() []*pubsubpb.ReceivedMessage
	}{&pubsubpb.PullResponse{}, &pubsubpb.StreamingPullResponse{}} {
		if err := proto.Unmarshal(b, response); err != nil {
			t.Fatalf("spliced %x: %v", b, err)
		}
		if n := len(response.GetReceivedMessages()); n != 2 {
			t.Fatalf("spliced %x: %d messages, want 2", b, n)
		}
		got := response.GetReceivedMessages()[1]
		if wanted := (&pubsubpb.ReceivedMessage{AckId: "ack", Message: want, DeliveryAttempt: max(attempt, 0)}); !proto.Equal(got, wanted) {
			t.Fatalf("spliced %x: %v, want %v", b, got, wanted)
		}
	}
}

func timestampOf(unixNano int64) *timestamppb.Timestamp {
	seconds, nanos := unixNano/1e9, unixNano%1e9
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1e9
	}
	return &timestamppb.Timestamp{Seconds: seconds, Nanos: int32(nanos)}
}

// brokenRule is the first rule that a well-formed request breaks, 0 for none, found in the slow and obvious way.
func brokenRule(t *testing.T, req []byte, official *pubsubpb.PublishRequest) wire.Rule {
	t.Helper()
	broken := map[wire.Rule]bool{
		wire.RuleMessagesMin:  len(official.Messages) == 0,
		wire.RuleMessagesMax:  len(official.Messages) > limit.PublishMessagesMax,
		wire.RulePublishBytes: len(req) > limit.PublishRequestBytesMax,
	}
	for _, m := range official.Messages {
		broken[wire.RuleEmpty] = broken[wire.RuleEmpty] || len(m.Data) == 0 && len(m.Attributes) == 0
		broken[wire.RuleOrderingKeyBytes] = broken[wire.RuleOrderingKeyBytes] || len(m.OrderingKey) > limit.OrderingKeyBytesMax
		broken[wire.RuleOrderingKeyMixed] = broken[wire.RuleOrderingKeyMixed] || m.OrderingKey != official.Messages[0].OrderingKey
	}
	for _, m := range bytesFields(t, req, 2) {
		entries := bytesFields(t, m, 2)
		broken[wire.RuleAttributes] = broken[wire.RuleAttributes] || len(entries) > limit.AttributesMax
		for _, e := range entries {
			key, value := last(bytesFields(t, e, 1)), last(bytesFields(t, e, 2))
			broken[wire.RuleAttributeKeyEmpty] = broken[wire.RuleAttributeKeyEmpty] || key == ""
			broken[wire.RuleAttributeKeyBytes] = broken[wire.RuleAttributeKeyBytes] || len(key) > limit.AttributeKeyBytesMax
			broken[wire.RuleAttributeKeyName] = broken[wire.RuleAttributeKeyName] || strings.HasPrefix(key, "goog")
			broken[wire.RuleAttributeValue] = broken[wire.RuleAttributeValue] || len(value) > limit.AttributeValueBytesMax
		}
	}
	for rule := wire.RuleMessagesMin; rule <= wire.RuleOrderingKeyMixed; rule++ {
		if broken[rule] {
			return rule
		}
	}
	return 0
}

// bytesFields is the values of all length-delimited fields with a number in a well-formed message.
func bytesFields(t *testing.T, b []byte, number protowire.Number) (values [][]byte) {
	t.Helper()
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		m := protowire.ConsumeFieldValue(num, kind, b[n:])
		if n < 0 || m < 0 {
			t.Fatalf("malformed: %x", b)
		}
		if num == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[n:])
			values = append(values, value)
		}
		b = b[n+m:]
	}
	return values
}

func last(values [][]byte) string {
	if len(values) == 0 {
		return ""
	}
	return string(values[len(values)-1])
}
