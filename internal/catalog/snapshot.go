package catalog

import (
	"crypto/rand"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var snapshotKind = kind[*pubsubpb.Snapshot]{
	noun: "Snapshot",
	hint: "'expire_time' rather than 'expireTime'",
	fields: []field[*pubsubpb.Snapshot]{
		{name: "name", use: immutable, settle: func(s *pubsubpb.Snapshot) error { _, err := ParseSnapshot(s.Name); return err }},
		{name: "topic", use: immutable},
		{name: "expire_time", settle: checkExpireTime},
		{name: "labels", settle: func(s *pubsubpb.Snapshot) error { return checkLabels(s.Labels) }},
	},
	whole: func(*pubsubpb.Snapshot) error { return nil },
}

// NewSnapshot is the snapshot that a CreateSnapshot describes. Its topic and its expire_time, for which see [SnapshotExpiry], are for the
// caller to add. One without a name is given one in the subscription's project. An error is INVALID_ARGUMENT.
func NewSnapshot(in *pubsubpb.CreateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	name := in.GetName()
	if name == "" {
		parsed, err := ParseSubscription(in.GetSubscription())
		if err != nil {
			return nil, err
		}
		name = projectsPrefix + parsed.Project + "/" + snapshots + "/snapshot-" + rand.Text()
	}
	return snapshotKind.create(&pubsubpb.Snapshot{Name: name, Labels: in.GetLabels()})
}

// SnapshotExpiry is the latest time to which a snapshot that is made now may live: limit.SnapshotLifeMax after the oldest message that it
// keeps was published, or after now if it keeps none. FAILED_PRECONDITION when that is too soon.
func SnapshotExpiry(now, oldest time.Time) (time.Time, error) {
	if oldest.After(now) {
		oldest = now // the clock was set back
	}
	latest := oldest.Add(limit.SnapshotLifeMax)
	if latest.Sub(now) < limit.SnapshotLifeMin {
		return time.Time{}, status.Error(codes.FailedPrecondition,
			"The operation could not be completed because the requested source subscription's backlog is too old.")
	}
	return latest, nil
}

// UpdateSnapshot is the snapshot after an UpdateSnapshot of the fields that the mask names: labels and expire_time, which must lie after
// now and not after latest, what SnapshotExpiry gave when it was made. A named field that is not set in the snapshot sent is cleared;
// expire_time goes back to the latest. An error is INVALID_ARGUMENT.
func UpdateSnapshot(current, in *pubsubpb.Snapshot, mask *fieldmaskpb.FieldMask, now, latest time.Time) (*pubsubpb.Snapshot, error) {
	next, err := snapshotKind.update(current, in, mask)
	if err != nil || !namesPath(mask, "expire_time") {
		return next, err
	}
	if next.ExpireTime == nil {
		next.ExpireTime = timestamppb.New(latest)
	}
	if at := next.ExpireTime.AsTime(); !at.After(now) || at.After(latest) {
		return nil, outOfBounds("expire_time", formatTime(at), formatTime(now), formatTime(latest))
	}
	return next, nil
}

func formatTime(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

func checkExpireTime(s *pubsubpb.Snapshot) error {
	if s.ExpireTime != nil && !s.ExpireTime.IsValid() {
		return badArgument("expire_time")
	}
	return nil
}

// DecodeSnapshot reads what Encode wrote for a snapshot.
func DecodeSnapshot(stored []byte) (*pubsubpb.Snapshot, error) {
	snapshot := new(pubsubpb.Snapshot)
	if err := proto.Unmarshal(stored, snapshot); err != nil {
		return nil, fmt.Errorf("decode stored snapshot: %w", err)
	}
	return snapshot, nil
}
