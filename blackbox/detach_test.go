package blackbox

import (
	"context"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

const detachedText = "Subscription is detached."

func TestADetachedSubscriptionIsOfNoUseAndCanOnlyBeDeleted(t *testing.T) {
	t.Parallel()
	s := own(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	other := s.subscription(t, "other", topic)
	s.publish(t, topic, "a", "b", "c")
	st := s.stream(t, &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 60, MaxOutstandingMessages: 1})
	held := st.take(t, 1)
	detach := &pb.DetachSubscriptionRequest{Subscription: sub}
	if _, err := s.DetachSubscription(limited(t), detach); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, st.end(t), codes.FailedPrecondition, detachedText)
	s.ack(t, sub, held[0].ReceivedMessage) // silently nothing
	check := func() {
		t.Helper()
		_, err := s.DetachSubscription(limited(t), detach)
		wantStatus(t, err, codes.FailedPrecondition, "Subscription already detached.")
		_, err = s.sub.Pull(limited(t), immediately(sub, 1))
		wantStatus(t, err, codes.FailedPrecondition, detachedText)
		wantStatus(t, s.stream(t, open(sub)).end(t), codes.FailedPrecondition, detachedText)
		got, err := client.SubscriptionAdminClient.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
		if err != nil || !got.Detached || got.Topic != topic {
			t.Errorf("described as %v, %v", got, err)
		}
		attached, err := s.ListTopicSubscriptions(limited(t), &pb.ListTopicSubscriptionsRequest{Topic: topic})
		if err != nil || len(attached.Subscriptions) != 1 || attached.Subscriptions[0] != other {
			t.Errorf("attached: %q, %v; want %s", attached.GetSubscriptions(), err, other)
		}
	}
	check()
	s.restart(t, true)
	check()
	if got := s.pull(t, other, 3); len(got) != 3 {
		t.Errorf("the other subscription lost messages: %q", dataOf(got))
	}
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	s.restart(t, false)
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || !got.Detached || got.Topic != "_deleted-topic_" {
		t.Errorf("described as %v, %v", got, err)
	}
	if _, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: sub}); err != nil {
		t.Error(err)
	}
	_, err = s.DetachSubscription(limited(t), detach)
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=s-x).")
}

func TestClientStopsReceivingFromADetachedSubscription(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	ended := make(chan error, 1)
	got := make(chan string, 10)
	go func() {
		ended <- client.Subscriber(sub).Receive(t.Context(), func(_ context.Context, m *pubsub.Message) {
			got <- string(m.Data)
			m.Ack()
		})
	}()
	s.publish(t, topic, "a")
	<-got
	if _, err := client.TopicAdminClient.DetachSubscription(limited(t), &pb.DetachSubscriptionRequest{Subscription: sub}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		wantStatus(t, err, codes.FailedPrecondition, "")
	case <-time.After(patience):
		t.Error("Receive goes on")
	}
}

func TestExpirationPoliciesAreKept(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic := s.topic(t, "t-x")
	for _, c := range []struct {
		id   string
		sent *pb.ExpirationPolicy
		want *durationpb.Duration // nil: never
	}{
		{"by-default", nil, durationpb.New(31 * 24 * time.Hour)},
		{"never", &pb.ExpirationPolicy{}, nil},
		{"a-day", &pb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}, durationpb.New(24 * time.Hour)},
	} {
		sub := s.subscription(t, c.id, topic, func(r *pb.Subscription) { r.ExpirationPolicy = c.sent })
		check := func() {
			t.Helper()
			got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
			if err != nil || got.ExpirationPolicy == nil || got.ExpirationPolicy.Ttl.AsDuration() != c.want.AsDuration() {
				t.Errorf("%s: expires by %v, %v; want %v", c.id, got.GetExpirationPolicy(), err, c.want)
			}
		}
		check()
		s.restart(t, true)
		check()
	}
	update := &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: s.subName("never"), ExpirationPolicy: &pb.ExpirationPolicy{Ttl: durationpb.New(time.Hour)}},
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"expiration_policy"}},
	}
	_, err := s.sub.UpdateSubscription(limited(t), update)
	wantStatus(t, err, codes.InvalidArgument, "The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h.")
}
