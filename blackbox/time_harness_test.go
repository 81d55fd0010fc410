package blackbox

import (
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/chaos/process"
)

const (
	day = 24 * time.Hour

	// lookBefore is how long before its end a test looks whether something is still there.
	lookBefore = 700 * time.Millisecond

	// lateMax is how long after its end something may still be there: a second until the next sweep, and what a busy machine takes.
	lateMax = 5 * time.Second
)

// aging is a server for which time passes when the test says so: a broker of its own, on a clock of its own.
type aging struct {
	*server
	clock  *process.Clock
	client *pubsub.Client
}

func ages(t *testing.T, args ...string) *aging {
	t.Helper()
	b := ownBroker(t, args...)
	clock, err := process.NewClock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.Clock = clock
	start(t, b)
	s := connect(t, b.Addr, b)
	return &aging{server: s, clock: clock, client: s.google(t)}
}

// passUntil lets time pass until the broker's clock shows the moment.
func (s *aging) passUntil(at time.Time) { s.clock.Pass(at.Sub(s.clock.Now())) }

// down kills the broker, lets time pass until the moment, and starts it again. It says when that was.
func (s *aging) down(t *testing.T, until time.Time) (started time.Time) {
	t.Helper()
	if err := s.broker.Kill(); err != nil {
		t.Fatal(err)
	}
	s.passUntil(until)
	started = s.clock.Now()
	start(t, s.broker)
	return started
}

// swept lets the sweeper do its work, which nobody sees who finds that nothing is gone.
func (s *aging) swept() {
	s.clock.Pass(time.Second)
	time.Sleep(200 * time.Millisecond)
}

// goes checks that something is there until the moment and no longer: time passes until shortly before, and on from there by itself.
func (s *aging) goes(t *testing.T, what string, at time.Time, there func() bool) {
	t.Helper()
	s.passUntil(at.Add(-lookBefore))
	s.gone(t, what, at, there)
}

// gone is goes from now on.
func (s *aging) gone(t *testing.T, what string, at time.Time, there func() bool) {
	t.Helper()
	for {
		before := s.clock.Now()
		is := there()
		after := s.clock.Now()
		switch {
		case !is && after.Before(at):
			t.Errorf("%s: gone %v before its time", what, at.Sub(after))
			return
		case !is:
			t.Logf("%s: gone at most %v after its time", what, after.Sub(at).Round(time.Millisecond))
			return
		case before.After(at.Add(lateMax)):
			t.Errorf("%s: still there %v after its time", what, before.Sub(at))
			return
		}
		time.Sleep(20 * time.Millisecond) // asking all the time would keep the broker from its work
	}
}

// waiting says whether a message waits in the subscription, and leaves it there.
func (s *aging) waiting(t *testing.T, sub string) func() bool {
	return func() bool {
		got := s.pullNow(t, sub)
		if len(got) == 0 {
			return false
		}
		s.modify(t, sub, 0, got...)
		return true
	}
}

// subscribed says whether a subscription is there.
func (s *aging) subscribed(t *testing.T, sub string) func() bool {
	return func() bool {
		_, err := s.client.SubscriptionAdminClient.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
		if err != nil && status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
		return err == nil
	}
}

// publishedAt publishes a message and says when the broker did so.
func (s *aging) publishedAt(t *testing.T, topic, data string) time.Time {
	t.Helper()
	sub := s.subscription(t, "times-"+data, topic)
	s.publish(t, topic, data)
	got := s.pull(t, sub, 1)
	if _, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: sub}); err != nil {
		t.Fatal(err)
	}
	return got[0].Message.PublishTime.AsTime()
}

// keeping sets how long a subscription keeps messages.
func keeping(d time.Duration) func(*pb.Subscription) {
	return func(s *pb.Subscription) { s.MessageRetentionDuration = durationpb.New(d) }
}

// living sets how long a subscription lives without use; 0 for ever.
func living(ttl time.Duration) func(*pb.Subscription) {
	return func(s *pb.Subscription) {
		s.ExpirationPolicy = &pb.ExpirationPolicy{}
		if ttl > 0 {
			s.ExpirationPolicy.Ttl = durationpb.New(ttl)
		}
	}
}

// fromTheBeginning seeks to the beginning and takes and acknowledges all that comes.
func (s *aging) fromTheBeginning(t *testing.T, sub string) []string {
	t.Helper()
	seekTo(t, s.client, sub, time.Unix(0, 0))
	got := s.pullNow(t, sub)
	if len(got) > 0 {
		s.ack(t, sub, got...)
	}
	return dataOf(got)
}
