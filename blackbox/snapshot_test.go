package blackbox

import (
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (s *server) snapshotName(id string) string { return "projects/" + s.project + "/snapshots/" + id }

// snapshot makes a snapshot with Google's client and returns it.
func (s *server) snapshot(t *testing.T, client *pubsub.Client, id, sub string) *pb.Snapshot {
	t.Helper()
	request := &pb.CreateSnapshotRequest{Name: s.snapshotName(id), Subscription: sub}
	if id == "" {
		request.Name = ""
	}
	snapshot, err := client.SubscriptionAdminClient.CreateSnapshot(limited(t), request)
	if err != nil {
		t.Fatalf("create snapshot: %v", err)
	}
	return snapshot
}

func toSnapshot(sub, snapshot string) *pb.SeekRequest {
	return &pb.SeekRequest{Subscription: sub, Target: &pb.SeekRequest_Snapshot{Snapshot: snapshot}}
}

func TestSnapshotRoundTrip(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]bool{"live": false, "over a crash": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := own(t)
			client := s.google(t)
			topic, sub := s.pair(t, "x")
			other := s.subscription(t, "other", topic, func(r *pb.Subscription) { r.EnableExactlyOnceDelivery = true })
			s.publish(t, topic, "a", "b", "c", "d")
			first := s.pull(t, sub, 4)
			s.ack(t, sub, first[0], first[2])
			snapshot := s.snapshot(t, client, "before", sub)
			s.ack(t, sub, first[1], first[3])
			theirs := s.pull(t, other, 4)
			s.ack(t, other, theirs...)
			s.publish(t, topic, "e")
			s.ack(t, sub, s.pull(t, sub, 1)...)
			time.Sleep(2500 * time.Millisecond) // the sweeper gives back what nobody needs
			if crash {
				s.restart(t, true)
			}
			for _, name := range []string{other, sub} {
				if _, err := client.SubscriptionAdminClient.Seek(limited(t), toSnapshot(name, snapshot.Name)); err != nil {
					t.Fatalf("seek: %v", err)
				}
				if crash {
					s.restart(t, true)
				}
				s.ack(t, sub, first...) // ids from before
				got := dataOf(s.pull(t, name, 3))
				slices.Sort(got)
				if !slices.Equal(got, []string{"b", "d", "e"}) {
					t.Errorf("%s got %q", name, got)
				}
				if more := dataOf(s.pullNow(t, name)); len(more) > 0 {
					t.Errorf("%s also got %q", name, more)
				}
			}
		})
	}
}

func TestSnapshotKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", func(r *pb.Subscription) { r.EnableMessageOrdering = true })
	_, plain := s.pair(t, "y")
	var texts []string
	for i := range 50 {
		text := string(rune('a'+i%26)) + string(rune('a'+i/26))
		texts = append(texts, text)
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte(text), OrderingKey: "k"}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	snapshot := s.snapshot(t, client, "before", sub)
	for range 2 {
		var got []string
		for len(got) < len(texts) {
			batch := s.pull(t, sub, 1)
			got = append(got, dataOf(batch)...)
			s.ack(t, sub, batch...)
		}
		if !slices.Equal(got, texts) {
			t.Fatalf("order %q", got)
		}
		if _, err := s.sub.Seek(limited(t), toSnapshot(sub, snapshot.Name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.sub.Seek(limited(t), toSnapshot(plain, snapshot.Name))
	wantStatus(t, err, codes.FailedPrecondition, "The subscription's topic "+s.topicName("t-y")+" is different from that of the snapshot "+snapshot.Name+
		"; they must match in order for Seek work. Note that if a topic is deleted and then re-created with the same name, it is considered a "+
		"distinct topic for these purposes.")
}

func TestSnapshotsAreResources(t *testing.T) {
	t.Parallel()
	s := own(t)
	client := s.google(t)
	admin := client.SubscriptionAdminClient
	topic, sub := s.pair(t, "x")
	made := s.snapshot(t, client, "before", sub)
	if life := time.Until(made.ExpireTime.AsTime()); made.Topic != topic || life < 7*24*time.Hour-time.Minute || life > 7*24*time.Hour+time.Minute {
		t.Errorf("created %v", made)
	}
	assigned := s.snapshot(t, client, "", sub)
	if !strings.HasPrefix(assigned.Name, s.snapshotName("")) || len(assigned.Name) < len(s.snapshotName(""))+10 {
		t.Errorf("the server's own name is %q", assigned.Name)
	}
	_, err := s.sub.CreateSnapshot(limited(t), &pb.CreateSnapshotRequest{Name: made.Name, Subscription: sub})
	wantStatus(t, err, codes.AlreadyExists, "Resource already exists in the project (resource=before).")
	_, err = s.sub.CreateSnapshot(limited(t), &pb.CreateSnapshotRequest{Name: s.snapshotName("x2x"), Subscription: s.subName("none")})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=none).")

	change := &pb.Snapshot{Name: made.Name, Labels: map[string]string{"a": "b"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}
	updated, err := admin.UpdateSnapshot(limited(t), &pb.UpdateSnapshotRequest{
		Snapshot: change, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels", "expire_time"}},
	})
	if err != nil || updated.Labels["a"] != "b" || updated.Topic != topic || !proto.Equal(updated.ExpireTime, change.ExpireTime) {
		t.Errorf("updated %v, %v", updated, err)
	}
	change.ExpireTime = timestamppb.New(time.Now().Add(8 * 24 * time.Hour))
	_, err = s.sub.UpdateSnapshot(limited(t), &pb.UpdateSnapshotRequest{Snapshot: change, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expire_time"}}})
	wantStatus(t, err, codes.InvalidArgument, "")

	s.restart(t, true)
	got, err := admin.GetSnapshot(limited(t), &pb.GetSnapshotRequest{Snapshot: made.Name})
	if err != nil || !proto.Equal(got, updated) {
		t.Errorf("after a crash %v, %v; want %v", got, err, updated)
	}
	list, err := s.sub.ListSnapshots(limited(t), &pb.ListSnapshotsRequest{Project: "projects/" + s.project})
	if err != nil || len(list.Snapshots) != 2 || list.Snapshots[0].Name != made.Name || list.Snapshots[1].Name != assigned.Name {
		t.Errorf("listed %v, %v", list, err)
	}
	names, err := s.ListTopicSnapshots(limited(t), &pb.ListTopicSnapshotsRequest{Topic: topic})
	if err != nil || !slices.Equal(names.GetSnapshots(), []string{made.Name, assigned.Name}) {
		t.Errorf("of the topic %v, %v", names, err)
	}
	if err := admin.DeleteSnapshot(limited(t), &pb.DeleteSnapshotRequest{Snapshot: assigned.Name}); err != nil {
		t.Fatal(err)
	}
	_, err = s.sub.Seek(limited(t), toSnapshot(sub, assigned.Name))
	wantStatus(t, err, codes.NotFound, "")
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	if got, err = s.sub.GetSnapshot(limited(t), &pb.GetSnapshotRequest{Snapshot: made.Name}); err != nil || got.Topic != "_deleted-topic_" {
		t.Errorf("after its topic was deleted: %v, %v", got, err)
	}
}
