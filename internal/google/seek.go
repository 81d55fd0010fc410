package google

import (
	"context"
	"math"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (s *server) seek(ctx context.Context, in *pubsubpb.SeekRequest) (*pubsubpb.SeekResponse, error) {
	switch target := in.Target.(type) {
	case *pubsubpb.SeekRequest_Time:
		at, err := unixNano(target.Time)
		if err != nil {
			return nil, err
		}
		return &pubsubpb.SeekResponse{}, s.broker.SeekToTime(ctx, in.Subscription, at)
	case *pubsubpb.SeekRequest_Snapshot:
		return &pubsubpb.SeekResponse{}, s.broker.SeekToSnapshot(ctx, in.Subscription, target.Snapshot)
	}
	return nil, status.Error(codes.InvalidArgument,
		"No target was specified in the SeekRequest. Must specify either a time or a snapshot")
}

// unixNano is a time as the log counts it; times too far away to be counted are the farthest there are.
func unixNano(t *timestamppb.Timestamp) (int64, error) {
	if err := t.CheckValid(); err != nil {
		return 0, status.Error(codes.InvalidArgument, "You have passed an invalid argument to the service (argument=time).")
	}
	switch {
	case t.Seconds < 0:
		return 0, nil // before anything was published
	case t.Seconds >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64, nil
	}
	return t.Seconds*int64(time.Second) + int64(t.Nanos), nil
}
