package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/limit"
)

const snapName = "projects/p/snapshots/before"

func (b *bench) snapshot(name string) *pubsubpb.Snapshot {
	b.t.Helper()
	s, err := b.CreateSnapshot(b.ctx, &pubsubpb.CreateSnapshotRequest{Name: name, Subscription: subName})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func wantCode(t *testing.T, what string, err error, code codes.Code) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("%s: %v, want %v", what, err, code)
	}
}

func TestASnapshotBringsBackWhatWasOpen(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{}, &pubsubpb.Subscription{Name: otherSub})
	b.at("a", "b", "c", "d")
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.ack(list[0], list[2])
	b.snapshot(snapName)
	b.at("e")
	b.drain(s)
	b.ack(list[1], list[3])
	if err := b.DeleteSubscription(b.ctx, otherSub); err != nil {
		t.Fatal(err)
	}
	id := b.topic(topicName).durable.ID
	b.until("a trim up to what the snapshot keeps", func() bool { return w.trim(id) == 1 })
	b.restart()
	if err := b.SeekToSnapshot(b.ctx, subName, snapName); err != nil {
		t.Fatal(err)
	}
	s = b.stream(delivery.Credit{})
	b.expect("after the seek", b.drain(s), "b", "d", "e")
	if err := b.DeleteSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateSubscription(b.ctx, &pubsubpb.Subscription{Name: subName, Topic: topicName}); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if err := b.SeekToSnapshot(b.ctx, subName, snapName); err != nil {
		t.Fatal(err)
	}
	s = b.stream(delivery.Credit{})
	b.expect("by a subscription that is younger than the snapshot", b.drain(s), "b", "d", "e")
	if err := b.DeleteSnapshot(b.ctx, snapName); err != nil {
		t.Fatal(err)
	}
	b.until("a trim of everything", func() bool { return w.trim(id) == 5 })
	s.Leave()
}

func TestASnapshotLivesUntilItExpires(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.at("a")
	b.clock.Advance(time.Hour)
	made := b.clock.Wall()
	snapshot := b.snapshot(snapName)
	if lives := time.Duration(snapshot.ExpireTime.AsTime().UnixNano() - made); lives != 7*24*time.Hour-time.Hour {
		t.Errorf("lives %v", lives)
	}
	s := b.stream(delivery.Credit{})
	b.drain(s)
	s.Leave()
	until := time.Unix(0, made).Add(90 * time.Minute)
	change := &pubsubpb.Snapshot{Name: snapName, ExpireTime: timestamppb.New(until), Labels: map[string]string{"a": "b"}}
	updated, err := b.UpdateSnapshot(b.ctx, change, &fieldmaskpb.FieldMask{Paths: []string{"expire_time", "labels"}})
	if err != nil {
		t.Fatal(err)
	}
	b.restart()
	got, err := b.GetSnapshot(snapName)
	if err != nil || !proto.Equal(got, updated) || got.Labels["a"] != "b" || !got.ExpireTime.AsTime().Equal(until) {
		t.Errorf("after a restart %v, %v; want %v", got, err, updated)
	}
	id := b.topic(topicName).durable.ID
	b.until("the snapshot is gone", func() bool {
		_, err := b.GetSnapshot(snapName)
		return status.Code(err) == codes.NotFound
	})
	if late := time.Duration(b.clock.Wall() - until.UnixNano()); late < 0 || late > 3*time.Second {
		t.Errorf("gone %v after its time", late)
	}
	b.until("its space is free", func() bool { return w.trim(id) == 1 })
}

// expires says how long after it was asked a snapshot goes.
func (b *bench) expires(within time.Duration) time.Duration {
	b.t.Helper()
	from := b.clock.Mono()
	for {
		passed := time.Duration(b.clock.Mono() - from)
		if _, err := b.GetSnapshot(snapName); status.Code(err) == codes.NotFound {
			return passed
		}
		if passed > within {
			b.t.Fatalf("there after %v", passed)
		}
		b.sweeps(time.Hour - 2*sweepEvery)
	}
}

func TestAJumpOfTheWallClockEndsNoSnapshot(t *testing.T) {
	const life = 7 * day
	for _, c := range []struct {
		name string
		by   time.Duration
		want time.Duration // how long after its creation it goes
	}{
		{"an hour ahead", time.Hour, life},
		{"ten days ahead", 10 * day, life},
		{"an hour back", -time.Hour, life + time.Hour}, // the expire time is a promise
		{"three days back", -3 * day, life + 3*day},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.topicWith(&pubsubpb.Subscription{})
			made := b.clock.Mono()
			snapshot := b.snapshot(snapName)
			b.sweeps(day)
			b.clock.SetWall(time.Unix(0, b.clock.Wall()).Add(c.by))
			b.sweeps(time.Hour)
			change := &pubsubpb.Snapshot{Name: snapName, Labels: map[string]string{"a": "b"}}
			if _, err := b.UpdateSnapshot(b.ctx, change, &fieldmaskpb.FieldMask{Paths: []string{"labels"}}); err != nil {
				t.Fatal(err)
			}
			b.expires(life + 4*day)
			if lived := time.Duration(b.clock.Mono() - made); lived < c.want || lived > c.want+2*time.Hour {
				t.Errorf("lived %v, want %v", lived, c.want)
			}
			if now := b.clock.Wall(); now < snapshot.ExpireTime.AsTime().UnixNano() {
				t.Errorf("gone %v before its expire time", time.Duration(snapshot.ExpireTime.AsTime().UnixNano()-now))
			}
		})
	}
}

