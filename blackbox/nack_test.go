package blackbox

import (
	"testing"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// Clients collect nacks in no order. One of a message ends the leases of the later ones of its key, which must not make the others of
// the same request fail, nor keep them from counting towards the dead letter.
func TestNacksOfOneRequestAllCount(t *testing.T) {
	t.Parallel()
	mixed := []int{2, 0, 5, 1, 4, 3}
	for _, c := range []struct {
		name    string
		changes []func(*pb.Subscription)
	}{
		{"at least once", nil},
		{"exactly once", []func(*pb.Subscription){exactlyOnce}},
	} {
		t.Run(c.name+" by call", func(t *testing.T) {
			s := common(t)
			_, sub := s.keyed(t, c.changes...)
			for attempt := int32(1); attempt <= 3; attempt++ {
				got := s.pull(t, sub, len(mixed))
				wantAttempts(t, got, attempt)
				r := &pb.ModifyAckDeadlineRequest{Subscription: sub}
				for _, i := range mixed {
					r.AckIds = append(r.AckIds, got[i].AckId)
				}
				if _, err := s.sub.ModifyAckDeadline(limited(t), r); err != nil {
					t.Errorf("nack of attempt %d: %v", attempt, err)
				}
			}
		})
		t.Run(c.name+" by stream", func(t *testing.T) {
			s := common(t)
			_, sub := s.keyed(t, c.changes...)
			st := s.stream(t, open(sub))
			var got []*pb.ReceivedMessage
			attempt := int32(1)
			for r := range st.responses {
				if c := r.ModifyAckDeadlineConfirmation; c != nil && len(c.InvalidAckIds)+len(c.TemporaryFailedAckIds) > 0 {
					t.Errorf("the stream confirms %v, want no failure", c)
				}
				if got = append(got, r.ReceivedMessages...); len(got) < len(mixed) {
					continue
				}
				wantAttempts(t, got, attempt)
				if attempt++; attempt > 3 {
					return
				}
				nack := &pb.StreamingPullRequest{ModifyDeadlineSeconds: make([]int32, len(mixed))}
				for _, i := range mixed {
					nack.ModifyDeadlineAckIds = append(nack.ModifyDeadlineAckIds, got[i].AckId)
				}
				got = nil
				st.send(t, nack)
			}
			t.Error("the stream ended")
		})
	}
}

// keyed is a subscription with order and a dead letter policy, and six messages of one ordering key in it.
func (s *server) keyed(t *testing.T, changes ...func(*pb.Subscription)) (topic, sub string) {
	t.Helper()
	letters := s.topic(t, "letters")
	topic, sub = s.pair(t, "nacks", append(changes, func(s *pb.Subscription) {
		s.EnableMessageOrdering = true
		s.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: letters, MaxDeliveryAttempts: 5}
	})...)
	r := &pb.PublishRequest{Topic: topic}
	for i := range 6 {
		r.Messages = append(r.Messages, &pb.PubsubMessage{Data: []byte{'0' + byte(i)}, OrderingKey: "k"})
	}
	if _, err := s.Publish(limited(t), r); err != nil {
		t.Fatal(err)
	}
	return topic, sub
}

// wantAttempts checks that all messages of keyed came in order, with one attempt.
func wantAttempts(t *testing.T, got []*pb.ReceivedMessage, attempt int32) {
	t.Helper()
	for i, m := range got {
		if string(m.Message.Data) != string(rune('0'+i)) || m.DeliveryAttempt != attempt {
			t.Errorf("position %d: %q with attempt %d, want %d with attempt %d", i, m.Message.Data, m.DeliveryAttempt, i, attempt)
		}
	}
}
