package blackbox

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func TestFirstRequestRules(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	push := s.subscription(t, "push", topic, func(r *pb.Subscription) {
		r.PushConfig = &pb.PushConfig{PushEndpoint: "http://127.0.0.1:1/"}
	})
	for _, c := range []struct {
		name  string
		first *pb.StreamingPullRequest
		code  codes.Code
		text  string
	}{
		{"no subscription", &pb.StreamingPullRequest{StreamAckDeadlineSeconds: 60}, codes.InvalidArgument, ""},
		{"bad name", &pb.StreamingPullRequest{Subscription: "s", StreamAckDeadlineSeconds: 60}, codes.InvalidArgument, badName("s")},
		{"unknown", open(s.subName("missing")), codes.NotFound, "Resource not found (resource=missing)."},
		{"push subscription", open(push), codes.FailedPrecondition, ""},
		{"no deadline", &pb.StreamingPullRequest{Subscription: sub}, codes.InvalidArgument, ""},
		{"deadline of 9 s", &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 9}, codes.InvalidArgument, ""},
		{"deadline of 601 s", &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 601}, codes.InvalidArgument, ""},
		{"more ids than deadlines", &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 60, ModifyDeadlineAckIds: []string{"x"}},
			codes.InvalidArgument, ""},
		{"malformed ack id", &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 60, AckIds: []string{"nonsense"}},
			codes.InvalidArgument, "You have passed an invalid ack ID to the service (ack_id=nonsense)."},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantStatus(t, s.stream(t, c.first).end(t), c.code, c.text)
		})
	}
}

func TestLaterRequestRules(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	for _, c := range []struct {
		name  string
		later func(ackID string) *pb.StreamingPullRequest
	}{
		{"subscription", func(string) *pb.StreamingPullRequest { return &pb.StreamingPullRequest{Subscription: sub} }},
		{"outstanding messages", func(string) *pb.StreamingPullRequest { return &pb.StreamingPullRequest{MaxOutstandingMessages: 5} }},
		{"outstanding bytes", func(string) *pb.StreamingPullRequest { return &pb.StreamingPullRequest{MaxOutstandingBytes: 5} }},
		{"protocol version", func(string) *pb.StreamingPullRequest { return &pb.StreamingPullRequest{ProtocolVersion: 1} }},
		{"deadline out of bounds", func(string) *pb.StreamingPullRequest { return &pb.StreamingPullRequest{StreamAckDeadlineSeconds: 5} }},
		{"lists of different length", func(id string) *pb.StreamingPullRequest {
			return &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{id}, ModifyDeadlineSeconds: []int32{1, 2}}
		}},
		{"negative deadline", func(id string) *pb.StreamingPullRequest {
			return &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{id}, ModifyDeadlineSeconds: []int32{-1}}
		}},
		{"deadline over 600 s", func(id string) *pb.StreamingPullRequest {
			return &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{id}, ModifyDeadlineSeconds: []int32{601}}
		}},
		{"malformed ack id", func(string) *pb.StreamingPullRequest { return &pb.StreamingPullRequest{AckIds: []string{"nonsense"}} }},
		{"malformed id to modify", func(string) *pb.StreamingPullRequest {
			return &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{"nonsense"}, ModifyDeadlineSeconds: []int32{10}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := s.stream(t, open(sub))
			got := burst(t, s, topic, st, 1)
			st.send(t, c.later(got[0].AckId))
			wantStatus(t, st.end(t), codes.InvalidArgument, "")
			s.ack(t, sub, s.pull(t, sub, 1)...) // the refused stream gave its message back; clear it for the next case
		})
	}
}

func TestLaterRequestMayRepeatTheClientID(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	first := open(sub)
	first.ClientId = "me"
	st := s.stream(t, first)
	st.send(t, &pb.StreamingPullRequest{ClientId: "me"})
	burst(t, s, topic, st, 1)
}

func pingsAreAnswered(t *testing.T, said []string) {
	s := common(t)
	from := int64(figure(t, said[1]))
	for version := range from + 2 {
		_, sub := s.pair(t, fmt.Sprint("v", version), inOrder)
		first := open(sub)
		first.ProtocolVersion = version
		st := s.stream(t, first)
		drain(st, 500*time.Millisecond) // a server may greet a new stream
		for range 3 {
			st.send(t, &pb.StreamingPullRequest{})
			wait := time.Second
			if version >= from {
				wait = patience
			}
			select {
			case r := <-st.responses:
				if version < from {
					t.Errorf("a ping of version %d was answered with %v", version, r.StreamingPullResponse)
				} else if !r.GetSubscriptionProperties().GetMessageOrderingEnabled() {
					t.Errorf("answer to a ping is %v, want the subscription's properties in it", r.StreamingPullResponse)
				}
			case err := <-st.ended:
				t.Fatalf("stream ended: %v", err)
			case <-time.After(wait):
				if version >= from {
					t.Fatalf("a ping of version %d was not answered", version)
				}
			}
		}
	}
}

// drain drops what comes within a while.
func drain(st *stream, while time.Duration) {
	limit := time.After(while)
	for {
		select {
		case <-st.responses:
		case <-limit:
			return
		}
	}
}

func TestEveryResponseCarriesSubscriptionProperties(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x", func(r *pb.Subscription) { r.EnableMessageOrdering = true })
	st := s.stream(t, open(sub))
	for range 3 {
		s.publish(t, topic, "a")
		select {
		case r := <-st.responses:
			if p := r.SubscriptionProperties; !p.GetMessageOrderingEnabled() || p.GetExactlyOnceDeliveryEnabled() {
				t.Errorf("properties are %v, want ordering and not exactly-once", p)
			}
		case <-time.After(patience):
			t.Fatal("no response")
		}
	}
}