func TestABrokerThatStartsBelievesTheClockAboutSnapshots(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.snapshot(snapName)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(7 * day)
	b.open()
	if took := b.expires(time.Hour); took > time.Hour {
		t.Errorf("gone after %v", took)
	}
}

func TestAJumpOfTheWallClockMakesNoBacklogTooOldForASnapshot(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(31 * day)})
	b.at("a")
	b.sweeps(day)
	b.clock.SetWall(time.Unix(0, b.clock.Wall()).Add(10 * day))
	lives := func() time.Duration {
		return time.Duration(b.snapshot("").ExpireTime.AsTime().UnixNano() - b.clock.Wall())
	}
	if got := lives(); got < 6*day-time.Minute || got > 6*day {
		t.Errorf("a snapshot of messages that are a day old lives %v", got)
	}
	b.restart() // which forgets the jump
	_, err := b.CreateSnapshot(b.ctx, &pubsubpb.CreateSnapshotRequest{Name: snapName, Subscription: subName})
	wantCode(t, "a snapshot of what the clock says is eleven days old", err, codes.FailedPrecondition)
}

func TestADeletedTopicsSnapshotsKeepNothing(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{}, &pubsubpb.Subscription{Name: otherSub})
	b.at("a")
	b.snapshot(snapName)
	id := b.topic(topicName).durable.ID
	for _, name := range []string{subName, otherSub} {
		if err := b.SeekToTime(b.ctx, name, b.clock.Wall()+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.DeleteTopic(b.ctx, topicName); err != nil {
		t.Fatal(err)
	}
	b.until("what only the snapshot kept is free", func() bool { return w.trim(id) == 1 })
	wantCode(t, "a seek of the deleted topic's subscription", b.SeekToSnapshot(b.ctx, subName, snapName), codes.FailedPrecondition)
	_, err := b.CreateSnapshot(b.ctx, &pubsubpb.CreateSnapshotRequest{Name: snapName + "2", Subscription: subName})
	wantCode(t, "a snapshot of a deleted topic", err, codes.FailedPrecondition)
	if err := b.DeleteSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	b.topicWith(&pubsubpb.Subscription{}) // the same name, another topic
	b.restart()
	if s, err := b.GetSnapshot(snapName); err != nil || s.Topic != catalog.DeletedTopic {
		t.Errorf("%v, %v", s, err)
	}
	err = b.SeekToSnapshot(b.ctx, subName, snapName)
	want := "The subscription's topic " + topicName + " is different from that of the snapshot " + snapName + "; they must match in order for Seek work. " +
		"Note that if a topic is deleted and then re-created with the same name, it is considered a distinct topic for these purposes."
	if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != want {
		t.Errorf("a seek to a snapshot of a topic that had the same name: %v", err)
	}
	if names, _, err := b.ListTopicSnapshots(topicName, 0, ""); err != nil || len(names) > 0 {
		t.Errorf("the new topic has snapshots %q, %v", names, err)
	}
	if err := b.DeleteSnapshot(b.ctx, snapName); err != nil {
		t.Error(err)
	}
}

func TestSnapshotRefusals(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{}, &pubsubpb.Subscription{Name: otherSub, EnableMessageOrdering: true})
	b.snapshot(snapName)
	create := func(name, sub string) error {
		_, err := b.CreateSnapshot(b.ctx, &pubsubpb.CreateSnapshotRequest{Name: name, Subscription: sub})
		return err
	}
	wantCode(t, "a name that is taken", create(snapName, subName), codes.AlreadyExists)
	wantCode(t, "a bad name", create("before", subName), codes.InvalidArgument)
	wantCode(t, "no subscription", create(snapName+"2", "projects/p/subscriptions/none"), codes.NotFound)
	wantCode(t, "a bad subscription", create(snapName+"2", "none"), codes.InvalidArgument)
	wantCode(t, "seek to none", b.SeekToSnapshot(b.ctx, subName, snapName+"2"), codes.NotFound)
	wantCode(t, "seek to a bad name", b.SeekToSnapshot(b.ctx, subName, "x"), codes.InvalidArgument)
	wantCode(t, "seek of none", b.SeekToSnapshot(b.ctx, "projects/p/subscriptions/none", snapName), codes.NotFound)
	wantCode(t, "ordered, to what was not", b.SeekToSnapshot(b.ctx, otherSub, snapName), codes.FailedPrecondition)
	if err := create(snapName+"2", otherSub); err != nil {
		t.Error(err)
	}
	for _, name := range []string{subName, otherSub} {
		if err := b.SeekToSnapshot(b.ctx, name, snapName+"2"); err != nil {
			t.Errorf("to a snapshot of an ordered subscription: %v", err)
		}
	}
	_, err := b.GetSnapshot(snapName + "3")
	wantCode(t, "get none", err, codes.NotFound)
	_, err = b.UpdateSnapshot(b.ctx, &pubsubpb.Snapshot{Name: snapName + "3"}, &fieldmaskpb.FieldMask{Paths: []string{"labels"}})
	wantCode(t, "update none", err, codes.NotFound)
	wantCode(t, "delete none", b.DeleteSnapshot(b.ctx, snapName+"3"), codes.NotFound)
	_, _, err = b.ListSnapshots("p", 0, "")
	wantCode(t, "list of a bad project", err, codes.InvalidArgument)
	_, _, err = b.ListTopicSnapshots("projects/p/topics/none", 0, "")
	wantCode(t, "list of no topic", err, codes.NotFound)
}

