package blackbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// jumps are what somebody does to a machine's clock, one after the other; after the last one it is right again.
func (s *aging) jumps() []struct {
	name string
	by   time.Duration
} {
	to1970 := -time.Duration(s.clock.Now().UnixNano())
	return []struct {
		name string
		by   time.Duration
	}{
		{"an hour ahead", time.Hour}, {"an hour back", -time.Hour}, {"an hour back again", -time.Hour}, {"right again", time.Hour},
		{"a week ahead", 7 * day}, {"a week back", -7 * day}, {"a week back again", -7 * day}, {"right from a week behind", 7 * day},
		{"a year ahead", 365 * day}, {"right from a year ahead", -365 * day},
		{"to 1970", to1970}, {"right from 1970", -to1970},
	}
}

// A clock that is set ends nothing: no message, no snapshot, no subscription, no lease. Publish times do not fall. What was there before
// has its end all the same; what is published while the clock is ahead, and afterwards, is kept until the clock has come as far.
func TestSettingTheClockEndsNothing(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x", keeping(10*time.Minute), living(day), func(r *pb.Subscription) { r.AckDeadlineSeconds = 600 })
	watcher, held := s.subscription(t, "watcher", topic), s.subscription(t, "held", topic, func(r *pb.Subscription) { r.AckDeadlineSeconds = 600 })
	quiet, old := s.pair(t, "quiet", keeping(10*time.Minute))
	s.publish(t, quiet, "m")
	snapshot := s.snapshot(t, s.client, "before", sub)
	var want []string
	newest := time.Unix(0, 0)
	step := func(data string) {
		publishAll(t, s.client, topic, data, 1)
		want = append(want, data+"0")
		got := s.pull(t, watcher, 1)
		s.ack(t, watcher, got...)
		if at := got[0].Message.PublishTime.AsTime(); at.Before(newest) {
			t.Errorf("%s: published at %v, after a message of %v", data, at, newest)
		} else {
			newest = at
		}
		s.pull(t, held, 1)
	}
	step("before")
	for _, jump := range s.jumps() {
		s.clock.Set(jump.by)
		step(jump.name)
		s.swept()
		if got := s.pullNow(t, held); len(got) > 0 {
			t.Errorf("%s: %q came again while it was held", jump.name, dataOf(got))
		}
		if !s.kept(t, snapshot.Name)() {
			t.Fatalf("%s: the snapshot is gone", jump.name)
		}
		if !s.subscribed(t, sub)() {
			t.Fatalf("%s: the subscription is gone", jump.name)
		}
	}
	over := s.clock.Now()
	if !s.waiting(t, old)() {
		t.Error("after all jumps a message is gone that was there before them")
	}
	got := s.pull(t, sub, len(want))
	texts := dataOf(got)
	slices.Sort(want)
	if slices.Sort(texts); !slices.Equal(texts, want) {
		t.Errorf("after all jumps %q came, want %q", texts, want)
	}
	s.passUntil(over.Add(10 * time.Minute))
	s.gone(t, "the message", s.clock.Now(), s.waiting(t, old))
	s.passUntil(over.Add(7 * day))
	s.gone(t, "the snapshot", s.clock.Now(), s.kept(t, snapshot.Name))
	s.gone(t, "the subscription", s.clock.Now(), s.subscribed(t, sub))
}

// Timers do not follow the time of day: a lease lasts as long whatever happens to that.
func TestALeaseLastsAsLongWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	s := ages(t)
	for i, by := range []time.Duration{7 * day, -7 * day, -time.Duration(s.clock.Now().UnixNano())} {
		topic, sub := s.pair(t, fmt.Sprint(i), func(r *pb.Subscription) { r.AckDeadlineSeconds = 600 })
		s.publish(t, topic, "m")
		taken := time.Now()
		s.pull(t, sub, 1)
		s.clock.Set(by)
		s.clock.Pass(600*time.Second - lookBefore)
		for len(s.pullNow(t, sub)) == 0 {
			if time.Since(taken) > lookBefore+lateMax {
				t.Fatalf("the clock was set by %v: no redelivery %v after the lease began, besides the ten minutes that it lasts", by, time.Since(taken))
			}
		}
		if came := time.Since(taken); came < lookBefore {
			t.Errorf("the clock was set by %v: a redelivery %v before the lease ended", by, lookBefore-came)
		}
		s.clock.Set(-by)
	}
}