func TestFlowControlByMessages(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	first := open(sub)
	first.MaxOutstandingMessages = 3
	st := s.stream(t, first)
	s.publish(t, topic, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	held := st.take(t, 3)
	st.silent(t, 500*time.Millisecond)
	// Room made by an acknowledgement, a call on another connection and a nack is used at once, and no further.
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{held[0].AckId}})
	held = append(held[1:], st.take(t, 1)...)
	st.silent(t, 300*time.Millisecond)
	s.ack(t, sub, held[0].ReceivedMessage)
	held = append(held[1:], st.take(t, 1)...)
	st.silent(t, 300*time.Millisecond)
	s.modify(t, sub, 0, held[0].ReceivedMessage)
	held = append(held[1:], st.take(t, 1)...)
	st.silent(t, 300*time.Millisecond)
	// Ten messages, two of them acknowledged: the others pass through three at a time.
	done := 2
	for ; done < 10; done++ {
		st.send(t, &pb.StreamingPullRequest{AckIds: []string{held[0].AckId}})
		held = held[1:]
		if done+len(held) < 9 {
			held = append(held, st.take(t, 1)...)
		}
	}
	st.silent(t, 300*time.Millisecond)
}

func TestFlowControlByBytes(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	// All is there before the stream is: nothing but the limit keeps it from being sent at once.
	r := &pb.PublishRequest{Topic: topic}
	for range 8 {
		r.Messages = append(r.Messages, &pb.PubsubMessage{Data: bytes.Repeat([]byte("x"), 4000)})
	}
	if _, err := s.Publish(limited(t), r); err != nil {
		t.Fatal(err)
	}
	first := open(sub)
	first.MaxOutstandingBytes = 10_000
	st := s.stream(t, first)
	// A message is sent while less than the limit is out: at 8,000 bytes a third still goes, at 12,000 none.
	held := st.take(t, 2)
	for over := time.After(time.Second); ; {
		select {
		case r := <-st.responses:
			for _, m := range r.ReceivedMessages {
				held = append(held, delivered{m, r.at})
			}
			continue
		case <-over:
		}
		break
	}
	if len(held) > 3 {
		t.Fatalf("%d messages of 4,000 bytes are out, want 2 or 3 with a limit of 10,000 bytes", len(held))
	}
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{held[0].AckId}})
	st.take(t, 1)
	st.silent(t, 300*time.Millisecond)
}

func TestMessageLargerThanTheLimitComesAlone(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	first := open(sub)
	first.MaxOutstandingBytes = 1000
	st := s.stream(t, first)
	for range 2 {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: make([]byte, 50_000)}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	held := st.take(t, 1)
	st.silent(t, 300*time.Millisecond)
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{held[0].AckId}})
	st.take(t, 1)
}

func TestExpiredLeaseMakesRoom(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	first := open(sub)
	first.MaxOutstandingMessages = 1
	st := s.stream(t, first)
	s.publish(t, topic, "a", "b")
	held := st.take(t, 1)
	s.modify(t, sub, 1, held[0].ReceivedMessage)
	st.take(t, 1)
	st.silent(t, 300*time.Millisecond)
}

func TestWithoutLimitsAStreamGetsAll(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{0, -1} {
		s := common(t)
		topic, sub := s.pair(t, "x")
		first := open(sub)
		first.MaxOutstandingMessages, first.MaxOutstandingBytes = limit, limit
		st := s.stream(t, first)
		for range 3 {
			burst(t, s, topic, st, 1000)
		}
	}
}

func TestResponsesStayBelowGRPCDefaultSize(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	for range 10 {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: make([]byte, 1_000_000)}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	st := s.stream(t, open(sub))
	for n := 0; n < 10; {
		select {
		case r := <-st.responses:
			n += len(r.ReceivedMessages)
			if size := proto.Size(r.StreamingPullResponse); size > 4<<20 {
				t.Errorf("response of %d bytes, want at most 4 MiB", size)
			}
		case <-time.After(patience):
			t.Fatal("not all came")
		}
	}
}

func TestStreamsShareASubscriptionFairly(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	var streams []*stream
	for range 4 {
		first := open(sub)
		first.MaxOutstandingMessages = 10
		streams = append(streams, s.stream(t, first))
	}
	const n = 2000
	type piece struct {
		stream int
		id     string
	}
	pieces := make(chan piece, n)
	for i, st := range streams {
		go func() {
			for r := range st.responses {
				ids := ackIDs(r.ReceivedMessages)
				for _, m := range r.ReceivedMessages {
					pieces <- piece{i, m.Message.MessageId}
				}
				if len(ids) > 0 && st.Send(&pb.StreamingPullRequest{AckIds: ids}) != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { st.cancel(); <-st.ended; close(st.responses) })
	}
	for range n / 100 {
		data := make([]string, 100)
		for i := range data {
			data[i] = "x"
		}
		s.publish(t, topic, data...)
	}
	count := make([]int, len(streams))
	seen := make(map[string]int)
	limit := time.After(patience)
	for range n {
		select {
		case p := <-pieces:
			count[p.stream]++
			seen[p.id]++
		case <-limit:
			t.Fatalf("%d of %d messages came", len(seen), n)
		}
	}
	if len(seen) != n {
		t.Errorf("%d different messages in %d deliveries", len(seen), n)
	}
	for i, c := range count {
		if c < n/len(streams)/4 {
			t.Errorf("stream %d got %d of %d messages, shares are %v", i, c, n, count)
		}
	}
}
