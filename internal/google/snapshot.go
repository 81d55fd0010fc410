package google

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

func (s *server) createSnapshot(ctx context.Context, in *pubsubpb.CreateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	return s.broker.CreateSnapshot(ctx, in)
}

func (s *server) getSnapshot(_ context.Context, in *pubsubpb.GetSnapshotRequest) (*pubsubpb.Snapshot, error) {
	return s.broker.GetSnapshot(in.Snapshot)
}

func (s *server) listSnapshots(_ context.Context, in *pubsubpb.ListSnapshotsRequest) (*pubsubpb.ListSnapshotsResponse, error) {
	page, next, err := s.broker.ListSnapshots(in.Project, in.PageSize, in.PageToken)
	return &pubsubpb.ListSnapshotsResponse{Snapshots: page, NextPageToken: next}, err
}

func (s *server) listTopicSnapshots(_ context.Context, in *pubsubpb.ListTopicSnapshotsRequest) (*pubsubpb.ListTopicSnapshotsResponse, error) {
	page, next, err := s.broker.ListTopicSnapshots(in.Topic, in.PageSize, in.PageToken)
	return &pubsubpb.ListTopicSnapshotsResponse{Snapshots: page, NextPageToken: next}, err
}

func (s *server) updateSnapshot(ctx context.Context, in *pubsubpb.UpdateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	return s.broker.UpdateSnapshot(ctx, in.GetSnapshot(), in.GetUpdateMask())
}

func (s *server) deleteSnapshot(ctx context.Context, in *pubsubpb.DeleteSnapshotRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.broker.DeleteSnapshot(ctx, in.Snapshot)
}
