package blackbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// inclusive checks that most is taken and one more is not.
func inclusive(t *testing.T, what string, most int, try func(n int) error) {
	t.Helper()
	if err := try(most); err != nil {
		t.Errorf("%s of %d: %v", what, most, err)
	}
	if err := try(most + 1); err == nil {
		t.Errorf("%s of %d was taken", what, most+1)
	} else {
		wantStatus(t, err, codes.InvalidArgument, "")
	}
}

// least is inclusive for a smallest value.
func least(t *testing.T, what string, least int, try func(n int) error) {
	t.Helper()
	inclusive(t, what+", negated,", -least, func(n int) error { return try(-n) })
}

// fresh creates a subscription under a name of its own.
func (s *server) fresh(t *testing.T, topic, prefix string, change func(*pb.Subscription)) (*pb.Subscription, error) {
	t.Helper()
	r := &pb.Subscription{Name: s.subName(fmt.Sprintf("%s-%d", prefix, time.Now().UnixNano())), Topic: topic}
	change(r)
	return s.sub.CreateSubscription(limited(t), r)
}

func rangeOfAckDeadlines(t *testing.T, said []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	try := func(n int) error {
		_, err := s.fresh(t, topic, "deadline", func(r *pb.Subscription) { r.AckDeadlineSeconds = int32(n) })
		return err
	}
	least(t, "an ack deadline", figure(t, said[1]), try)
	inclusive(t, "an ack deadline", figure(t, said[2]), try)
	made, err := s.fresh(t, topic, "unset", func(*pb.Subscription) {})
	if err != nil || int(made.AckDeadlineSeconds) != figure(t, said[3]) {
		t.Errorf("unset it is %d, %v", made.GetAckDeadlineSeconds(), err)
	}
}

func rangeOfRetention(t *testing.T, said []string) {
	const day = 24 * 60 * 60
	s := common(t)
	topic := s.topic(t, "topic")
	for what, try := range map[string]func(n int) error{
		"a topic's retention, in seconds,": func(n int) error {
			_, err := s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName(fmt.Sprint("kept-", n)), MessageRetentionDuration: &durationpb.Duration{Seconds: int64(n)}})
			return err
		},
		"a subscription's retention, in seconds,": func(n int) error {
			_, err := s.fresh(t, topic, "kept", func(r *pb.Subscription) { r.MessageRetentionDuration = &durationpb.Duration{Seconds: int64(n)} })
			return err
		},
	} {
		least(t, what, figure(t, said[1])*60, try)
		inclusive(t, what, figure(t, said[2])*day, try)
	}
	made, err := s.fresh(t, topic, "unset", func(*pb.Subscription) {})
	if err != nil || int(made.MessageRetentionDuration.GetSeconds()) != figure(t, said[3])*day {
		t.Errorf("unset it is %v, %v", made.GetMessageRetentionDuration(), err)
	}
}

func rangeOfExpiration(t *testing.T, said []string) {
	const day = 24 * 60 * 60
	s := common(t)
	topic := s.topic(t, "topic")
	made, err := s.fresh(t, topic, "unset", func(*pb.Subscription) {})
	if err != nil || int(made.ExpirationPolicy.GetTtl().GetSeconds()) != figure(t, said[1])*day {
		t.Errorf("unset it is %v, %v", made.GetExpirationPolicy(), err)
	}
	least(t, "a time to live, in seconds,", figure(t, said[2])*day, func(n int) error {
		_, err := s.fresh(t, topic, "ttl", func(r *pb.Subscription) {
			r.ExpirationPolicy = &pb.ExpirationPolicy{Ttl: &durationpb.Duration{Seconds: int64(n)}}
		})
		return err
	})
}

func takenNames(t *testing.T, _ []string) {
	s := common(t)
	topic, sub := s.pair(t, "x")
	snapshot := &pb.CreateSnapshotRequest{Name: "projects/" + s.project + "/snapshots/some", Subscription: sub}
	if _, err := s.sub.CreateSnapshot(limited(t), snapshot); err != nil {
		t.Fatal(err)
	}
	_, err := s.CreateTopic(limited(t), &pb.Topic{Name: topic, SchemaSettings: &pb.SchemaSettings{Schema: s.parent() + "/schemas/missing", Encoding: pb.Encoding_JSON}})
	wantStatus(t, err, codes.AlreadyExists, "")
	_, err = s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: sub, Topic: s.topicName("missing")})
	wantStatus(t, err, codes.AlreadyExists, "")
	snapshot.Subscription = s.subName("missing")
	_, err = s.sub.CreateSnapshot(limited(t), snapshot)
	wantStatus(t, err, codes.AlreadyExists, "")
}

