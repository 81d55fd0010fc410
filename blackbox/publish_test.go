package blackbox

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestPublishGivesMessagesTheirIdentity(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	before := time.Now().Truncate(time.Millisecond)
	answer, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{
		{Data: []byte("one"), Attributes: map[string]string{"colour": "red", "empty": ""}, OrderingKey: "k"},
		{Data: []byte("two"), MessageId: "777", PublishTime: timestamppb.New(time.Unix(5, 999)), OrderingKey: "k"},
		{Attributes: map[string]string{"only": "attributes"}, OrderingKey: "k"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	if len(answer.MessageIds) != 3 {
		t.Fatalf("ids %q, want one for each message", answer.MessageIds)
	}
	got := s.pull(t, sub, 3)
	slices.SortFunc(got, func(a, b *pb.ReceivedMessage) int {
		return slices.Index(answer.MessageIds, a.Message.MessageId) - slices.Index(answer.MessageIds, b.Message.MessageId)
	})
	for i, m := range got {
		if m.Message.MessageId != answer.MessageIds[i] {
			t.Errorf("message %d has id %q, the publisher was told %q", i, m.Message.MessageId, answer.MessageIds[i])
		}
		if _, err := strconv.ParseUint(m.Message.MessageId, 10, 64); err != nil {
			t.Errorf("id %q is not a decimal number within 64 bits", m.Message.MessageId)
		}
		if at := m.Message.PublishTime.AsTime(); at.Before(before) || at.After(after) {
			t.Errorf("publish time %v is not within the call, %v to %v", at, before, after)
		}
		if !proto.Equal(m.Message.PublishTime, got[0].Message.PublishTime) {
			t.Errorf("publish times of one call differ: %v and %v", m.Message.PublishTime, got[0].Message.PublishTime)
		}
		if m.DeliveryAttempt != 0 {
			t.Errorf("delivery attempt %d without a dead letter policy, want none", m.DeliveryAttempt)
		}
	}
	first, third := got[0].Message, got[2].Message
	if string(first.Data) != "one" || first.Attributes["colour"] != "red" || first.OrderingKey != "k" {
		t.Errorf("first message arrived as %v", first)
	}
	if value, there := first.Attributes["empty"]; !there || value != "" {
		t.Errorf("attribute with an empty value arrived as %q, %v", value, there)
	}
	if len(third.Data) != 0 || third.Attributes["only"] != "attributes" {
		t.Errorf("message with attributes only arrived as %v", third)
	}
}

func TestPublishTimeAndIDsGrow(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	const n = 50
	for i := range n {
		s.publish(t, topic, strconv.Itoa(i))
	}
	got := s.pull(t, sub, n)
	slices.SortFunc(got, func(a, b *pb.ReceivedMessage) int {
		return a.Message.PublishTime.AsTime().Compare(b.Message.PublishTime.AsTime())
	})
	seen := make(map[string]bool)
	times := make([]time.Time, n)
	for _, m := range got {
		i, err := strconv.Atoi(string(m.Message.Data))
		if err != nil {
			t.Fatal(err)
		}
		times[i] = m.Message.PublishTime.AsTime()
		if seen[m.Message.MessageId] {
			t.Errorf("id %s was given twice", m.Message.MessageId)
		}
		seen[m.Message.MessageId] = true
	}
	if !slices.IsSortedFunc(times, time.Time.Compare) {
		t.Errorf("publish times fall: %v", times)
	}
}

// sized is a publish request of exactly n bytes with one message.
func sized(t *testing.T, topic string, n int) *pb.PublishRequest {
	t.Helper()
	r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: make([]byte, n)}}}
	for size := proto.Size(r); size != n; size = proto.Size(r) {
		r.Messages[0].Data = make([]byte, len(r.Messages[0].Data)-(size-n))
	}
	for i := range r.Messages[0].Data {
		r.Messages[0].Data[i] = byte(i * 31)
	}
	return r
}

func largestPublish(t *testing.T, said []string) {
	most, unread, unreadREST := figure(t, said[1]), figure(t, said[3])<<20, figure(t, said[4])<<20
	s := common(t)
	topic, sub := s.pair(t, "x")

	largest := sized(t, topic, most)
	if _, err := s.Publish(limited(t), largest); err != nil {
		t.Fatalf("%d bytes: %v", most, err)
	}
	got := s.pull(t, sub, 1)
	if !bytes.Equal(got[0].Message.Data, largest.Messages[0].Data) {
		t.Errorf("largest message arrived with %d bytes, changed", len(got[0].Message.Data))
	}
	s.ack(t, sub, got...)

	_, err := s.Publish(limited(t), sized(t, topic, most+1))
	wantNamed(t, err, said[2], fmt.Sprintf("The value for request_size is too large. You passed %d in the request, but the maximum value is %d.", most+1, most))
	for _, size := range []int{unread + 1, 25 << 20, 64 << 20} { // while the client still sends
		_, err = s.Publish(limited(t), sized(t, topic, size))
		wantNamed(t, err, said[2], fmt.Sprintf("Request payload size exceeds the limit: %d bytes.", unread))
	}
	// Over REST nothing comes but the size.
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /v1/%s:publish HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", topic, unreadREST+1); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("a body of more than %d bytes over REST: %v, %v", unreadREST, response, err)
	}

	s.publish(t, topic, "still well")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "still well" {
		t.Errorf("after the refusals %q came", got)
	}
}

