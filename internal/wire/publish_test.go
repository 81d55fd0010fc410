package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/wire"
)

const topicName = "projects/p/topics/t"

func request(messages ...*pubsubpb.PubsubMessage) *pubsubpb.PublishRequest {
	return &pubsubpb.PublishRequest{Topic: topicName, Messages: messages}
}

// times is a request of n equal messages.
func times(n int, m *pubsubpb.PubsubMessage) *pubsubpb.PublishRequest {
	req := request()
	for range n {
		req.Messages = append(req.Messages, m)
	}
	return req
}

// ofBytes is a request whose encoding has exactly n bytes.
func ofBytes(t *testing.T, n int) *pubsubpb.PublishRequest {
	t.Helper()
	m := &pubsubpb.PubsubMessage{Data: make([]byte, n)}
	req := request(m)
	m.Data = m.Data[:n-(proto.Size(req)-n)]
	if got := proto.Size(req); got != n {
		t.Fatalf("a request of %d bytes, want %d", got, n)
	}
	return req
}

func attributes(n int) *pubsubpb.PubsubMessage {
	m := &pubsubpb.PubsubMessage{Attributes: map[string]string{}}
	for i := range n {
		m.Attributes[fmt.Sprintf("key%d", i)] = "value"
	}
	return m
}

func attribute(key, value string) *pubsubpb.PubsubMessage {
	return &pubsubpb.PubsubMessage{Attributes: map[string]string{key: value}}
}

