package blackbox

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func oneValidAckID(t *testing.T, _ []string) {
	s := common(t)
	topic, sub := s.pair(t, "x", exactlyOnce)
	s.publish(t, topic, "a")
	first := s.pull(t, sub, 1)
	s.modify(t, sub, 1, first...)
	time.Sleep(1500 * time.Millisecond) // the lease ends, and nobody is there whom the message could go to
	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(first)})
	wantFailures(t, err, map[string]string{first[0].AckId: permanent})
	s.ack(t, sub, s.pull(t, sub, 1)...)
	s.empty(t, sub)
}

func formOfAckIDs(t *testing.T, said []string) {
	s := common(t)
	topic, sub := s.pair(t, "x")
	long := s.subscription(t, "s"+strings.Repeat("x", 254), topic)
	for range 100 {
		s.publish(t, topic, "a")
	}
	form := regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	for _, m := range append(s.pull(t, sub, 100), s.pull(t, long, 100)...) {
		if !form.MatchString(m.AckId) || len(m.AckId) > figure(t, said[1]) {
			t.Fatalf("ack id %q of %d characters", m.AckId, len(m.AckId))
		}
	}
}

func earlierAckIDs(t *testing.T, _ []string) {
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	first := s.pull(t, sub, 1)
	s.modify(t, sub, 0, first...)
	again := s.pull(t, sub, 1)
	s.ack(t, sub, first...)
	s.modify(t, sub, 0, again...)
	s.empty(t, sub)
}

func acksWaitForTheirTurn(t *testing.T, said []string) {
	seconds, err := strconv.ParseFloat(said[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	s := common(t)
	topic, sub := s.pair(t, "x", exactlyOnce, func(r *pb.Subscription) { r.EnableMessageOrdering = true })
	s.publishKeyed(t, topic, "k", "a")
	s.publishKeyed(t, topic, "k", "b")
	got := s.pull(t, sub, 2)
	g, began := s.gauge(t), time.Now()
	_, err = s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(got[1:])})
	ended := time.Now()
	wantFailures(t, err, map[string]string{got[1].AckId: "TRANSIENT_FAILURE_UNORDERED_ACK_ID"})
	wait := time.Duration(seconds * float64(time.Second))
	if took := ended.Sub(began); took < wait || took > 2*wait+5*g.slack(began, ended) { // it looks again 20 times, and each may be late
		t.Errorf("refused after %v, want %v", took, wait)
	}
	s.ack(t, sub, got[0])
	s.ack(t, sub, got[1])
}

func ackIDsOfARequest(t *testing.T, said []string) {
	most, many := figure(t, said[1]), figure(t, said[2])
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	id := s.pull(t, sub, 1)[0].AckId
	with := func(n int) []string { return slices.Repeat([]string{id}, n) }
	fields := len(sub) + 3 // the subscription's tag and length, and for each id the same
	each := len(id) + 2
	fitting := (most - fields) / each
	if fitting <= many {
		t.Errorf("%d ack ids fit, want more than %d", fitting, many)
	}
	for _, n := range []int{many, fitting} {
		if _, err := s.sub.ModifyAckDeadline(limited(t), &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: with(n - 1), AckDeadlineSeconds: 60}); err != nil {
			t.Errorf("%d ack ids: %v", n-1, err)
		}
	}
	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: with(fitting + 1)})
	wantStatus(t, err, codes.InvalidArgument, "")
	if _, err = s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: with(fitting)}); err != nil {
		t.Errorf("%d ack ids: %v", fitting, err)
	}
}

func attemptsAreCounted(t *testing.T, _ []string) {
	s := common(t)
	d := s.deadLettered(t)
	without := s.subscription(t, "without", d.topic, backoff(0, 0))
	s.publish(t, d.topic, "a")
	for attempt := range int32(3) {
		s.failOnce(t, d.sub, attempt+1)
		s.failOnce(t, without, 0)
	}
}

func orderIsKept(t *testing.T, _ []string) {
	s := common(t)
	topic, sub := s.pair(t, "x", inOrder)
	want := []string{"1", "2", "3", "4"}
	for _, data := range want {
		s.publishKeyed(t, topic, "k", data)
	}
	st := s.stream(t, open(sub))
	for _, seconds := range []int32{0, 1} { // a nack, a deadline
		got := st.take(t, len(want))
		if data := dataOf(plain(got)); !slices.Equal(data, want) {
			t.Fatalf("%q came, want %q", data, want)
		}
		s.modify(t, sub, seconds, got[0].ReceivedMessage)
	}
	got := st.take(t, len(want))
	if data := dataOf(plain(got)); !slices.Equal(data, want) {
		t.Errorf("after the deadline %q came, want %q", data, want)
	}
	s.ack(t, sub, got[0].ReceivedMessage)
	s.modify(t, sub, 0, got[1].ReceivedMessage)
	if data := dataOf(plain(st.take(t, 3))); !slices.Equal(data, want[1:]) {
		t.Errorf("after a nack of the second %q came, want %q", data, want[1:])
	}
}

