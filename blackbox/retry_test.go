package blackbox

import (
	"slices"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func backoff(least, most time.Duration) func(*pb.Subscription) {
	return func(s *pb.Subscription) {
		s.RetryPolicy = &pb.RetryPolicy{MinimumBackoff: durationpb.New(least), MaximumBackoff: durationpb.New(most)}
	}
}

func nackOnStream(t *testing.T, st *stream, m delivered) {
	t.Helper()
	st.send(t, &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{m.AckId}, ModifyDeadlineSeconds: []int32{0}})
}

func TestRetryPolicyHasTheDefaultsOfTheProduct(t *testing.T) {
	t.Parallel()
	s := common(t)
	_, sub := s.pair(t, "x", func(r *pb.Subscription) { r.RetryPolicy = new(pb.RetryPolicy) })
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil {
		t.Fatal(err)
	}
	if p := got.RetryPolicy; p.MinimumBackoff.AsDuration() != 10*time.Second || p.MaximumBackoff.AsDuration() != 600*time.Second {
		t.Errorf("retry policy %v, want 10 s to 600 s", p)
	}
}

func TestBackoffDoublesFromItsMinimumToItsMaximum(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x", backoff(500*time.Millisecond, 1500*time.Millisecond))
	st := s.stream(t, open(sub))
	s.publish(t, topic, "x")
	last, g := st.take(t, 1)[0], s.gauge(t)
	for i, want := range []time.Duration{500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 1500 * time.Millisecond} {
		sent := time.Now()
		nackOnStream(t, st, last)
		next := st.take(t, 1)[0]
		// The nack takes a moment to arrive, the wheel turns every 100 ms, and the jitter is a tenth.
		if gap := next.at.Sub(sent); gap < want-20*time.Millisecond || g.over(sent, next.at, want+want/10+time.Second) {
			t.Errorf("redelivery %d came %v after the nack, want %v", i+1, gap, want)
		}
		if next.DeliveryAttempt != 0 {
			t.Errorf("delivery attempt %d without a dead letter policy", next.DeliveryAttempt)
		}
		last = next
	}
}

func TestWithoutARetryPolicyANackedMessageComesAtOnce(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	st := s.stream(t, open(sub))
	s.publish(t, topic, "x")
	last, g := st.take(t, 1)[0], s.gauge(t)
	for i := range 20 {
		sent := time.Now()
		nackOnStream(t, st, last)
		last = st.take(t, 1)[0]
		if g.over(sent, last.at, 300*time.Millisecond) {
			t.Errorf("redelivery %d took %v", i+1, last.at.Sub(sent))
		}
	}
}

func TestAMessageUnderBackoffMakesRoomForOthers(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x", backoff(60*time.Second, 60*time.Second))
	first := open(sub)
	first.MaxOutstandingMessages = 1
	st := s.stream(t, first)
	s.publish(t, topic, "a", "b", "c")
	for _, want := range []string{"a", "b", "c"} {
		m := st.take(t, 1)[0]
		if string(m.Message.Data) != want {
			t.Fatalf("%s came, want %s", m.Message.Data, want)
		}
		nackOnStream(t, st, m)
	}
	st.silent(t, 300*time.Millisecond)
}

func TestWithOrderABackoffHoldsBackItsKeyOnly(t *testing.T) {
	t.Parallel()
	s := common(t)
	const wait = 8 * time.Second // much longer than the other key takes on any machine
	topic, sub := s.pair(t, "x", inOrder, backoff(wait, wait))
	for _, data := range []string{"1", "2", "3"} {
		s.publishKeyed(t, topic, "bad", "bad"+data)
		s.publishKeyed(t, topic, "good", "good"+data)
	}
	st := s.stream(t, open(sub))
	got := st.take(t, 6)
	nacked := time.Now() // or a little later
	for _, m := range got {
		if string(m.Message.Data) == "bad1" {
			nackOnStream(t, st, m)
		} else if m.Message.OrderingKey == "good" {
			st.send(t, &pb.StreamingPullRequest{AckIds: []string{m.AckId}})
		}
	}
	s.publishKeyed(t, topic, "bad", "bad4")
	s.publishKeyed(t, topic, "good", "good4")
	other := st.take(t, 1)[0]
	if string(other.Message.Data) != "good4" {
		t.Errorf("%s came after %v, want good4 before the backoff ends", other.Message.Data, other.at.Sub(nacked))
	}
	again := st.take(t, 4)
	if data := dataOf(plain(again)); !slices.Equal(data, []string{"bad1", "bad2", "bad3", "bad4"}) {
		t.Errorf("after the backoff came %q", data)
	}
	if waited := again[0].at.Sub(nacked); waited < wait-100*time.Millisecond {
		t.Errorf("the key came again after %v, want %v", waited, wait)
	}
}
