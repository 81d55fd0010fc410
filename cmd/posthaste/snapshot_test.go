package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// snapshotFake is a fake that keeps snapshots, too, and remembers seeks.
type snapshotFake struct {
	*fake
	snapshots map[string]*pubsubpb.Snapshot
	seeks     []*pubsubpb.SeekRequest
}

func newSnapshotFake(t *testing.T) *snapshotFake {
	t.Helper()
	f := &snapshotFake{fake: newFake(t), snapshots: map[string]*pubsubpb.Snapshot{}}
	f.address = serveFake(t, f)
	return f
}

func (f *snapshotFake) CreateSnapshot(_ context.Context, r *pubsubpb.CreateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	if r.Name == "" {
		r.Name = "projects/p/snapshots/given"
	}
	s := &pubsubpb.Snapshot{
		Name: r.Name, Topic: r.Subscription + "-topic", Labels: r.Labels,
		ExpireTime: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	f.snapshots[r.Name] = s
	return s, nil
}

func (f *snapshotFake) GetSnapshot(_ context.Context, r *pubsubpb.GetSnapshotRequest) (*pubsubpb.Snapshot, error) {
	if s := f.snapshots[r.Snapshot]; s != nil {
		return proto.Clone(s).(*pubsubpb.Snapshot), nil
	}
	return nil, status.Error(codes.NotFound, "Resource not found (resource=s).")
}

func (f *snapshotFake) UpdateSnapshot(_ context.Context, r *pubsubpb.UpdateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	f.masks = append(f.masks, r.UpdateMask.Paths)
	f.snapshots[r.Snapshot.Name] = r.Snapshot
	return r.Snapshot, nil
}

func (f *snapshotFake) DeleteSnapshot(_ context.Context, r *pubsubpb.DeleteSnapshotRequest) (*emptypb.Empty, error) {
	delete(f.snapshots, r.Snapshot)
	return &emptypb.Empty{}, nil
}

func (f *snapshotFake) ListSnapshots(_ context.Context, r *pubsubpb.ListSnapshotsRequest) (*pubsubpb.ListSnapshotsResponse, error) {
	response := &pubsubpb.ListSnapshotsResponse{}
	var names []string
	for name := range f.snapshots {
		names = append(names, name)
	}
	names, response.NextPageToken = f.page(names, r.PageToken)
	for _, name := range names {
		response.Snapshots = append(response.Snapshots, f.snapshots[name])
	}
	return response, nil
}

func (f *snapshotFake) ListTopicSnapshots(_ context.Context, r *pubsubpb.ListTopicSnapshotsRequest) (*pubsubpb.ListTopicSnapshotsResponse, error) {
	return &pubsubpb.ListTopicSnapshotsResponse{Snapshots: []string{r.Topic + "-snapshot"}}, nil
}

func (f *snapshotFake) Seek(_ context.Context, r *pubsubpb.SeekRequest) (*pubsubpb.SeekResponse, error) {
	f.seeks = append(f.seeks, r)
	return &pubsubpb.SeekResponse{}, nil
}

func TestSnapshotLivesThroughItsCommands(t *testing.T) {
	f := newSnapshotFake(t)
	f.run(t, "", "snapshot", "create", "before", "--subscription", "billing", "--label", "a=1").want(t, 0, "created projects/p/snapshots/before\n", "")
	f.run(t, "", "snapshot", "create", "--subscription", "billing").want(t, 0, "created projects/p/snapshots/given\n", "")
	f.run(t, "", "snapshot", "create", "x").want(t, 2, "", "posthaste: --subscription is needed\n")
	f.run(t, "", "snapshot", "create", "third", "--subscription", "projects/q/subscriptions/s")
	f.run(t, "", "snapshot", "list").want(t, 0, "projects/p/snapshots/before\nprojects/p/snapshots/given\nprojects/p/snapshots/third\n", "")
	f.run(t, "", "snapshot", "list", "--topic", "orders").want(t, 0, "projects/p/topics/orders-snapshot\n", "")
	f.run(t, "", "snapshot", "describe", "before").want(t, 0, "name:         projects/p/snapshots/before\n"+
		"topic:        projects/p/subscriptions/billing-topic\nexpire_time:  2026-01-02T03:04:05Z\nlabels:       a=1\n", "")
	begun := time.Now()
	f.run(t, "", "snapshot", "update", "before", "--clear", "labels", "--label", "b=2", "--expires-in", "1d").want(t, 0, "updated projects/p/snapshots/before\n", "")
	got := f.snapshots["projects/p/snapshots/before"]
	if in := got.ExpireTime.AsTime().Sub(begun); in < 24*time.Hour || in > 25*time.Hour || len(got.Labels) != 1 || got.Labels["b"] != "2" {
		t.Errorf("after the update: %v", got)
	}
	f.run(t, "", "snapshot", "update", "before", "--clear", "expiry").want(t, 0, "updated projects/p/snapshots/before\n", "")
	if got := f.snapshots["projects/p/snapshots/before"]; got.ExpireTime != nil || got.Labels["b"] != "2" {
		t.Errorf("after the expiry was cleared: %v", got)
	}
	if !slices.Equal(f.masks[0], []string{"expire_time", "labels"}) || !slices.Equal(f.masks[1], []string{"expire_time"}) {
		t.Errorf("update masks %v", f.masks)
	}
	f.run(t, "", "snapshot", "update", "before").want(t, 2, "", "posthaste: nothing to update: give at least one flag\n")
	f.run(t, "", "snapshot", "delete", "before", "given").want(t, 0, "deleted projects/p/snapshots/before\ndeleted projects/p/snapshots/given\n", "")
	f.run(t, "", "snapshot", "describe", "before").
		want(t, 1, "", "posthaste: describe snapshot projects/p/snapshots/before: NOT_FOUND: Resource not found (resource=s).\n")
}

func TestSeek(t *testing.T) {
	f := newSnapshotFake(t)
	f.run(t, "", "subscription", "seek", "billing", "--time", "2026-01-02T03:04:05.5+01:00").
		want(t, 0, "moved projects/p/subscriptions/billing to 2026-01-02T02:04:05.5Z\n", "")
	f.run(t, "", "sub", "seek", "billing", "--snapshot", "before", "--output", "json").
		want(t, 0, `{"moved":"projects/p/subscriptions/billing","to":"projects/p/snapshots/before"}`+"\n", "")
	if got := f.seeks[0]; got.Subscription != "projects/p/subscriptions/billing" || !got.GetTime().AsTime().Equal(time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC)) {
		t.Errorf("first %v", got)
	}
	if got := f.seeks[1]; got.GetSnapshot() != "projects/p/snapshots/before" {
		t.Errorf("second %v", got)
	}
	for text, ago := range map[string]time.Duration{"now": 0, "1h": time.Hour, "7d": 7 * 24 * time.Hour} {
		f.seeks = nil
		begun := time.Now()
		if o := f.run(t, "", "sub", "seek", "billing", "--time", text); o.code != 0 || len(f.seeks) != 1 {
			t.Fatalf("%s: %+v", text, o)
		}
		if got := begun.Sub(f.seeks[0].GetTime().AsTime()); got > ago || got < ago-patience {
			t.Errorf("%s: %v before the command", text, got)
		}
	}
	for _, args := range []string{"", "--time now --snapshot before", "--time yesterday", "--time -1h"} {
		if o := f.run(t, "", append([]string{"sub", "seek", "billing"}, strings.Fields(args)...)...); o.code != 2 {
			t.Errorf("%q: %+v", args, o)
		}
	}
}
