package blackbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func TestMessagesLiveForTheirSubscriptionsRetention(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic := s.topic(t, "t-x")
	subs := map[time.Duration]string{
		10 * time.Minute: s.subscription(t, "minutes", topic, keeping(10*time.Minute)),
		7 * day:          s.subscription(t, "default", topic),
		31 * day:         s.subscription(t, "month", topic, keeping(31*day), living(0)),
	}
	published := s.publishedAt(t, topic, "m")
	for _, retention := range []time.Duration{10 * time.Minute, 7 * day, 31 * day} {
		s.goes(t, retention.String(), published.Add(retention), s.waiting(t, subs[retention]))
		delete(subs, retention)
		for other, sub := range subs {
			if !s.waiting(t, sub)() {
				t.Errorf("the message is gone after %v, of %v", retention, other)
			}
		}
	}
	// What was not acknowledged, and is gone, does not come back.
	s.restart(t, true)
	for _, id := range []string{"minutes", "default", "month"} {
		if got := s.pullNow(t, s.subName(id)); len(got) > 0 {
			t.Errorf("after a crash %s has %q", id, dataOf(got))
		}
	}
}

func TestRetentionGoesOnWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic := s.topic(t, "t-x")
	minutes, week := s.subscription(t, "minutes", topic, keeping(10*time.Minute)), s.subscription(t, "week", topic)
	published := s.publishedAt(t, topic, "m")
	s.down(t, published.Add(10*time.Minute-10*time.Second))
	if !s.waiting(t, minutes)() && s.clock.Now().Before(published.Add(10*time.Minute)) {
		t.Error("gone before its retention was over")
	}
	for _, c := range []struct {
		sub       string
		retention time.Duration
	}{{minutes, 10 * time.Minute}, {week, 7 * day}} {
		s.down(t, published.Add(c.retention+time.Second))
		if got := s.pullNow(t, c.sub); len(got) > 0 {
			t.Errorf("%q came though its retention of %v was over before the start", dataOf(got), c.retention)
		}
		if c.sub == minutes && !s.waiting(t, week)() {
			t.Error("the message is gone after ten minutes, of a week")
		}
	}
}

func TestAcknowledgedMessagesAreRetainedAndNoLonger(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x", retaining, keeping(time.Hour))
	other := s.subscription(t, "forgetting", topic, keeping(time.Hour))
	first := s.publishedAt(t, topic, "a")
	s.clock.Pass(30 * time.Minute)
	second := s.publishedAt(t, topic, "b")
	for _, sub := range []string{sub, other} {
		s.ack(t, sub, s.pull(t, sub, 2)...)
	}
	s.passUntil(first.Add(time.Hour - 10*time.Second))
	s.restart(t, true)
	if got := s.fromTheBeginning(t, sub); !slices.Equal(got, []string{"a", "b"}) && s.clock.Now().Before(first.Add(time.Hour)) {
		t.Errorf("within the retention a seek brought back %q", got)
	}
	if got := s.fromTheBeginning(t, other); len(got) > 0 {
		t.Errorf("%q came back that was acknowledged and not retained", got)
	}
	s.passUntil(first.Add(time.Hour + time.Second))
	if got := s.fromTheBeginning(t, sub); !slices.Equal(got, []string{"b"}) {
		t.Errorf("when the first was past its retention a seek brought back %q", got)
	}
	s.down(t, second.Add(time.Hour+time.Second))
	if got := s.fromTheBeginning(t, sub); len(got) > 0 {
		t.Errorf("beyond the retention a seek brought back %q", got)
	}
}

// retain changes a topic's retention with Google's client; 0 takes it away.
func (s *aging) retain(t *testing.T, topic string, d time.Duration) {
	t.Helper()
	change := &pb.Topic{Name: topic}
	if d > 0 {
		change.MessageRetentionDuration = durationpb.New(d)
	}
	mask := &fieldmaskpb.FieldMask{Paths: []string{"message_retention_duration"}}
	if _, err := s.client.TopicAdminClient.UpdateTopic(limited(t), &pb.UpdateTopicRequest{Topic: change, UpdateMask: mask}); err != nil {
		t.Fatal(err)
	}
}

// topicRetention is what a subscription says of its topic's.
func (s *aging) topicRetention(t *testing.T, sub string) time.Duration {
	t.Helper()
	got, err := s.client.SubscriptionAdminClient.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil {
		t.Fatal(err)
	}
	return got.TopicMessageRetentionDuration.AsDuration()
}

