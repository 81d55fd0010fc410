package ledger

import (
	"bytes"
	"testing"
)

// snapped is a topic of ten messages, two subscriptions, 2 and 3, and a snapshot, 4, of the first, which is done with 0, 1 and 5.
func snapped(t *testing.T) (l *Ledger, first, second *Subscription, snapshot *Snapshot) {
	t.Helper()
	l = New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	first = apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
	second = apply(t, l, noted(AppendSubscription(nil, 3, 1, "other", nil))).Subscription
	apply(t, l, block(1, 0, 8))
	apply(t, l, noted(AppendAcked(nil, 2, 0, []uint64{0, 1, 5})))
	c := apply(t, l, noted(AppendSnapshot(nil, &Snapshot{ID: 4, Name: "snap", Config: []byte("config"), Ordered: true, Latest: 77}, 2)))
	if !c.Created || c.Topic != l.Topic(1) {
		t.Fatalf("change %+v", c)
	}
	apply(t, l, block(1, 8, 2))
	return l, first, second, c.Snapshot
}

func TestASnapshotIsWhatTheSubscriptionWasDoneWithWhenItWasMade(t *testing.T) {
	l, first, second, snapshot := snapped(t)
	apply(t, l, noted(AppendAckedBefore(nil, 2, 0, 10)))
	apply(t, l, noted(AppendAcked(nil, 3, 0, []uint64{3, 9})))
	if snapshot.Floor() != 2 || snapshot.Name != "snap" || string(snapshot.Config) != "config" || !snapshot.Ordered || snapshot.Latest != 77 {
		t.Errorf("snapshot %+v", snapshot)
	}
	for _, s := range []*Subscription{second, first} {
		apply(t, l, noted(AppendSeekSnapshot(nil, s.ID, Sought{Epoch: 3}, 4)))
		expectOpen(t, "after the seek", s, 2, 3, 4, 6, 7, 8, 9)
		apply(t, l, noted(AppendAckedBefore(nil, s.ID, s.Seeks(), 10)))
	}
	apply(t, l, noted(AppendSubscriptionDeleted(nil, 2)))
	apply(t, l, noted(AppendSeekSnapshot(nil, 3, Sought{Epoch: 3}, 4)))
	expectOpen(t, "after the snapshot's subscription is gone", second, 2, 3, 4, 6, 7, 8, 9)
	apply(t, l, noted(AppendSnapshot(nil, &Snapshot{ID: 4, Config: []byte("new")}, 0)))
	if string(snapshot.Config) != "new" || snapshot.Floor() != 2 || snapshot.Name != "snap" || snapshot.Latest != 77 {
		t.Errorf("after another configuration: %+v", snapshot)
	}
	if c := apply(t, l, noted(AppendSnapshotDeleted(nil, 4))); c.Snapshot != snapshot || c.Topic != snapshot.Topic {
		t.Errorf("deletion: %+v", c)
	}
	if c := apply(t, l, noted(AppendSeekSnapshot(nil, 3, Sought{}, 4))); c.Subscription != nil {
		t.Error("a seek to a deleted snapshot moved something")
	}
	if l.Last() != 4 {
		t.Errorf("the last number is %d", l.Last())
	}
}

func TestADeletedTopicsSnapshotsKeepNothingAndLeadNowhere(t *testing.T) {
	l, _, second, snapshot := snapped(t)
	apply(t, l, noted(AppendTopicDeleted(nil, 1)))
	if snapshot.Topic != nil || snapshot.Floor() != 0 {
		t.Errorf("snapshot of %v from %d on", snapshot.Topic, snapshot.Floor())
	}
	if c := apply(t, l, noted(AppendSeekSnapshot(nil, 3, Sought{}, 4))); c.Subscription != nil || second.Seeks() != 0 {
		t.Error("a seek to it moved something")
	}
	if c := apply(t, l, noted(AppendSnapshot(nil, &Snapshot{ID: 9}, 3))); c.Snapshot != nil {
		t.Error("a snapshot of a deleted topic was made")
	}
	apply(t, l, noted(AppendSubscriptionDeleted(nil, 2)))
	if c := apply(t, l, noted(AppendSubscriptionDeleted(nil, 3))); !c.Forgotten {
		t.Error("the snapshot keeps its topic")
	}
	again := New()
	if err := again.Restore(bytes.NewReader(saved(t, l))); err != nil {
		t.Fatal(err)
	}
	found := 0
	again.Snapshots(func(s *Snapshot) bool { found++; return s.Name == "snap" && s.Topic == nil })
	if found != 1 {
		t.Errorf("%d snapshots", found)
	}
}

func TestASnapshotOfNothingIsNone(t *testing.T) {
	l := New()
	if c := apply(t, l, noted(AppendSnapshot(nil, &Snapshot{ID: 7}, 3))); c.Snapshot != nil || l.Last() != 7 {
		t.Errorf("%+v, last %d", c, l.Last())
	}
}