func sizesOfPages(t *testing.T, said []string) {
	usual, most := figure(t, said[1]), figure(t, said[2])
	s := common(t)
	var creators errgroup.Group
	creators.SetLimit(50)
	for i := range most + 1 {
		creators.Go(func() error {
			_, err := s.CreateTopic(t.Context(), &pb.Topic{Name: s.topicName(fmt.Sprintf("t%04d", i))})
			return err
		})
	}
	if err := creators.Wait(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for i, page := range []struct{ ask, want int }{{0, usual}, {most, most}, {most + 1, most}} {
		got, err := s.ListTopics(limited(t), &pb.ListTopicsRequest{Project: s.parent(), PageSize: int32(page.ask)})
		if err != nil || len(got.Topics) != page.want || got.NextPageToken == "" {
			t.Errorf("page of %d: %d topics, %v; want %d and more to come", page.ask, len(got.GetTopics()), err, page.want)
		}
		for _, topic := range got.GetTopics() {
			if i == 1 {
				all = append(all, topic.Name)
			}
		}
	}
	if !slices.IsSorted(all) {
		t.Error("the names are in no order")
	}
}

func limitsOfSchemas(t *testing.T, said []string) {
	s := common(t)
	s.createSchema(t, "proto", pb.Schema_PROTOCOL_BUFFER, stateProto)
	avro := s.createSchema(t, "avro", pb.Schema_AVRO, stateAvro)
	inclusive(t, "a schema", figure(t, said[1]), func(n int) error {
		_, err := s.schemas(t).ValidateSchema(limited(t), &pb.ValidateSchemaRequest{Parent: s.parent(),
			Schema: &pb.Schema{Type: pb.Schema_AVRO, Definition: stateAvro + strings.Repeat(" ", n-len(stateAvro))}})
		return err
	})
	commit := func(definition string) error {
		_, err := s.schemas(t).CommitSchema(limited(t), &pb.CommitSchemaRequest{Name: avro.Name, Schema: &pb.Schema{Type: pb.Schema_AVRO, Definition: definition}})
		return err
	}
	wantStatus(t, commit(strings.Replace(stateAvro, `"post_abbr", "type": "string"`, `"post_abbr", "type": "int"`, 1)), codes.InvalidArgument, "")
	for i := range figure(t, said[2]) - 1 {
		if err := commit(strings.Replace(stateAvro, `"type": "record"`, `"doc": "`+fmt.Sprint(i)+`", "type": "record"`, 1)); err != nil {
			t.Fatalf("revision %d: %v", i+2, err)
		}
	}
	if err := commit(stateAvro); err == nil {
		t.Errorf("one more than %s revisions", said[2])
	}
}

func numberOfTransforms(t *testing.T, said []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	inclusive(t, "a list of transforms", figure(t, said[1]), func(n int) error {
		list := make([]*pb.MessageTransform, n)
		for i := range list {
			name := fmt.Sprint("f", i)
			list[i] = &pb.MessageTransform{Transform: &pb.MessageTransform_JavascriptUdf{
				JavascriptUdf: &pb.JavaScriptUDF{FunctionName: name, Code: "function " + name + "(message, metadata) { return message }"}}}
		}
		return s.transformTopic(t, topic, list)
	})
}

func inertSettings(t *testing.T, said []string) {
	s := common(t)
	export := &pb.CloudStorageConfig{Bucket: "some-bucket", FilenamePrefix: "some"}
	source := &pb.IngestionDataSourceSettings{Source: &pb.IngestionDataSourceSettings_CloudStorage_{CloudStorage: &pb.IngestionDataSourceSettings_CloudStorage{
		Bucket: "some-bucket", InputFormat: &pb.IngestionDataSourceSettings_CloudStorage_AvroFormat_{AvroFormat: &pb.IngestionDataSourceSettings_CloudStorage_AvroFormat{}}}}}
	topic, err := s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName("topic"), IngestionDataSourceSettings: source})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := s.fresh(t, topic.Name, "export", func(r *pb.Subscription) { r.CloudStorageConfig = export })
	if err != nil {
		t.Fatal(err)
	}
	sub, err = s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub.Name})
	if config := sub.GetCloudStorageConfig(); err != nil || config.GetFilenamePrefix() != "some" || config.GetState().String() != said[1] || sub.State != pb.Subscription_RESOURCE_ERROR {
		t.Errorf("export: %v, %v", sub, err)
	}
	topic, err = s.GetTopic(limited(t), &pb.GetTopicRequest{Topic: topic.Name})
	from := topic.GetIngestionDataSourceSettings().GetCloudStorage()
	if err != nil || from.GetBucket() != "some-bucket" || from.GetState().String() != "BUCKET_"+said[1] || topic.State != pb.Topic_INGESTION_RESOURCE_ERROR {
		t.Errorf("ingestion: %v, %v", topic, err)
	}
	s.publish(t, topic.GetName(), "not written")
	if got := dataOf(s.pull(t, sub.GetName(), 1)); got[0] != "not written" {
		t.Errorf("%q came", got)
	}
}

func limitsOfAttributes(t *testing.T, said []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	try := func(attributes map[string]string) error {
		_, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Attributes: attributes}}})
		return err
	}
	inclusive(t, "a number of attributes", figure(t, said[1]), func(n int) error {
		attributes := make(map[string]string)
		for i := range n {
			attributes[fmt.Sprint("k", i)] = "v"
		}
		return try(attributes)
	})
	inclusive(t, "a name", figure(t, said[2]), func(n int) error { return try(map[string]string{strings.Repeat("k", n): "v"}) })
	inclusive(t, "a value", figure(t, said[3]), func(n int) error { return try(map[string]string{"k": strings.Repeat("v", n)}) })
}

func limitOfOrderingKeys(t *testing.T, said []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	inclusive(t, "an ordering key", figure(t, said[1]), func(n int) error {
		_, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte("x"), OrderingKey: strings.Repeat("k", n)}}})
		return err
	})
}

func limitsOfLabels(t *testing.T, said []string) {
	s := common(t)
	topic := s.topic(t, "topic")
	try := func(labels map[string]string) error {
		_, err := s.fresh(t, topic, "labels", func(r *pb.Subscription) { r.Labels = labels })
		return err
	}
	inclusive(t, "a number of labels", figure(t, said[1]), func(n int) error {
		labels := make(map[string]string)
		for i := range n {
			labels[fmt.Sprint("k", i)] = ""
		}
		return try(labels)
	})
	inclusive(t, "a label's key", figure(t, said[2]), func(n int) error { return try(map[string]string{strings.Repeat("ä", n): ""}) })
	inclusive(t, "a label's value", figure(t, said[2]), func(n int) error { return try(map[string]string{"k": strings.Repeat("ä", n)}) })
}
