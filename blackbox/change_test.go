package blackbox

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
)

// promptly bounds what the broker tells its streams by itself.
const promptly = time.Second

func TestClientDrainsTheBacklogOfADeletedTopic(t *testing.T) {
	t.Parallel()
	const messages = 300
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	release := make(chan struct{})
	r := receive(t, client, sub, pubsub.ReceiveSettings{MaxOutstandingMessages: 10}, func(m *pubsub.Message) {
		<-release
		m.Ack()
	})
	publishAll(t, client, topic, "m", messages)
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	close(release)
	r.deliveries(t, messages)
	if different, most := r.different(); different != messages || most != 1 {
		t.Errorf("%d different messages, one of them %d times; want %d, each once", different, most, messages)
	}
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || got.Topic != "_deleted-topic_" {
		t.Errorf("its topic is %q, %v", got.GetTopic(), err)
	}
}

func TestASuccessorOfADeletedSubscriptionHasNothingOfIt(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a", "b", "c", "d")
	held := s.pull(t, sub, 1)
	old := s.stream(t, open(sub))
	held = append(held, plain(old.take(t, 3))...)
	if _, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: sub}); err != nil {
		t.Fatal(err)
	}
	s.subscription(t, "s-x", topic)
	wantStatus(t, old.end(t), codes.NotFound, "Resource not found (resource=s-x).")
	st := s.stream(t, open(sub))
	st.silent(t, 300*time.Millisecond)
	s.publish(t, topic, "new")
	fresh := st.take(t, 1)
	if string(fresh[0].Message.Data) != "new" {
		t.Errorf("the successor got %q", fresh[0].Message.Data)
	}
	// Ack ids of the old one are those of another subscription.
	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(held)})
	wantStatus(t, err, codes.InvalidArgument, "")
	_, err = s.sub.ModifyAckDeadline(limited(t), &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: ackIDs(held), AckDeadlineSeconds: 0})
	wantStatus(t, err, codes.InvalidArgument, "")
	s.modify(t, sub, 0, fresh[0].ReceivedMessage)
	if again := st.take(t, 1); string(again[0].Message.Data) != "new" {
		t.Errorf("the successor got %q", again[0].Message.Data)
	}
}

func TestTheBacklogOutlivesAChangeToPushAndBack(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer refuses.Close()
	s.publish(t, topic, "a", "b", "c", "d")
	st := s.stream(t, &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 60, MaxOutstandingMessages: 2})
	held := st.take(t, 2)
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{held[0].AckId}})
	st.take(t, 1) // room was made: the acknowledgement has arrived
	waiting := make(chan error, 1)
	ctx, other := limited(t), s.subscription(t, "other", topic)
	go func() {
		_, err := s.sub.Pull(ctx, &pb.PullRequest{Subscription: other, MaxMessages: 1})
		waiting <- err
	}()
	push := &pb.PushConfig{PushEndpoint: refuses.URL}
	for _, name := range []string{sub, other} {
		if _, err := s.sub.ModifyPushConfig(limited(t), &pb.ModifyPushConfigRequest{Subscription: name, PushConfig: push}); err != nil {
			t.Fatal(err)
		}
	}
	g, changed := s.gauge(t), time.Now()
	const text = "This method is not supported for this subscription type."
	wantStatus(t, st.end(t), codes.FailedPrecondition, text)
	wantStatus(t, <-waiting, codes.FailedPrecondition, text)
	if g.over(changed, time.Now(), promptly) {
		t.Errorf("stream and pull ended %v after the change", time.Since(changed))
	}
	_, err := s.sub.Pull(limited(t), immediately(sub, 1))
	wantStatus(t, err, codes.FailedPrecondition, text)
	wantStatus(t, s.stream(t, open(sub)).end(t), codes.FailedPrecondition, text)
	if _, err := s.sub.ModifyPushConfig(limited(t), &pb.ModifyPushConfigRequest{Subscription: sub, PushConfig: &pb.PushConfig{}}); err != nil {
		t.Fatal(err)
	}
	got := dataOf(s.pull(t, sub, 3))
	slices.Sort(got)
	if want := []string{"a", "b", "c", "d"}; len(slices.Compact(got)) != 3 || slices.Contains(got, string(held[0].Message.Data)) {
		t.Errorf("pulled %q after the change back, want %q without %q", got, want, held[0].Message.Data)
	}
}

// TestClientFollowsASubscriptionOverShutdowns loses and doubles nothing of what was acknowledged when the broker stops as it should.
func TestClientFollowsASubscriptionOverShutdowns(t *testing.T) {
	t.Parallel()
	const batch = 200
	s := own(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, nil)
	for round := range 3 {
		publishAll(t, client, topic, fmt.Sprint("round", round), batch)
		s.restart(t, false)
	}
	eventually(t, "every message has come", func() bool {
		different, _ := r.different()
		return different == 3*batch
	})
}