func streamsEnd(t *testing.T, _ []string) {
	s := own(t)
	topic := s.topic(t, "topic")
	e := newEndpoint(t, nil)
	for name, c := range map[string]struct {
		end  func(sub string)
		want codes.Code
	}{
		"deleted": {func(sub string) {
			if _, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: sub}); err != nil {
				t.Error(err)
			}
		}, codes.NotFound},
		"detached": {func(sub string) {
			if _, err := s.DetachSubscription(limited(t), &pb.DetachSubscriptionRequest{Subscription: sub}); err != nil {
				t.Error(err)
			}
		}, codes.FailedPrecondition},
		"pushed":  {func(sub string) { s.switchTo(t, sub, e.URL) }, codes.FailedPrecondition},
		"stopped": {func(string) { s.restart(t, false) }, codes.Unavailable},
	} {
		sub := s.subscription(t, name, topic)
		st := s.stream(t, open(sub))
		burst(t, s, topic, st, 1)
		c.end(sub)
		if err := st.end(t); status.Code(err) != c.want {
			t.Errorf("%s: the stream ended with %v, want %v", name, err, c.want)
		}
	}
}

func filtersAreInEffect(t *testing.T, said []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	frame := `attributes.colour != ""`
	filter := strings.Replace(frame, `""`, `"`+strings.Repeat("x", figure(t, said[1])-len(frame))+`"`, 1)
	sub := s.subscription(t, "longest", topic, withFilter(filter))
	_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName("longer"), Topic: topic, Filter: filter + " "})
	wantStatus(t, err, codes.InvalidArgument, "")
	for _, colour := range []string{strings.Repeat("x", figure(t, said[1])-len(frame)), "red"} {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte(colour), Attributes: map[string]string{"colour": colour}}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "red" {
		t.Errorf("%q came", got)
	}
	s.empty(t, sub)
}

func deadLettersAreExact(t *testing.T, said []string) {
	least, most := figure(t, said[1]), figure(t, said[2])
	s := common(t)
	d := s.deadLettered(t)
	for n, want := range map[int]codes.Code{least - 1: codes.InvalidArgument, least: codes.OK, most: codes.OK, most + 1: codes.InvalidArgument} {
		policy := &pb.DeadLetterPolicy{DeadLetterTopic: d.letters, MaxDeliveryAttempts: int32(n)}
		_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName(fmt.Sprint("attempts", n)), Topic: d.topic, DeadLetterPolicy: policy})
		if code := status.Code(err); code != want && (want == codes.OK || code != codes.OutOfRange) {
			t.Errorf("%d attempts: %v, want %v", n, err, want)
		}
	}
	s.publish(t, d.topic, "poison")
	for attempt := range int32(least) {
		s.failOnce(t, d.sub, attempt+1)
	}
	letter := s.pull(t, d.grave, 1)[0].Message
	for _, name := range said[3:] {
		if letter.Attributes[name] == "" {
			t.Errorf("the dead letter has no %s: %v", name, letter.Attributes)
		}
	}
	s.empty(t, d.sub)
}

func newSubscriptionBegins(t *testing.T, _ []string) {
	s := common(t)
	topic := s.topicName("kept")
	if _, err := s.CreateTopic(limited(t), &pb.Topic{Name: topic, MessageRetentionDuration: durationpb.New(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.publish(t, topic, "before")
	sub := s.subscription(t, "sub", topic)
	s.publish(t, topic, "after")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "after" {
		t.Errorf("%q came", got)
	}
	s.empty(t, sub)
	back := &pb.SeekRequest{Subscription: sub, Target: &pb.SeekRequest_Time{Time: timestamppb.New(begin.Add(-time.Second))}}
	if _, err := s.sub.Seek(limited(t), back); err != nil {
		t.Fatal(err)
	}
	if got := dataOf(s.pull(t, sub, 2)); !slices.Contains(got, "before") || !slices.Contains(got, "after") {
		t.Errorf("after the seek %q came", got)
	}
}

func pushAdaptsItsSpeed(t *testing.T, _ []string) {
	t.Run("grows", func(t *testing.T) {
		t.Parallel()
		pushGrows(t)
	})
	t.Run("backs off", func(t *testing.T) {
		t.Parallel()
		s := common(t)
		e := newEndpoint(t, func(int, *pushed) int { return 503 })
		topic, sub := s.pair(t, "x", pushTo(e.URL))
		s.publish(t, topic, "m")
		got := e.requests(t, 5)
		s.switchTo(t, sub, "")
		// Four waits that double, of 100 ms at first.
		if took := got[4].at.Sub(got[0].at); took < 1400*time.Millisecond {
			t.Errorf("five attempts within %v", took)
		}
	})
}

// pushGrows counts how many requests an endpoint has at a time, before any was answered and after many were.
func pushGrows(t *testing.T) {
	s := common(t)
	release := make(chan struct{})
	var flying, most atomic.Int64
	e := newEndpoint(t, func(int, *pushed) int {
		now := flying.Add(1)
		defer flying.Add(-1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		<-release
		return 200
	})
	topic, sub := s.pair(t, "x", pushTo(e.URL))
	data := make([]string, 1000)
	for i := range data {
		data[i] = fmt.Sprint(i)
	}
	s.publish(t, topic, data...)
	e.requests(t, 1)
	time.Sleep(300 * time.Millisecond) // more would come by now
	first := most.Load()
	for answered := range len(data) {
		eventually(t, "a request waits", func() bool { return len(e.got()) > answered })
		if answered%10 == 0 {
			time.Sleep(2 * time.Millisecond) // those that may come do
		}
		release <- struct{}{}
	}
	s.drained(t, sub)
	if first > 10 || most.Load() < 2*first {
		t.Errorf("%d requests at a time at first, %d later; want few and then at least twice as many", first, most.Load())
	}
}
