package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/fault"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/roster"
)

// snapshot is a snapshot at work: it keeps messages until it expires. Its fields change under Broker.mu.
type snapshot struct {
	durable *ledger.Snapshot
	topic   *topic        // nil: deleted
	keeps   engine.Offset // and all of the topic that follows; never changes
	expire  int64         // Unix nanoseconds
	given   int64         // when it was given that time, or when the broker started: Unix nanoseconds
}

// due says whether the snapshot's time has come. The caller holds Broker.mu.
func (b *Broker) due(s *snapshot) bool {
	mono, wall := b.clock.Both()
	return b.calendar.Over(mono, wall, s.given, s.expire)
}

// config is the snapshot as a client sees it. The caller holds Broker.mu.
func (s *snapshot) config() (*pubsubpb.Snapshot, error) {
	c, err := catalog.DecodeSnapshot(s.durable.Config)
	if err == nil && s.topic == nil {
		c.Topic = catalog.DeletedTopic
	}
	return c, err
}

// bringSnapshot makes a snapshot of the ledger live, or follows its new configuration. The caller holds b.mu.
func (b *Broker) bringSnapshot(d *ledger.Snapshot) error {
	c, err := catalog.DecodeSnapshot(d.Config)
	if err != nil {
		return err
	}
	s := b.snapshots[d.Name]
	if s == nil {
		s = &snapshot{durable: d, keeps: d.Floor()}
		if d.Topic != nil {
			s.topic = b.topicByID[d.Topic.ID]
			s.topic.snapshots = append(s.topic.snapshots, s)
		}
		b.snapshots[d.Name] = s
		b.snapshotNames.Change()
	}
	if expire := c.ExpireTime.AsTime().UnixNano(); expire != s.expire {
		s.expire, s.given = expire, b.clock.Wall()
	}
	return nil
}

// dropSnapshot follows a snapshot's deletion. The caller holds b.mu.
func (b *Broker) dropSnapshot(d *ledger.Snapshot) {
	s := b.snapshots[d.Name]
	delete(b.snapshots, d.Name)
	b.snapshotNames.Change()
	if t := s.topic; t != nil {
		t.snapshots = slices.DeleteFunc(slices.Clone(t.snapshots), func(other *snapshot) bool { return other == s })
		b.dirtied(t)
	}
}

// releaseSnapshots lets a deleted topic's snapshots keep nothing. The caller holds b.mu.
func (t *topic) releaseSnapshots() {
	for _, s := range t.snapshots {
		s.topic = nil
	}
	t.snapshots = nil
}

// findSnapshot is the snapshot of that name. The caller holds b.mu.
func (b *Broker) findSnapshot(name string) (*snapshot, error) {
	if s := b.snapshots[name]; s != nil {
		return s, nil
	}
	if _, err := catalog.ParseSnapshot(name); err != nil {
		return nil, err
	}
	return nil, catalog.NotFound(name)
}

// CreateSnapshot keeps what a subscription has not acknowledged at a moment between call and answer, and everything that is published to
// its topic afterwards.
func (b *Broker) CreateSnapshot(ctx context.Context, in *pubsubpb.CreateSnapshotRequest) (*pubsubpb.Snapshot, error) {
	if _, err := catalog.ParseSubscription(in.GetSubscription()); err != nil {
		return nil, err
	}
	config, err := catalog.NewSnapshot(in)
	if err != nil {
		return nil, err
	}
	project := config.Name[:strings.LastIndex(config.Name, "/snapshots/")]
	defer b.names.Lock(config.Name, in.Subscription, project)() // the project's, as its snapshots are counted
	if _, err := b.GetSnapshot(config.Name); err == nil {
		return nil, catalog.AlreadyExists(config.Name)
	}
	s, err := b.subscription(in.Subscription)
	if err != nil {
		return nil, err
	}
	if err := b.mayCreateSnapshot(s, project); err != nil {
		return nil, err
	}
	if err := s.work.ShutOut(ctx); err != nil {
		return nil, fault.Status(err)
	}
	latest, err := b.snapshotExpiry(ctx, s)
	if err != nil {
		return nil, err
	}
	_, ordered := s.work.Properties()
	config.Topic, config.ExpireTime = s.topic.durable.Name, timestamppb.New(latest)
	put := &ledger.Snapshot{
		ID: ledger.SnapshotID(b.last.Add(1)), Name: config.Name, Config: catalog.Encode(config), Ordered: ordered, Latest: latest.UnixNano(),
	}
	if err := b.noteUse(ctx, s, ledger.AppendSnapshot(nil, put, s.durable.ID)); err != nil {
		return nil, err
	}
	if created, err := b.GetSnapshot(config.Name); status.Code(err) != codes.NotFound {
		return created, err
	}
	return nil, errTopicDeleted // meanwhile
}

var errTopicDeleted = status.Error(codes.FailedPrecondition, "The subscription's topic is deleted: a snapshot of it could not be used.")

