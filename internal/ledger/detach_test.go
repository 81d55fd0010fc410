package ledger

import (
	"bytes"
	"testing"
)

func restored(t *testing.T, l *Ledger) *Ledger {
	t.Helper()
	again := New()
	if err := again.Restore(bytes.NewReader(saved(t, l))); err != nil {
		t.Fatal(err)
	}
	return again
}

func TestADetachedSubscriptionHasNoBacklogAndLetsItsTopicGo(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	s := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
	apply(t, l, block(1, 0, 10))
	if c := apply(t, l, noted(AppendDetached(nil, 2))); c.Subscription != s || c.Forgotten || !s.Detached {
		t.Errorf("detached: %+v", c)
	}
	apply(t, l, block(1, 10, 10))
	for _, late := range [][]byte{AppendAckedBefore(nil, 2, 0, 15), AppendAcked(nil, 2, 0, []uint64{17}), AppendSeek(nil, 2, Seek{})} {
		if c := apply(t, l, noted(late)); c.Topic != nil || c.Subscription != nil {
			t.Errorf("%s changed something: %+v", Describe(late), c)
		}
	}
	if s.Floor() < 20 || !s.Acked(19) {
		t.Errorf("it still waits for %d", s.Floor())
	}
	if c := apply(t, l, noted(AppendDetached(nil, 2))); c.Subscription != nil {
		t.Error("detached twice")
	}
	if c := apply(t, l, noted(AppendTopicDeleted(nil, 1))); !c.Forgotten {
		t.Error("the topic stays")
	}
	l = restored(t, l)
	s = l.Subscription(2)
	if s == nil || !s.Detached || s.Topic.ID != 1 || !s.Topic.Deleted || l.Topic(1) != nil {
		t.Fatalf("restored: %+v", s)
	}
	if c := apply(t, l, noted(AppendSubscriptionDeleted(nil, 2))); c.Subscription != s || c.Forgotten {
		t.Errorf("deleted: %+v", c)
	}
}

func TestDetachingTheLastSubscriptionOfADeletedTopicForgetsTheTopic(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil)))
	apply(t, l, noted(AppendTopicDeleted(nil, 1)))
	if c := apply(t, l, noted(AppendDetached(nil, 2))); !c.Forgotten || l.Topic(1) != nil {
		t.Errorf("the topic stays: %+v", c)
	}
}

func TestAnotherSubscriptionStillHoldsTheTopicOfADetachedOne(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil)))
	apply(t, l, noted(AppendSubscription(nil, 3, 1, "other", nil)))
	apply(t, l, noted(AppendDetached(nil, 2)))
	l = restored(t, l)
	apply(t, l, noted(AppendSubscriptionDeleted(nil, 2)))
	if c := apply(t, l, noted(AppendTopicDeleted(nil, 1))); c.Forgotten {
		t.Error("the topic went while a subscription knows it")
	}
	if c := apply(t, l, noted(AppendSubscriptionDeleted(nil, 3))); !c.Forgotten {
		t.Error("the topic stays")
	}
}

func TestActivityIsTheLatestMomentAndIsKept(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	s := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
	if s.Active() != 0 {
		t.Errorf("new, and active at %d", s.Active())
	}
	for _, at := range []int64{100, 50, -1} {
		if c := apply(t, l, noted(AppendActive(nil, 2, at))); c.Topic != nil || Structural(AppendActive(nil, 2, at)) {
			t.Errorf("a note of activity disturbs: %+v", c)
		}
	}
	if got := restored(t, l).Subscription(2).Active(); got != 100 {
		t.Errorf("active at %d, want 100", got)
	}
}
