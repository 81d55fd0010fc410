package blackbox

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// expiryGrace is how long after a start no subscription expires.
const expiryGrace = 10 * time.Minute

// usable is a subscription that lives for a day without use, and what a test does with it.
type usable struct {
	what string
	sub  string
	use  func()
	is   bool // use, after which it lives for another day
}

// usables creates a subscription for each thing that one can do with it.
func (s *aging) usables(t *testing.T, topic string) []usable {
	t.Helper()
	var list []usable
	add := func(what string, is bool, use func(sub string), changes ...func(*pb.Subscription)) {
		changes = append(changes, living(day), keeping(day))
		sub := s.subscription(t, "s-"+string(rune('a'+len(list))), topic, changes...)
		list = append(list, usable{what, sub, func() { use(sub) }, is})
	}
	admin := s.client.SubscriptionAdminClient
	add("nothing", false, func(string) {})
	add("a look at its configuration", false, func(sub string) { s.subscribed(t, sub)() })
	add("a list", false, func(string) {
		if _, err := s.sub.ListSubscriptions(limited(t), &pb.ListSubscriptionsRequest{Project: "projects/" + s.project}); err != nil {
			t.Error(err)
		}
	})
	add("a pull", true, func(sub string) { s.pullNow(t, sub) })
	add("a stream", true, func(sub string) {
		st := s.stream(t, open(sub))
		st.take(t, 1)
		leave(t, st)
	})
	add("Google's subscriber", true, func(sub string) {
		r := receive(t, s.client, sub, pubsub.ReceiveSettings{}, nil)
		r.deliveries(t, 1)
		r.stop(t)
	})
	held := make(map[string][]*pb.ReceivedMessage)
	add("an acknowledgement", true, func(sub string) { s.ack(t, sub, held[sub]...) })
	acked := list[len(list)-1].sub
	add("a seek", true, func(sub string) { seekTo(t, s.client, sub, s.clock.Now()) })
	add("a snapshot", true, func(sub string) { s.snapshot(t, s.client, "", sub) })
	add("a change", true, func(sub string) {
		change := &pb.UpdateSubscriptionRequest{Subscription: &pb.Subscription{Name: sub, AckDeadlineSeconds: 20},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}}}
		if _, err := admin.UpdateSubscription(limited(t), change); err != nil {
			t.Error(err)
		}
	})
	add("a detachment", true, func(sub string) {
		if _, err := s.client.TopicAdminClient.DetachSubscription(limited(t), &pb.DetachSubscriptionRequest{Subscription: sub}); err != nil {
			t.Error(err)
		}
	})
	deaf, willing := newEndpoint(t, func(int, *pushed) int { return http.StatusInternalServerError }), newEndpoint(t, nil)
	add("a push that fails", false, func(string) { deaf.requests(t, 1) }, pushTo(deaf.URL))
	add("a push that succeeds", true, func(string) { willing.requests(t, 1) }, pushTo(willing.URL))
	// An acknowledgement of what was pulled long ago is not at the same time a pull.
	s.publish(t, topic, "early")
	held[acked] = s.pull(t, acked, 1)
	willing.requests(t, 1)
	return list
}

func TestOnlyUseKeepsASubscription(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic := s.topic(t, "t-x")
	list := s.usables(t, topic)
	created := s.clock.Now()
	s.passUntil(created.Add(20 * time.Hour))
	s.publish(t, topic, "late")
	for _, u := range list {
		u.use()
	}
	used := s.clock.Now()
	s.passUntil(created.Add(day - lookBefore))
	for _, u := range list {
		if !s.subscribed(t, u.sub)() && s.clock.Now().Before(created.Add(day)) {
			t.Errorf("%s: the subscription is gone before its time", u.what)
		}
	}
	for _, u := range list {
		if !u.is {
			s.gone(t, u.what, created.Add(day), s.subscribed(t, u.sub))
		}
	}
	s.passUntil(created.Add(day + 10*time.Hour))
	s.restart(t, false)
	s.passUntil(used.Add(day - 2*time.Minute)) // a restart may cost a minute
	for _, u := range list {
		if u.is != s.subscribed(t, u.sub)() {
			t.Errorf("%s 20 h after its creation: the subscription is there a day later: %v, want %v", u.what, !u.is, u.is)
		}
	}
	s.passUntil(used.Add(day + 2*time.Second))
	for _, u := range list {
		s.gone(t, u.what, s.clock.Now(), s.subscribed(t, u.sub))
	}
}