// wantNamed is wantStatus with the code's name.
func wantNamed(t *testing.T, err error, name, text string) {
	t.Helper()
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(strconv.Quote(name))); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, err, code, text)
}

func messagesOfAPublish(t *testing.T, said []string) {
	most := figure(t, said[1])
	s := common(t)
	topic, sub := s.pair(t, "x")
	data := make([]string, most)
	for i := range data {
		data[i] = strconv.Itoa(i)
	}
	if ids := s.publish(t, topic, data...); len(ids) != most {
		t.Fatalf("%d ids, want %d", len(ids), most)
	}
	r := &pb.PublishRequest{Topic: topic}
	for i := range most + 1 {
		r.Messages = append(r.Messages, &pb.PubsubMessage{Data: []byte("too many " + strconv.Itoa(i))})
	}
	_, err := s.Publish(limited(t), r)
	wantStatus(t, err, codes.InvalidArgument,
		fmt.Sprintf("The value for message_count is too large. You passed %d in the request, but the maximum value is %d.", most+1, most))
	got := dataOf(s.pull(t, sub, most))
	slices.Sort(got)
	slices.Sort(data)
	if !slices.Equal(got, data) {
		t.Errorf("%d messages came, not those that were published", len(got))
	}
	s.empty(t, sub)
}

func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	tooMany := make(map[string]string)
	for i := range 101 {
		tooMany[fmt.Sprint("k", i)] = "v"
	}
	one := func(m *pb.PubsubMessage) *pb.PublishRequest {
		return &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("fine")}, m}}
	}
	const emptyText = "One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute."
	good := []*pb.PubsubMessage{{Data: []byte("x")}}
	for _, c := range []struct {
		name string
		r    *pb.PublishRequest
		code codes.Code
		text string
	}{
		{"no topic", &pb.PublishRequest{Messages: good}, codes.InvalidArgument, badName("")},
		{"no topic, no messages", &pb.PublishRequest{}, codes.InvalidArgument, badName("")},
		{"no topic, empty message", &pb.PublishRequest{Messages: []*pb.PubsubMessage{{}}}, codes.InvalidArgument, badName("")},
		{"bad topic name, no messages", &pb.PublishRequest{Topic: "colours"}, codes.InvalidArgument, badName("colours")},
		{"bad topic name", &pb.PublishRequest{Topic: "colours", Messages: good}, codes.InvalidArgument, badName("colours")},
		{"subscription name", &pb.PublishRequest{Topic: sub, Messages: good}, codes.InvalidArgument, badName(sub)},
		{"unknown topic", &pb.PublishRequest{Topic: s.topicName("missing"), Messages: good}, codes.NotFound, "Resource not found (resource=missing)."},
		{"no messages", &pb.PublishRequest{Topic: topic}, codes.InvalidArgument,
			"The value for message_count is too small. You passed 0 in the request, but the minimum value is 1."},
		{"empty message", one(&pb.PubsubMessage{}), codes.InvalidArgument, emptyText},
		{"ordering key alone", &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{OrderingKey: "k"}}}, codes.InvalidArgument, emptyText},
		{"101 attributes", one(&pb.PubsubMessage{Attributes: tooMany}), codes.InvalidArgument, ""},
		{"empty attribute key", one(&pb.PubsubMessage{Attributes: map[string]string{"": "v"}}), codes.InvalidArgument, ""},
		{"attribute key of 257 bytes", one(&pb.PubsubMessage{Attributes: map[string]string{strings.Repeat("k", 257): "v"}}), codes.InvalidArgument, ""},
		{"attribute key of the service", one(&pb.PubsubMessage{Attributes: map[string]string{"googclient": "v"}}), codes.InvalidArgument, ""},
		{"attribute value of 1025 bytes", one(&pb.PubsubMessage{Attributes: map[string]string{"k": strings.Repeat("v", 1025)}}), codes.InvalidArgument, ""},
		{"ordering key of 1025 bytes", &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("x"), OrderingKey: strings.Repeat("k", 1025)}}},
			codes.InvalidArgument, ""},
		{"two ordering keys", one(&pb.PubsubMessage{Data: []byte("x"), OrderingKey: "k"}), codes.InvalidArgument, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Publish(limited(t), c.r)
			wantStatus(t, err, c.code, c.text)
		})
	}
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Errorf("refused publishes left %q behind", dataOf(got))
	}
}

func TestPublishLimitsAreInclusive(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	attributes := map[string]string{strings.Repeat("k", 256): strings.Repeat("v", 1024)}
	for i := range 99 {
		attributes[fmt.Sprint("k", i)] = ""
	}
	m := &pb.PubsubMessage{Attributes: attributes, OrderingKey: strings.Repeat("o", 1024)}
	if _, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{m}}); err != nil {
		t.Fatalf("message at every limit: %v", err)
	}
	got := s.pull(t, sub, 1)[0].Message
	if len(got.Attributes) != 100 || got.Attributes[strings.Repeat("k", 256)] != strings.Repeat("v", 1024) || got.OrderingKey != m.OrderingKey {
		t.Errorf("message at every limit arrived with %d attributes and a key of %d bytes", len(got.Attributes), len(got.OrderingKey))
	}
}

// badName is the text for a name that breaks the rules.
func badName(name string) string {
	return "Invalid resource name given (name=" + name + "). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
}