func TestNoSnapshotIsMadeOfABacklogThatIsTooOld(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(31 * 24 * time.Hour)})
	b.at("a")
	b.clock.Advance(7*24*time.Hour - time.Hour)
	b.snapshot(snapName)
	b.clock.Advance(time.Millisecond)
	_, err := b.CreateSnapshot(b.ctx, &pubsubpb.CreateSnapshotRequest{Name: snapName + "2", Subscription: subName})
	wantCode(t, "too old", err, codes.FailedPrecondition)
	s := b.stream(delivery.Credit{})
	b.drain(s)
	s.Leave()
	if got := b.snapshot(snapName+"2").ExpireTime.AsTime().UnixNano() - b.clock.Wall(); time.Duration(got) != limit.SnapshotLifeMax {
		t.Errorf("without a backlog it lives %v", time.Duration(got))
	}
}

func TestSnapshotsAreListedInPages(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	var want []string
	for i := range 5 {
		want = append(want, b.snapshot(fmt.Sprint(snapName, i)).Name)
	}
	b.snapshot("projects/p2/snapshots/elsewhere")
	first, token, err := b.ListSnapshots("projects/p", 3, "")
	if err != nil {
		t.Fatal(err)
	}
	second, end, err := b.ListSnapshots("projects/p", 3, token)
	if err != nil || end != "" {
		t.Fatal(end, err)
	}
	var names []string
	for _, s := range append(first, second...) {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("listed %q", names)
	}
	ofTopic, _, err := b.ListTopicSnapshots(topicName, 0, "")
	if err != nil || !slices.Equal(ofTopic, append(want, "projects/p2/snapshots/elsewhere")) {
		t.Errorf("of the topic %q, %v", ofTopic, err)
	}
}

func TestATopicHasSoManySnapshotsAndNoMore(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	for i := range limit.SnapshotsPerTopicMax {
		b.snapshot(fmt.Sprintf("projects/p%d/snapshots/one", i))
	}
	_, err := b.CreateSnapshot(b.ctx, &pubsubpb.CreateSnapshotRequest{Subscription: subName})
	wantCode(t, "one more", err, codes.ResourceExhausted)
	if err := b.DeleteSnapshot(b.ctx, "projects/p7/snapshots/one"); err != nil {
		t.Fatal(err)
	}
	b.snapshot("")
}

func TestASnapshotOfAFilteredSubscriptionHoldsWhatThatWants(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes}, &pubsubpb.Subscription{Name: otherSub})
	const far = 2*4096 + 10 // more than one note names
	b.publishWanted(0, 2*far, 2)
	s := b.stream(delivery.Credit{MessagesMax: 3})
	list := b.now(s)
	b.expect("the first", list, "1", "3", "5")
	b.ack(list[1])
	b.snapshot(snapName)
	b.publishWanted(2*far, 2, 2)
	if err := b.SeekToSnapshot(b.ctx, otherSub, snapName); err != nil {
		t.Fatal(err)
	}
	other, err := b.Subscription(otherSub)
	if err != nil {
		t.Fatal(err)
	}
	o, err := other.OpenPull()
	if err != nil {
		t.Fatal(err)
	}
	got := b.now(o)
	b.expect("first", got[:3], "1", "5", "7")
	b.expect("last", got[len(got)-3:], fmt.Sprint(2*far-1), fmt.Sprint(2*far), fmt.Sprint(2*far+1))
	if len(got) != far-1+2 {
		t.Errorf("%d messages", len(got))
	}
	o.Leave()
	s.Leave()
}