func TestATopicRetainsForSubscriptionsThatComeLater(t *testing.T) {
	t.Parallel()
	for _, retention := range []time.Duration{10 * time.Minute, 31 * day} {
		t.Run(retention.String(), func(t *testing.T) {
			t.Parallel()
			s := ages(t)
			topic := s.topic(t, "t-x")
			s.retain(t, topic, retention)
			first := s.publishedAt(t, topic, "a") // nobody is subscribed afterwards
			s.passUntil(first.Add(retention / 2))
			second := s.publishedAt(t, topic, "b")
			s.passUntil(first.Add(retention - 10*time.Second))
			s.restart(t, true)
			late := s.subscription(t, "late", topic)
			if got := s.pullNow(t, late); len(got) > 0 {
				t.Errorf("a new subscription had %q before it asked for it", dataOf(got))
			}
			if got := s.fromTheBeginning(t, late); !slices.Equal(got, []string{"a", "b"}) && s.clock.Now().Before(first.Add(retention)) {
				t.Errorf("within the topic's retention a seek brought back %q", got)
			}
			s.passUntil(first.Add(retention + time.Second))
			if got := s.fromTheBeginning(t, late); !slices.Equal(got, []string{"b"}) {
				t.Errorf("when the first was past the topic's retention a seek brought back %q", got)
			}
			s.down(t, second.Add(retention+time.Second))
			if got := s.fromTheBeginning(t, s.subscription(t, "later", topic)); len(got) > 0 {
				t.Errorf("beyond the topic's retention a seek brought back %q", got)
			}
		})
	}
}

func TestSubscriptionsSayHowLongTheirTopicRetains(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	for _, retention := range []time.Duration{time.Hour, 31 * day, 10 * time.Minute, 0} {
		s.retain(t, topic, retention)
		for range 2 {
			if got := s.topicRetention(t, sub); got != retention {
				t.Errorf("the topic retains for %v, its subscription says %v", retention, got)
			}
			s.restart(t, true)
		}
	}
	// A topic that retains for a shorter time gives up what is older at once, and takes nothing from a subscription that needs it.
	s.retain(t, topic, time.Hour)
	s.clock.Pass(30 * time.Minute)
	s.retain(t, topic, 10*time.Minute)
	if got := s.fromTheBeginning(t, s.subscription(t, "late", topic)); len(got) > 0 {
		t.Errorf("after the retention was made shorter a seek brought back %q", got)
	}
	if !s.waiting(t, sub)() {
		t.Error("a subscription lost a message to its topic's retention")
	}
}

func TestWhatOutlivedItsRetentionIsNotReceived(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x", keeping(10*time.Minute))
	published := s.publishedAt(t, topic, "old")
	s.goes(t, "the message", published.Add(10*time.Minute), s.waiting(t, sub))
	r := receive(t, s.client, sub, pubsub.ReceiveSettings{}, nil)
	publishAll(t, s.client, topic, "new", 10)
	r.deliveries(t, 10)
	if messages, most := r.different(); messages != 10 || most != 1 || r.count["old"] > 0 {
		t.Errorf("%v came", r.count)
	}
}

// stored is how many bytes the broker's files take.
func (s *aging) stored(t *testing.T) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(s.broker.Data, func(path string, entry fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // deleted meanwhile
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// Each of the four things that keep messages comes to its end, while the broker is down or up, and their space comes back.
func TestSpaceOfWhatNobodyKeepsIsGivenBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change []func(*pb.Subscription)
		topic  time.Duration // the topic's retention
		ack    bool
		snap   bool
		keeps  time.Duration // from the publish on
	}{
		"a subscription's retention":      {change: []func(*pb.Subscription){keeping(10 * time.Minute)}, keeps: 10 * time.Minute},
		"a topic's retention":             {topic: 20 * time.Minute, ack: true, keeps: 20 * time.Minute},
		"a subscription that nobody uses": {change: []func(*pb.Subscription){keeping(day), living(day)}, topic: 10 * time.Minute, keeps: day},
		"a snapshot":                      {ack: true, snap: true, keeps: 7 * day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ages(t, "--segment-size", "16MiB")
			topic, sub := s.pair(t, "x", c.change...)
			if c.topic > 0 {
				s.retain(t, topic, c.topic)
			}
			empty := s.stored(t)
			if c.snap {
				s.snapshot(t, s.client, "before", sub)
			}
			megabyte := strings.Repeat("x", 1<<20)
			for range 8 {
				s.publish(t, topic, slices.Repeat([]string{megabyte}, 8)...)
			}
			full := s.stored(t)
			if full < empty+64<<20 {
				t.Fatalf("64 MiB take %d bytes", full-empty)
			}
			if c.ack {
				seekTo(t, s.client, sub, s.clock.Now().Add(time.Hour))
			}
			s.clock.Pass(c.keeps - 10*time.Second)
			s.restart(t, true)
			s.swept()
			if now := s.stored(t); now < full {
				t.Errorf("%d of %d bytes are left before the time", now, full)
			}
			s.clock.Pass(10*time.Second + expiryGrace)
			// What is left is the segment that is written, and the one that was written when the broker crashed.
			eventually(t, "the space is given back", func() bool { return s.stored(t) <= empty+40<<20 })
		})
	}
}
