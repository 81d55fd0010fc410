package catalog

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	snapshotName   = "projects/p/snapshots/before"
	snapshotSource = "projects/q/subscriptions/worker"
)

func TestASnapshotHasTheNameAndLabelsThatWereSent(t *testing.T) {
	labels := map[string]string{"a": "b"}
	got, err := NewSnapshot(&pubsubpb.CreateSnapshotRequest{Name: snapshotName, Subscription: snapshotSource, Labels: labels, Tags: labels})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the snapshot", got, &pubsubpb.Snapshot{Name: snapshotName, Labels: labels})
}

func TestASnapshotWithoutANameIsGivenOneInItsSubscriptionsProject(t *testing.T) {
	first, err := NewSnapshot(&pubsubpb.CreateSnapshotRequest{Subscription: snapshotSource})
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewSnapshot(&pubsubpb.CreateSnapshotRequest{Subscription: snapshotSource})
	if err != nil {
		t.Fatal(err)
	}
	if name, err := ParseSnapshot(first.Name); err != nil || name.Project != "q" || first.Name == second.Name {
		t.Errorf("%q and %q, %v", first.Name, second.Name, err)
	}
}

func TestSnapshotsThatBreakARuleAreRefused(t *testing.T) {
	for what, in := range map[string]*pubsubpb.CreateSnapshotRequest{
		"a bad name":             {Name: "projects/p/topics/t", Subscription: snapshotSource},
		"a reserved name":        {Name: "projects/p/snapshots/google", Subscription: snapshotSource},
		"no name and no project": {Subscription: "worker"},
		"a bad label":            {Name: snapshotName, Subscription: snapshotSource, Labels: map[string]string{"Upper": ""}},
	} {
		if _, err := NewSnapshot(in); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestASnapshotLivesSevenDaysFromItsOldestMessage(t *testing.T) {
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for age, want := range map[time.Duration]time.Duration{
		0: 7 * day, -time.Hour: 7 * day, day: 6 * day, 7*day - time.Hour: time.Hour, 7*day - time.Hour + 1: 0, 30 * day: 0,
	} {
		latest, err := SnapshotExpiry(now, now.Add(-age))
		if want == 0 {
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "backlog is too old") {
				t.Errorf("age %v: %v, %v", age, latest, err)
			}
			continue
		}
		if err != nil || latest.Sub(now) != want {
			t.Errorf("age %v: %v, %v; want %v from now", age, latest.Sub(now), err, want)
		}
	}
}

func TestUpdateSnapshot(t *testing.T) {
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	latest := now.Add(time.Hour)
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }
	current := &pubsubpb.Snapshot{Name: snapshotName, Topic: "projects/p/topics/t", ExpireTime: at(time.Minute), Labels: map[string]string{"a": "b"}}
	before := proto.Clone(current)
	changed := func(change func(*pubsubpb.Snapshot)) *pubsubpb.Snapshot {
		s := proto.Clone(current).(*pubsubpb.Snapshot)
		change(s)
		return s
	}
	for what, test := range map[string]struct {
		in    *pubsubpb.Snapshot
		paths []string
		want  *pubsubpb.Snapshot // nil: INVALID_ARGUMENT
		text  string
	}{
		"labels":             {&pubsubpb.Snapshot{Labels: map[string]string{"c": "d"}}, []string{"labels"}, changed(func(s *pubsubpb.Snapshot) { s.Labels = map[string]string{"c": "d"} }), ""},
		"no labels":          {&pubsubpb.Snapshot{}, []string{"labels"}, changed(func(s *pubsubpb.Snapshot) { s.Labels = nil }), ""},
		"later":              {&pubsubpb.Snapshot{ExpireTime: at(time.Hour)}, []string{"expire_time"}, changed(func(s *pubsubpb.Snapshot) { s.ExpireTime = at(time.Hour) }), ""},
		"earlier":            {&pubsubpb.Snapshot{ExpireTime: at(time.Second)}, []string{"expire_time"}, changed(func(s *pubsubpb.Snapshot) { s.ExpireTime = at(time.Second) }), ""},
		"the default":        {&pubsubpb.Snapshot{}, []string{"expire_time"}, changed(func(s *pubsubpb.Snapshot) { s.ExpireTime = at(time.Hour) }), ""},
		"what is not named":  {&pubsubpb.Snapshot{ExpireTime: at(48 * time.Hour)}, []string{"labels"}, changed(func(s *pubsubpb.Snapshot) { s.Labels = nil }), ""},
		"too late":           {&pubsubpb.Snapshot{ExpireTime: at(time.Hour + 1)}, []string{"expire_time"}, nil, "The value for expire_time is out of bounds. You passed 2026-01-10T01:00:00.000000001Z in the request, but the value must be between 2026-01-10T00:00:00Z and 2026-01-10T01:00:00Z."},
		"too early":          {&pubsubpb.Snapshot{ExpireTime: at(0)}, []string{"expire_time"}, nil, ""},
		"no time":            {&pubsubpb.Snapshot{ExpireTime: &timestamppb.Timestamp{Nanos: -1}}, []string{"expire_time"}, nil, argumentText("expire_time")},
		"one of two is bad":  {&pubsubpb.Snapshot{ExpireTime: at(0)}, []string{"labels", "expire_time"}, nil, ""},
		"an immutable field": {&pubsubpb.Snapshot{Topic: "x"}, []string{"topic"}, nil, "Invalid update_mask provided in the UpdateSnapshotRequest: the 'topic' field in the Snapshot is not mutable."},
		"an unknown field":   {&pubsubpb.Snapshot{}, []string{"expireTime"}, nil, "Invalid update_mask provided in the UpdateSnapshotRequest: expireTime is not a known Snapshot field. Note that field paths must be of the form 'expire_time' rather than 'expireTime'."},
		"nothing":            {&pubsubpb.Snapshot{}, nil, nil, "The update_mask in the UpdateSnapshotRequest must be set, and must contain a non-empty paths list."},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := UpdateSnapshot(current, test.in, &fieldmaskpb.FieldMask{Paths: test.paths}, now, latest)
			same(t, "what was passed in", current, before)
			if test.want != nil {
				if err != nil {
					t.Fatal(err)
				}
				same(t, "the snapshot", got, test.want)
				return
			}
			if status.Code(err) != codes.InvalidArgument || test.text != "" && status.Convert(err).Message() != test.text {
				t.Errorf("%v", err)
			}
		})
	}
}