func TestPublishLimitsHoldExactlyAtTheirBoundaries(t *testing.T) {
	data := []byte("data")
	const quotas = " Refer to https://cloud.google.com/pubsub/quotas for more information."
	const empty = "One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute."
	const mixed = "In a single publish request, all messages must have no ordering key or they must all have the same ordering key."
	keyed := func(key string) *pubsubpb.PubsubMessage { return &pubsubpb.PubsubMessage{Data: data, OrderingKey: key} }
	for name, test := range map[string]struct {
		req  *pubsubpb.PublishRequest
		want string // the error's text; empty when the request is good
	}{
		"no message":           {request(), "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1."},
		"one message":          {times(1, keyed("")), ""},
		"1000 messages":        {times(1000, keyed("")), ""},
		"1001 messages":        {times(1001, keyed("")), "The value for message_count is too large. You passed 1001 in the request, but the maximum value is 1000."},
		"10,000,000 bytes":     {ofBytes(t, 10_000_000), ""},
		"10,000,001 bytes":     {ofBytes(t, 10_000_001), "The value for request_size is too large. You passed 10000001 in the request, but the maximum value is 10000000."},
		"10 MiB":               {ofBytes(t, 10<<20), "The value for request_size is too large. You passed 10485760 in the request, but the maximum value is 10000000."},
		"over 10 MiB":          {ofBytes(t, 10<<20+1), "Request payload size exceeds the limit: 10485760 bytes."},
		"empty message":        {request(&pubsubpb.PubsubMessage{}), empty},
		"ordering key only":    {request(&pubsubpb.PubsubMessage{OrderingKey: "key"}), empty},
		"message id only":      {request(&pubsubpb.PubsubMessage{MessageId: "1"}), empty},
		"second message empty": {request(keyed(""), &pubsubpb.PubsubMessage{}), empty},
		"attribute only":       {request(attribute("k", "")), ""},
		"100 attributes":       {request(attributes(100)), ""},
		"101 attributes":       {request(attributes(101)), "One or more messages in the publish request has too many attributes. The number of attributes is 101, but the maximum allowed is 100." + quotas},
		"empty attribute key":  {request(attribute("", "value")), "One or more messages in the publish request has an attribute with an empty key." + quotas},
		"key of 256 bytes":     {request(attribute(strings.Repeat("k", 256), "v")), ""},
		"key of 257 bytes":     {request(attribute(strings.Repeat("k", 257), "v")), `The attribute "" in the request has a key that is too long. The length is 257 characters, but the maximum allowed is 256.` + quotas},
		"bytes are counted":    {request(attribute(strings.Repeat("é", 129), "v")), `The attribute "" in the request has a key that is too long. The length is 258 characters, but the maximum allowed is 256.` + quotas},
		"key goog":             {request(attribute("goog", "v")), `The attribute "goog" in the request has a key that is not allowed. Attribute keys must not start with "goog".` + quotas},
		"key googclient":       {request(attribute("googclient_x", "v")), `The attribute "googclient_x" in the request has a key that is not allowed. Attribute keys must not start with "goog".` + quotas},
		"key goo":              {request(attribute("goo", "v")), ""},
		"key Google":           {request(attribute("Google", "v")), ""},
		"value of 1024 bytes":  {request(attribute("k", strings.Repeat("v", 1024))), ""},
		"value of 1025 bytes":  {request(attribute("k", strings.Repeat("v", 1025))), `The attribute "k" in the request has a value that is too long. The length is 1025 characters, but the maximum allowed is 1024.` + quotas},
		"ordering key of 1024": {request(keyed(strings.Repeat("o", 1024))), ""},
		"ordering key of 1025": {request(keyed(strings.Repeat("o", 1025))), "The ordering key in the request is too long. The length is 1025 characters, but the maximum allowed is 1024." + quotas},
		"one ordering key":     {request(keyed("a"), keyed("a"), keyed("a")), ""},
		"two ordering keys":    {request(keyed("a"), keyed("a"), keyed("b")), mixed},
		"some without a key":   {request(keyed("a"), keyed("")), mixed},
		"a key later only":     {request(keyed(""), keyed("a")), mixed},
		"count before size": {func() *pubsubpb.PublishRequest {
			r := times(1001, keyed(""))
			r.Messages[0] = &pubsubpb.PubsubMessage{Data: make([]byte, 10_000_000)}
			return r
		}(), "The value for message_count is too large. You passed 1001 in the request, but the maximum value is 1000."},
		"empty before attribute": {request(attribute("", ""), keyed("k"), &pubsubpb.PubsubMessage{}), empty},
	} {
		t.Run(name, func(t *testing.T) {
			req := marshal(t, test.req)
			var p wire.Publish
			err := p.Scan(req)
			if test.want == "" {
				if err != nil {
					t.Fatalf("error %q, want none", err)
				}
				return
			}
			if err == nil || err.Error() != test.want {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if p.Body != nil || p.Count != 0 || p.OrderingKey != nil {
				t.Errorf("a refused request has a body of %d bytes, %d messages, ordering key %q", len(p.Body), p.Count, p.OrderingKey)
			}
			if invalid := (*wire.InvalidError)(nil); errors.As(err, &invalid) && invalid.Rule != wire.RuleRequestBytes && string(p.Topic) != topicName {
				t.Errorf("topic %q, want %q so that the name can be checked first", p.Topic, topicName)
			}
		})
	}
}

func TestPublishBodyIsPartOfACleanRequest(t *testing.T) {
	topic := textField(1, topicName)
	messages := marshal(t, &pubsubpb.PublishRequest{Messages: []*pubsubpb.PubsubMessage{attribute("k", "v"), {Data: []byte("data")}}})
	req := join(topic, messages, topic)
	var p wire.Publish
	if err := p.Scan(req); err != nil {
		t.Fatal(err)
	}
	if &p.Body[0] != &req[len(topic)] || len(p.Body) != len(messages) {
		t.Errorf("the body of %d bytes is a copy; want the request's %d bytes from byte %d", len(p.Body), len(messages), len(topic))
	}
	if cap(p.Body) != len(p.Body) {
		t.Errorf("appending to the body would write into the request: %d bytes of room", cap(p.Body)-len(p.Body))
	}
}

func TestPublishLeavesOutWhatIsTheServersToSay(t *testing.T) {
	forged := &pubsubpb.PubsubMessage{
		Data: []byte("data"), OrderingKey: "key", MessageId: "666",
		PublishTime: &timestamppb.Timestamp{Seconds: 1, Nanos: 999},
	}
	var p wire.Publish
	if err := p.Scan(marshal(t, request(forged, forged))); err != nil {
		t.Fatal(err)
	}
	want := marshal(t, &pubsubpb.PublishRequest{Messages: times(2, &pubsubpb.PubsubMessage{Data: []byte("data"), OrderingKey: "key"}).Messages})
	if !bytes.Equal(p.Body, want) {
		t.Errorf("body %q, want %q", p.Body, want)
	}
}

func TestPublishScanCanBeUsedAgain(t *testing.T) {
	var p wire.Publish
	dirty := marshal(t, request(&pubsubpb.PubsubMessage{Data: []byte("first"), MessageId: "1", OrderingKey: "key"}))
	clean := marshal(t, request(&pubsubpb.PubsubMessage{Data: []byte("second")}))
	for _, bad := range [][]byte{{0xff}, marshal(t, request())} {
		for _, req := range [][]byte{dirty, bad, clean, dirty, clean, bad} {
			var fresh wire.Publish
			err, want := p.Scan(req), fresh.Scan(req)
			if fmt.Sprint(err) != fmt.Sprint(want) || !bytes.Equal(p.Topic, fresh.Topic) || !bytes.Equal(p.Body, fresh.Body) ||
				p.Count != fresh.Count || !bytes.Equal(p.OrderingKey, fresh.OrderingKey) {
				t.Fatalf("used again it finds %q %q %d %q (%v); fresh %q %q %d %q (%v)",
					p.Topic, p.Body, p.Count, p.OrderingKey, err, fresh.Topic, fresh.Body, fresh.Count, fresh.OrderingKey, want)
			}
		}
	}
}

func TestAttributesCanBeLeftEarly(t *testing.T) {
	seen := 0
	for range wire.Attributes(marshal(t, attributes(3))) {
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("%d attributes seen, want 1", seen)
	}
}

func TestABrokenBodyIsNoticed(t *testing.T) {
	good := textField(2, string(textField(1, "data")))
	for name, test := range map[string]struct {
		body  []byte
		count int
	}{
		"too few":        {good, 2},
		"too many":       {join(good, good), 1},
		"cut off":        {good[:len(good)-1], 1},
		"another field":  {join(good, textField(3, "x")), 2},
		"padded length":  {paddedField(2, 1, 2, textField(1, "data")...), 1},
		"nothing at all": {nil, 1},
	} {
		if err := wire.CheckBody(test.body, test.count); err == nil {
			t.Errorf("%s: CheckBody finds nothing wrong", name)
		}
	}
	if err := wire.CheckBody(join(good, good), 2); err != nil {
		t.Errorf("a good body: %v", err)
	}
	for name, call := range map[string]func(){
		"Next":        func() { wire.Next(good[:3]) },
		"Skip":        func() { wire.Skip(good, 2) },
		"Data":        func() { wire.Data([]byte{0x0a, 9, 'x'}) },
		"OrderingKey": func() { wire.OrderingKey([]byte{0x0a}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "bug: ") {
					t.Errorf("panic %q, want a bug", text)
				}
			}()
			call()
		})
	}
}
