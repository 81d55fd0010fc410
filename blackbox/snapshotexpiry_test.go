package blackbox

import (
	"slices"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// kept says whether a snapshot is there.
func (s *aging) kept(t *testing.T, snapshot string) func() bool {
	return func() bool {
		_, err := s.client.SubscriptionAdminClient.GetSnapshot(limited(t), &pb.GetSnapshotRequest{Snapshot: snapshot})
		if err != nil && status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
		return err == nil
	}
}

func TestSnapshotsExpireSevenDaysAfterTheirOldestMessage(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x", keeping(31*day))
	fresh := s.snapshot(t, s.client, "of-nothing", sub)
	if lives := fresh.ExpireTime.AsTime().Sub(s.clock.Now()); lives < 7*day-patience || lives > 7*day {
		t.Errorf("a snapshot of an empty backlog lives %v", lives)
	}
	published := s.publishedAt(t, topic, "m")
	s.clock.Pass(2 * day)
	aged := s.snapshot(t, s.client, "of-a-backlog", sub)
	if got, want := aged.ExpireTime.AsTime(), published.Add(7*day); got.Sub(want).Abs() > time.Millisecond {
		t.Errorf("a snapshot of a backlog expires at %v, want %v: seven days after its message", got, want)
	}
	shortened := s.snapshot(t, s.client, "shortened", sub)
	until := s.clock.Now().Add(90 * time.Minute)
	change := &pb.UpdateSnapshotRequest{Snapshot: &pb.Snapshot{Name: shortened.Name, ExpireTime: timestamppb.New(until)},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expire_time"}}}
	if _, err := s.client.SubscriptionAdminClient.UpdateSnapshot(limited(t), change); err != nil {
		t.Fatal(err)
	}
	s.ack(t, sub, s.pull(t, sub, 1)...)
	s.goes(t, "a snapshot with an earlier time", until, s.kept(t, shortened.Name))
	s.restart(t, true)
	// Those that are left still bring back what they keep.
	for _, name := range []string{aged.Name, fresh.Name} {
		s.passUntil(published.Add(7*day - time.Hour))
		if _, err := s.client.SubscriptionAdminClient.Seek(limited(t), toSnapshot(sub, name)); err != nil {
			t.Fatalf("seek to %s: %v", name, err)
		}
		got := s.pull(t, sub, 1)
		if s.ack(t, sub, got...); !slices.Equal(dataOf(got), []string{"m"}) {
			t.Errorf("%s brought back %q", name, dataOf(got))
		}
	}
	s.goes(t, "the older snapshot", fresh.ExpireTime.AsTime(), s.kept(t, fresh.Name))
	s.gone(t, "the snapshot of a backlog", aged.ExpireTime.AsTime(), s.kept(t, aged.Name))
	_, err := s.client.SubscriptionAdminClient.Seek(limited(t), toSnapshot(sub, aged.Name))
	wantStatus(t, err, codes.NotFound, "")
}

func TestASnapshotExpiresWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	s := ages(t)
	_, sub := s.pair(t, "x")
	snapshot := s.snapshot(t, s.client, "before", sub)
	expires := snapshot.ExpireTime.AsTime()
	s.down(t, expires.Add(-10*time.Second))
	if !s.kept(t, snapshot.Name)() && s.clock.Now().Before(expires) {
		t.Error("gone before its time")
	}
	s.down(t, expires.Add(time.Second))
	s.gone(t, "the snapshot", s.clock.Now(), s.kept(t, snapshot.Name))
	s.restart(t, true)
	if s.kept(t, snapshot.Name)() {
		t.Error("came back after a crash")
	}
}

func TestNoSnapshotOfABacklogThatIsTooOld(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x", keeping(31*day))
	published := s.publishedAt(t, topic, "m")
	s.passUntil(published.Add(7*day - time.Hour - time.Minute))
	s.snapshot(t, s.client, "just-in-time", sub)
	s.passUntil(published.Add(7*day - time.Hour + time.Second))
	_, err := s.client.SubscriptionAdminClient.CreateSnapshot(limited(t), &pb.CreateSnapshotRequest{Name: s.snapshotName("late"), Subscription: sub})
	wantStatus(t, err, codes.FailedPrecondition, "The operation could not be completed because the requested source subscription's backlog is too old.")
}

// A snapshot outlasts the retention of the subscription it is of.
func TestASnapshotKeepsWhatItsSubscriptionNoLongerDoes(t *testing.T) {
	t.Parallel()
	s := ages(t)
	topic, sub := s.pair(t, "x", keeping(10*time.Minute))
	published := s.publishedAt(t, topic, "m")
	snapshot := s.snapshot(t, s.client, "before", sub)
	s.goes(t, "the message", published.Add(10*time.Minute), s.waiting(t, sub))
	s.down(t, published.Add(6*day))
	if got := s.fromTheBeginning(t, sub); len(got) > 0 {
		t.Errorf("a seek to a time brought back %q", got)
	}
	if _, err := s.client.SubscriptionAdminClient.Seek(limited(t), toSnapshot(sub, snapshot.Name)); err != nil {
		t.Fatal(err)
	}
	sought := s.clock.Now()
	s.goes(t, "what the snapshot brought back", sought.Add(10*time.Minute), s.waiting(t, sub))
}