// leave ends a stream in the way that the broker answers, so that it is over when this returns.
func leave(t *testing.T, st *stream) {
	t.Helper()
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := st.end(t); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestAnOpenStreamKeepsASubscription(t *testing.T) {
	t.Parallel()
	s := ages(t)
	_, sub := s.pair(t, "x", living(day), keeping(day))
	st := s.stream(t, open(sub))
	burst(t, s.server, s.topicName("t-x"), st, 1)
	for range 4 {
		s.clock.Pass(23 * time.Hour)
		s.swept()
		if !s.subscribed(t, sub)() {
			t.Fatal("gone under a stream")
		}
	}
	leave(t, st)
	left := s.clock.Now()
	s.passUntil(left.Add(day - lookBefore))
	if !s.subscribed(t, sub)() && s.clock.Now().Before(left.Add(day)) {
		t.Error("gone less than a day after the stream ended")
	}
	s.gone(t, "the subscription", left.Add(day), s.subscribed(t, sub))
}

func TestTheTimeToLiveIs31DaysUnlessItIsSomethingElse(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic := s.topic(t, "t-x")
	never := s.subscription(t, "never", topic, living(0))
	usual := s.subscription(t, "usual", topic)
	created := s.clock.Now()
	year := s.subscription(t, "year", topic, living(365*day))
	s.goes(t, "without a policy", created.Add(31*day), s.subscribed(t, usual))
	s.restart(t, true)
	s.goes(t, "a year", created.Add(365*day), s.subscribed(t, year))
	s.clock.Pass(1000 * day)
	s.restart(t, true)
	s.clock.Pass(expiryGrace)
	s.swept()
	var left []string
	all := s.client.SubscriptionAdminClient.ListSubscriptions(limited(t), &pb.ListSubscriptionsRequest{Project: "projects/" + s.project})
	for {
		sub, err := all.Next()
		if err == iterator.Done {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, sub.Name)
	}
	if len(left) != 1 || left[0] != never {
		t.Errorf("%q are left, want %q", left, never)
	}
}

func TestExpirationGoesOnOverACrash(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic := s.topic(t, "t-x")
	short, long := s.subscription(t, "short", topic, living(day), keeping(day)), s.subscription(t, "long", topic, living(2*day), keeping(day))
	created := s.clock.Now()
	started := s.down(t, created.Add(day-time.Minute))
	if !s.subscribed(t, short)() {
		t.Error("gone before its time")
	}
	// For a while after a start clients may come back, though the time is over.
	s.goes(t, "a minute short of its time at the start", started.Add(expiryGrace), s.subscribed(t, short))
	started = s.down(t, created.Add(5*day))
	if !s.subscribed(t, long)() {
		t.Error("gone before clients could come back")
	}
	s.goes(t, "past its time at the start", started.Add(expiryGrace), s.subscribed(t, long))
	s.restart(t, true)
	if s.subscribed(t, short)() || s.subscribed(t, long)() {
		t.Error("came back")
	}
}

func TestAChangedPolicyCountsFromTheChange(t *testing.T) {
	t.Parallel()
	s := ages(t)
	_, sub := s.pair(t, "x", living(0), keeping(day))
	s.clock.Pass(100 * day)
	change := &pb.UpdateSubscriptionRequest{UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expiration_policy"}},
		Subscription: &pb.Subscription{Name: sub, ExpirationPolicy: &pb.ExpirationPolicy{Ttl: durationpb.New(day)}}}
	if _, err := s.client.SubscriptionAdminClient.UpdateSubscription(limited(t), change); err != nil {
		t.Fatal(err)
	}
	s.goes(t, "the subscription", s.clock.Now().Add(day), s.subscribed(t, sub))
}