// mayCreateSnapshot says why there cannot be another snapshot of the subscription.
func (b *Broker) mayCreateSnapshot(s *subscription, project string) error {
	if err := b.immovable(s); err != nil {
		return err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch {
	case s.topic.durable.Deleted:
		return errTopicDeleted
	case len(s.topic.snapshots) >= limit.SnapshotsPerTopicMax:
		return status.Errorf(codes.ResourceExhausted, "The topic has %d snapshots, which is the maximum.", limit.SnapshotsPerTopicMax)
	case len(b.snapshots) >= limit.SnapshotsPerProjectMax && len(b.snapshotsOf(project)) >= limit.SnapshotsPerProjectMax:
		return status.Errorf(codes.ResourceExhausted, "The project has %d snapshots, which is the maximum.", limit.SnapshotsPerProjectMax)
	}
	return nil
}

// snapshotsOf lists the names of a project's snapshots, in order. The caller holds b.mu.
func (b *Broker) snapshotsOf(project string) []string {
	return b.snapshotNames.Under(project+"/", func() []string { return keys(b.snapshots) })
}

// snapshotExpiry is the latest time to which a snapshot of the subscription that is made now may live.
func (b *Broker) snapshotExpiry(ctx context.Context, s *subscription) (time.Time, error) {
	mono, wall := b.clock.Both()
	now := time.Unix(0, wall)
	floor := s.durable.Floor()
	if floor >= s.topic.durable.End() {
		return catalog.SnapshotExpiry(now, now)
	}
	var oldest engine.Batch
	defer oldest.Release()
	if err := b.shard.Read(ctx, s.topic.durable.ID, floor, &oldest); err != nil {
		return time.Time{}, fault.Status(err)
	}
	if len(oldest.Blocks) == 0 {
		return catalog.SnapshotExpiry(now, now)
	}
	return catalog.SnapshotExpiry(now, now.Add(-b.calendar.Age(mono, wall, oldest.Blocks[0].Time)))
}

// GetSnapshot gives a snapshot, NOT_FOUND when there is none.
func (b *Broker) GetSnapshot(name string) (*pubsubpb.Snapshot, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, err := b.findSnapshot(name)
	if err != nil {
		return nil, err
	}
	return s.config()
}

// UpdateSnapshot changes the fields that the mask names.
func (b *Broker) UpdateSnapshot(ctx context.Context, in *pubsubpb.Snapshot, mask *fieldmaskpb.FieldMask) (*pubsubpb.Snapshot, error) {
	defer b.names.Lock(in.GetName())()
	b.mu.RLock()
	s, err := b.findSnapshot(in.GetName())
	b.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	stored, err := catalog.DecodeSnapshot(s.durable.Config)
	if err != nil {
		return nil, err
	}
	config, err := catalog.UpdateSnapshot(stored, in, mask, time.Unix(0, b.clock.Wall()), time.Unix(0, s.durable.Latest))
	if err != nil {
		return nil, err
	}
	put := &ledger.Snapshot{ID: s.durable.ID, Name: config.Name, Config: catalog.Encode(config)}
	if err := b.note(ctx, ledger.AppendSnapshot(nil, put, 0)); err != nil {
		return nil, err
	}
	return b.GetSnapshot(config.Name)
}

// DeleteSnapshot deletes a snapshot: what it alone kept is free.
func (b *Broker) DeleteSnapshot(ctx context.Context, name string) error {
	return b.deleteSnapshot(ctx, name, func(*snapshot) bool { return true })
}

// deleteSnapshot deletes a snapshot if it is to be deleted, which is asked under Broker.mu.
func (b *Broker) deleteSnapshot(ctx context.Context, name string, which func(*snapshot) bool) error {
	defer b.names.Lock(name)()
	b.mu.RLock()
	s, err := b.findSnapshot(name)
	chosen := err == nil && which(s)
	b.mu.RUnlock()
	if !chosen {
		return err
	}
	return b.noteDeleted(ctx, name, ledger.AppendSnapshotDeleted(nil, s.durable.ID))
}

// ListSnapshots gives a page of a project's snapshots, in the order of their names.
func (b *Broker) ListSnapshots(project string, pageSize int32, pageToken string) ([]*pubsubpb.Snapshot, string, error) {
	if _, err := catalog.ParseProject(project); err != nil {
		return nil, "", err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return roster.Page(b.snapshotsOf(project), pageSize, pageToken, func(name string) (*pubsubpb.Snapshot, error) { return b.snapshots[name].config() })
}

// ListTopicSnapshots gives a page of the names of a topic's snapshots, in order.
func (b *Broker) ListTopicSnapshots(name string, pageSize int32, pageToken string) ([]string, string, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t, err := b.find(name)
	if err != nil {
		return nil, "", err
	}
	names := make([]string, len(t.snapshots))
	for i, s := range t.snapshots {
		names[i] = s.durable.Name
	}
	slices.Sort(names)
	return catalog.Page(names, pageSize, pageToken)
}

// dropExpiredSnapshots deletes the snapshots whose time has come.
func (b *Broker) dropExpiredSnapshots(ctx context.Context) {
	var due []string
	b.mu.RLock()
	for name, s := range b.snapshots {
		if b.due(s) {
			due = append(due, name)
		}
	}
	b.mu.RUnlock()
	for _, name := range due {
		if err := b.deleteSnapshot(ctx, name, b.due); err != nil && status.Code(err) != codes.NotFound {
			b.logger.Error("expiry", "snapshot", name, "error", err)
			return // the log takes nothing; Failed tells the rest
		}
	}
}
