package blackbox

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func exactlyOnce(s *pb.Subscription) { s.EnableExactlyOnceDelivery = true }

// wantFailures checks that err names exactly the failed ack ids, in the form that Google's clients read.
func wantFailures(t *testing.T, err error, want map[string]string) {
	t.Helper()
	wantStatus(t, err, codes.InvalidArgument, "Some acknowledgement ids in the request were invalid. "+
		"This could be because the acknowledgement ids have expired or the acknowledgement ids were malformed.")
	details := status.Convert(err).Details()
	if len(details) == 0 {
		t.Fatalf("no details in %v", err)
	}
	info, ok := details[0].(*errdetails.ErrorInfo)
	if !ok {
		t.Fatalf("the first detail is a %T", details[0])
	}
	if info.Reason != "EXACTLY_ONCE_ACKID_FAILURE" || info.Domain != "pubsub.googleapis.com" || !maps.Equal(info.Metadata, want) {
		t.Errorf("details %v, want %v", info, want)
	}
}

const permanent = "PERMANENT_FAILURE_INVALID_ACK_ID"

func TestWithExactlyOnceOnlyTheNewestAckIDCounts(t *testing.T) {
	s := common(t)
	topic, sub := s.pair(t, "newest", exactlyOnce)
	s.publish(t, topic, "a", "b", "c")
	first := s.pull(t, sub, 3)
	s.modify(t, sub, 0, first[0])
	again := s.pull(t, sub, 1)
	stale := first[0].AckId

	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: []string{stale, first[1].AckId, "nonsense"}})
	wantFailures(t, err, map[string]string{stale: permanent, "nonsense": permanent})
	_, err = s.sub.ModifyAckDeadline(limited(t), &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: []string{stale, first[2].AckId}, AckDeadlineSeconds: 0})
	wantFailures(t, err, map[string]string{stale: permanent})
	last := s.pull(t, sub, 1) // the third, which went back although its neighbour failed; the second was acknowledged
	if last[0].Message.MessageId != first[2].Message.MessageId {
		t.Errorf("pulled %v", last[0])
	}
	s.ack(t, sub, again[0], last[0])
	_, err = s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(again)})
	wantFailures(t, err, map[string]string{again[0].AckId: permanent})
}

func TestWithExactlyOnceAStreamConfirms(t *testing.T) {
	s := common(t)
	topic, sub := s.pair(t, "confirm", exactlyOnce)
	st := s.stream(t, open(sub))
	s.publish(t, topic, "a", "b")
	got := st.take(t, 2)
	st.send(t, &pb.StreamingPullRequest{
		AckIds:               []string{got[0].AckId, "nonsense"},
		ModifyDeadlineAckIds: []string{got[1].AckId}, ModifyDeadlineSeconds: []int32{60},
	})
	for r := range st.responses {
		if !r.SubscriptionProperties.GetExactlyOnceDeliveryEnabled() {
			t.Errorf("a response without the property: %v", r)
		}
		acks, modacks := r.AcknowledgeConfirmation, r.ModifyAckDeadlineConfirmation
		if acks == nil && modacks == nil {
			continue
		}
		want := fmt.Sprint([]string{got[0].AckId}, []string{"nonsense"}, []string{got[1].AckId})
		if answer := fmt.Sprint(acks.GetAckIds(), acks.GetInvalidAckIds(), modacks.GetAckIds()); answer != want {
			t.Errorf("confirmed %s, want %s", answer, want)
		}
		return
	}
}

func TestWithExactlyOnceAndOrderAcksKeepTheOrder(t *testing.T) {
	s := common(t)
	topic, sub := s.pair(t, "unordered", exactlyOnce, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	for _, data := range []string{"a", "b"} {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte(data), OrderingKey: "k"}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	got := s.pull(t, sub, 2)
	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(got[1:])})
	wantFailures(t, err, map[string]string{got[1].AckId: "TRANSIENT_FAILURE_UNORDERED_ACK_ID"})
	s.ack(t, sub, got[0])
	s.ack(t, sub, got[1])
}

func TestWithExactlyOnceTheAckIDsOfARequestAreASet(t *testing.T) {
	s := common(t)
	topic, sub := s.pair(t, "set", exactlyOnce, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	for i := range 6 {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: fmt.Append(nil, i), OrderingKey: "k"}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	got := ackIDs(s.pull(t, sub, 6))
	nack := &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: []string{got[5], got[5]}}
	if _, err := s.sub.ModifyAckDeadline(limited(t), nack); err != nil {
		t.Errorf("an id twice in a nack: %v", err)
	}
	backwards := &pb.AcknowledgeRequest{Subscription: sub, AckIds: []string{got[2], got[0], got[2], got[1], got[0]}}
	if _, err := s.sub.Acknowledge(limited(t), backwards); err != nil {
		t.Errorf("ids of a key backwards, and twice: %v", err)
	}
	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: []string{got[4], got[0], "nonsense", "nonsense"}})
	wantFailures(t, err, map[string]string{got[4]: "TRANSIENT_FAILURE_UNORDERED_ACK_ID", got[0]: permanent, "nonsense": permanent})

	st := s.stream(t, open(sub))
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{got[4], got[3], got[3]}})
	for r := range st.responses {
		if c := r.AcknowledgeConfirmation; c != nil {
			if !slices.Equal(c.AckIds, got[3:5]) || len(c.InvalidAckIds)+len(c.UnorderedAckIds) > 0 {
				t.Errorf("the stream confirms %v, want %v and no failure", c, got[3:5])
			}
			return
		}
	}
}

// The client collects acks in no order, and takes one failure of a request for a failure of all.
func TestClientConfirmsAcksWithExactlyOnceAndOrder(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", exactlyOnce, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	publisher := client.Publisher(topic)
	publisher.EnableMessageOrdering = true
	defer publisher.Stop()
	const messages = 200
	for i := range messages {
		publisher.Publish(t.Context(), &pubsub.Message{Data: fmt.Append(nil, i), OrderingKey: "k"})
	}
	publisher.Flush()
	confirmed := make(chan error, messages)
	receive(t, client, sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		result := m.AckWithResult()
		go func() { // the message after this one comes when the handler returns
			_, err := result.Get(t.Context())
			confirmed <- err
		}()
	})
	patience := limited(t)
	for i := range messages {
		select {
		case err := <-confirmed:
			if err != nil {
				t.Fatalf("an ack was refused: %v", err)
			}
		case <-patience.Done():
			t.Fatalf("%d of %d acks were confirmed", i, messages)
		}
	}
}
