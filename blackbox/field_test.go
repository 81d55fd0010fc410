package blackbox

import (
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	badKey = `You have passed an invalid argument to the service (argument=Invalid labels: Invalid field "labels"; key "Upper" does not conform to ` +
		`regular expression "[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"; first character "U" is not a non-uppercased letter (Unicode character class Ll or Lo)).`
	shortRetention = "The value for message retention duration is out of bounds. You passed 9m59s in the request, but the value must be between 10m and 744h."
	badArguments   = "You have passed an invalid argument to the service (argument="
	twoWays        = "At most one of push_config, bigquery_config, cloud_storage_config and bigtable_config can be set. You passed "
)

var labelRule = fieldRule{
	value: `labels { key: "team" value: "blue" } labels { key: "é_1" value: "" }`,
	refused: []refusedValue{
		bad(`labels { key: "Upper" value: "x" }`, badKey),
		bad(`labels { key: "a" value: "`+strings.Repeat("v", 64)+`" }`, badArguments+`Invalid labels: Invalid field "labels.a"; value "`+
			strings.Repeat("v", 64)+`" exceeds maximum value length 63 with a length of 64).`),
	},
}

var transformRule = fieldRule{
	value: `message_transforms { javascript_udf { function_name: "f" code: "function f(m) { return m }" } }
		message_transforms { compression { compression_algorithm: ZLIB compression_mode: COMPRESS } disabled: true }
		message_transforms { ai_inference { endpoint: "projects/p/locations/l/endpoints/e" unstructured_inference {} } }`,
	refused: []refusedValue{
		bad(strings.Repeat(`message_transforms { compression { compression_algorithm: ZLIB compression_mode: COMPRESS } }`, 6),
			"The request exceeds the maximum number of enabled message transforms. Maximum enabled transforms: 5. Enabled transforms: 6"),
		bad(strings.Repeat(`message_transforms { javascript_udf { function_name: "f" code: "function f(m) { return m }" } }`, 2),
			"The function names of the message transforms must be unique. Function name given more than once: f"),
		bad(`message_transforms { javascript_udf { function_name: "f" code: "function (" } }`, ""),
		bad(`message_transforms {}`, badArguments+"MessageTransform::transform)."),
	},
}

var topicRules = map[protoreflect.Name]fieldRule{
	"name": {use: fixed, value: `name: "projects/PROJECT/topics/itself"`, refused: []refusedValue{
		bad(`name: "projects/PROJECT/topics/goog"`, badName("projects/PROJECT/topics/goog")),
		{`name: "projects/PROJECT/topics/itself"`, codes.AlreadyExists, "Resource already exists in the project (resource=itself)."},
	}},
	"labels": labelRule,
	"message_storage_policy": {value: `message_storage_policy { allowed_persistence_regions: "europe-west3" enforce_in_transit: true }`,
		refused: []refusedValue{bad(`message_storage_policy {}`, "")}},
	"kms_key_name": {value: `kms_key_name: "projects/p/locations/l/keyRings/r/cryptoKeys/k"`, refused: []refusedValue{bad(`kms_key_name: "k"`, "")}},
	"schema_settings": {value: `schema_settings { schema: "projects/PROJECT/schemas/some" encoding: JSON }`, refused: []refusedValue{
		bad(`schema_settings { schema: "projects/PROJECT/schemas/some" }`, "Invalid schema encoding provided"),
		bad(`schema_settings { schema: "x" encoding: JSON }`, badName("x")),
		{`schema_settings { schema: "projects/PROJECT/schemas/missing" encoding: JSON }`, codes.NotFound, notFound},
		{`schema_settings { schema: "projects/PROJECT/schemas/some" encoding: JSON first_revision_id: "ffffffff" }`, codes.NotFound, ""},
	}},
	"satisfies_pzs": {use: output, value: `satisfies_pzs: true`, shown: `-`},
	"message_retention_duration": {value: `message_retention_duration { seconds: 600 nanos: 500000000 }`, refused: []refusedValue{
		bad(`message_retention_duration { seconds: 599 }`, shortRetention),
		bad(`message_retention_duration { seconds: 2678401 }`, "The value for message retention duration is out of bounds. You passed 744h1s in the request, but the value must be between 10m and 744h."),
	}},
	"state": {use: output, value: `state: INGESTION_RESOURCE_ERROR`, shown: `state: ACTIVE`},
	"ingestion_data_source_settings": {
		value: `ingestion_data_source_settings { aws_kinesis { stream_arn: "a" consumer_arn: "b" aws_role_arn: "c" gcp_service_account: "d@e" } }`,
		shown: `ingestion_data_source_settings { aws_kinesis { state: STREAM_NOT_FOUND stream_arn: "a" consumer_arn: "b" aws_role_arn: "c" gcp_service_account: "d@e" } }`,
		refused: []refusedValue{
			bad(`ingestion_data_source_settings {}`, "No ingestion source provided"),
			bad(`ingestion_data_source_settings { aws_kinesis { stream_arn: "a" } }`,
				"Missing required fields for AwsKinesis ingestion settings: consumer_arn, aws_role_arn, gcp_service_account"),
		}},
	"message_transforms": transformRule,
	"tags":               {use: output, value: `tags { key: "1/a" value: "b" }`, shown: `-`},
}

// on is a subscription of the topic that all of these have.
const on = ` topic: "projects/PROJECT/topics/some" `

var subscriptionRules = map[protoreflect.Name]fieldRule{
	"name": {use: fixed, value: `name: "projects/PROJECT/subscriptions/itself"` + on, refused: []refusedValue{
		bad(`name: "projects/PROJECT/subscriptions/1"`+on, badName("projects/PROJECT/subscriptions/1")),
		{`name: "projects/PROJECT/subscriptions/itself"` + on, codes.AlreadyExists, "Resource already exists in the project (resource=itself)."},
	}},
	"topic": {use: fixed, value: on, refused: []refusedValue{
		bad(`topic: "x"`, badName("x")), {`topic: "projects/PROJECT/topics/missing"`, codes.NotFound, notFound},
	}},
	"push_config": {value: on + `push_config { push_endpoint: "http://127.0.0.1:1/" no_wrapper { write_metadata: true } oidc_token { service_account_email: "a@b.c" audience: "d" } }`,
		refused: []refusedValue{
			bad(on+`push_config { push_endpoint: "ftp://a" }`, "Invalid push endpoint given (endpoint=ftp://a). Refer to https://cloud.google.com/pubsub/subscriber#create for more information."),
			bad(on+`push_config { push_endpoint: "http://a" attributes { key: "x-goog-version" value: "v9" } }`, "Invalid push endpoint version given in push config (version=v9)."),
			bad(on+`push_config { push_endpoint: "http://a" oidc_token {} }`, badArguments+"PushConfig::oidc_token::service_account_email)."),
			bad(on+`push_config { push_endpoint: "http://a" } bigquery_config { table: "p.d.t" }`, twoWays+"push_config and bigquery_config in the request."),
		}},
	"bigquery_config": {value: on + `bigquery_config { table: "p.d.t" write_metadata: true }`, shown: on + `bigquery_config { table: "p.d.t" write_metadata: true state: NOT_FOUND }`,
		refused: []refusedValue{
			bad(on+`bigquery_config {}`, badArguments+"BigQueryConfig::table)."),
			bad(on+`bigquery_config { table: "p.d.t" use_topic_schema: true use_table_schema: true }`, "use_topic_schema and use_table_schema cannot be enabled at the same time."),
		}},
	"cloud_storage_config": {value: on + `ack_deadline_seconds: 400 cloud_storage_config { bucket: "b" }`,
		shown: on + `cloud_storage_config { bucket: "b" text_config {} max_duration { seconds: 300 } state: NOT_FOUND }`,
		refused: []refusedValue{
			bad(on+`cloud_storage_config {}`, badArguments+"CloudStorageConfig::bucket)."),
			bad(on+`cloud_storage_config { bucket: "b" max_duration { seconds: 59 } }`, "The value for max_duration is out of bounds. You passed 59s in the request, but the value must be between 1m and 10m."),
			bad(on+`cloud_storage_config { bucket: "b" max_bytes: 999 }`, "The value for max_bytes is out of bounds. You passed 999 in the request, but the value must be between 1000 and 10737418240."),
			bad(on+`cloud_storage_config { bucket: "b" max_messages: 999 }`, "The value for max_messages is too small. You passed 999 in the request, but the minimum value is 1000."),
		}},
	"bigtable_config": {value: on + `bigtable_config { table: "projects/p/instances/i/tables/t" }`, shown: on + `bigtable_config { table: "projects/p/instances/i/tables/t" state: NOT_FOUND }`,
		refused: []refusedValue{bad(on+`bigtable_config { table: "t" }`, badArguments+"BigtableConfig::table).")}},
	"ack_deadline_seconds": {value: on + `ack_deadline_seconds: 600`, refused: []refusedValue{
		bad(on+`ack_deadline_seconds: 9`, "Invalid ack deadline given (ack_deadline=9). The ack deadline must be between 10 and 600 seconds."),
		bad(on+`ack_deadline_seconds: 601`, "Invalid ack deadline given (ack_deadline=601). The ack deadline must be between 10 and 600 seconds."),
		bad(on+`ack_deadline_seconds: -1`, "Invalid ack deadline given (ack_deadline=-1). The ack deadline must be between 10 and 600 seconds."),
	}},
	"retain_acked_messages": {value: on + `retain_acked_messages: true`},
	"message_retention_duration": {value: on + `message_retention_duration { seconds: 2678400 }`, refused: []refusedValue{
		bad(on+`message_retention_duration { seconds: 599 }`, shortRetention),
	}},
	"labels":                  labelsOn(labelRule),
	"enable_message_ordering": {use: fixed, value: on + `enable_message_ordering: true`},
	"expiration_policy": {value: on + `expiration_policy {}`, refused: []refusedValue{
		bad(on+`expiration_policy { ttl { seconds: 3600 } }`, "The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h."),
	}},
	"filter": {use: fixed, value: on + `filter: "attributes:a AND NOT hasPrefix(attributes.b, \"c\")"`, refused: []refusedValue{
		bad(on+`filter: "attributes:a AND attributes:b OR attributes:c"`, ""),
		bad(on+`filter: "`+strings.Repeat("x", 257)+`"`, "The value for filter_size is too large. You passed 257 in the request, but the maximum value is 256."),
	}},
	"dead_letter_policy": {value: on + `dead_letter_policy { dead_letter_topic: "projects/PROJECT/topics/some" }`,
		shown: on + `dead_letter_policy { dead_letter_topic: "projects/PROJECT/topics/some" max_delivery_attempts: 5 }`,
		refused: []refusedValue{
			{on + `dead_letter_policy { dead_letter_topic: "projects/PROJECT/topics/missing" }`, codes.NotFound, notFound},
			{on + `dead_letter_policy { dead_letter_topic: "projects/PROJECT/topics/some" max_delivery_attempts: 4 }`, codes.OutOfRange,
				"The value for max_delivery_attempts is too small. You passed 4 in the request, but the minimum value is 5."},
			{on + `dead_letter_policy { dead_letter_topic: "projects/PROJECT/topics/some" max_delivery_attempts: 101 }`, codes.OutOfRange,
				"The value for max_delivery_attempts is too large. You passed 101 in the request, but the maximum value is 100."},
		}},
	"retry_policy": {value: on + `retry_policy { minimum_backoff { seconds: 1 } }`, shown: on + `retry_policy { minimum_backoff { seconds: 1 } maximum_backoff { seconds: 600 } }`,
		refused: []refusedValue{
			bad(on+`retry_policy { maximum_backoff { seconds: 601 } }`, "The value for maximum_backoff is out of bounds. You passed 601s in the request, but the value must be between 0s and 600s."),
			bad(on+`retry_policy { maximum_backoff { seconds: 5 } }`, "The value for maximum_backoff is too small. You passed 5s in the request, but the minimum value is 10s."),
		}},
	"detached": {use: output, value: on + `detached: true`, shown: `-`},
	"enable_exactly_once_delivery": {value: on + `enable_exactly_once_delivery: true`, refused: []refusedValue{
		bad(on+`enable_exactly_once_delivery: true push_config { push_endpoint: "http://a" }`, "enable_exactly_once_delivery is only supported for pull subscriptions. You passed push_config in the request."),
	}},
	"topic_message_retention_duration": {use: output, value: on + `topic_message_retention_duration { seconds: 1 }`, shown: `topic_message_retention_duration { seconds: 86400 }`},
	"state":                            {use: output, value: on + `state: RESOURCE_ERROR`, shown: `state: ACTIVE`},
	"analytics_hub_subscription_info":  {use: output, value: on + `analytics_hub_subscription_info { listing: "a" }`, shown: `-`},
	"message_transforms":               labelsOn(transformRule),
	"tags":                             {use: output, value: on + `tags { key: "1/a" value: "b" }`, shown: `-`},
}

// labelsOn is a rule that topics have, for subscriptions.
func labelsOn(rule fieldRule) fieldRule {
	refused := make([]refusedValue, 0, len(rule.refused))
	for _, r := range rule.refused {
		refused = append(refused, refusedValue{on + r.value, r.code, r.text})
	}
	rule.value, rule.refused = on+rule.value, refused
	return rule
}

// TestEveryFieldIsKept walks the definitions of topics and subscriptions: each field is validated, stored, shown in both forms, changed
// by updates or protected from them, and outlives a restart.
func TestEveryFieldIsKept(t *testing.T) {
	t.Parallel()
	s := own(t)
	schema := &pb.Schema{Type: pb.Schema_AVRO, Definition: `"string"`}
	if _, err := s.schemas(t).CreateSchema(limited(t), &pb.CreateSchemaRequest{Parent: "projects/" + s.project, SchemaId: "some", Schema: schema}); err != nil {
		t.Fatal(err)
	}
	topics := &resourceKind[*pb.Topic]{noun: "Topic", plural: "topics", rules: topicRules, project: s.project, server: s,
		empty:  func() *pb.Topic { return new(pb.Topic) },
		create: func(r *pb.Topic) (*pb.Topic, error) { return s.CreateTopic(limited(t), r) },
		get:    func(name string) (*pb.Topic, error) { return s.GetTopic(limited(t), &pb.GetTopicRequest{Topic: name}) },
		update: func(r *pb.Topic, mask *fieldmaskpb.FieldMask) (*pb.Topic, error) {
			return s.UpdateTopic(limited(t), &pb.UpdateTopicRequest{Topic: r, UpdateMask: mask})
		},
	}
	if _, err := topics.create(topics.parse(t, s.topicName("some"), `message_retention_duration { seconds: 86400 }`)); err != nil {
		t.Fatal(err)
	}
	subs := &resourceKind[*pb.Subscription]{noun: "Subscription", plural: "subscriptions", plain: on, rules: subscriptionRules, project: s.project, server: s,
		empty:  func() *pb.Subscription { return new(pb.Subscription) },
		create: func(r *pb.Subscription) (*pb.Subscription, error) { return s.sub.CreateSubscription(limited(t), r) },
		get: func(name string) (*pb.Subscription, error) {
			return s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: name})
		},
		update: func(r *pb.Subscription, mask *fieldmaskpb.FieldMask) (*pb.Subscription, error) {
			return s.sub.UpdateSubscription(limited(t), &pb.UpdateSubscriptionRequest{Subscription: r, UpdateMask: mask})
		},
	}
	var madeTopics map[string]*pb.Topic
	var madeSubs map[string]*pb.Subscription
	t.Run("topic", func(t *testing.T) { madeTopics = topics.check(t) })
	t.Run("subscription", func(t *testing.T) { madeSubs = subs.check(t) })
	s.restart(t, true)
	outlived(t, madeTopics, topics.get)
	outlived(t, madeSubs, subs.get)
}

func outlived[R proto.Message](t *testing.T, made map[string]R, get func(string) (R, error)) {
	t.Helper()
	if len(made) < 10 {
		t.Errorf("%d resources were made", len(made))
	}
	for name, before := range made {
		if after, err := get(name); err != nil || !proto.Equal(after, before) {
			t.Errorf("after a restart %v, %v\nbefore %v", after, err, before)
		}
	}
}

// schemaFields and snapshotFields are the fields that the two tests below look at, so that a new one is not forgotten.
var (
	schemaFields   = []protoreflect.Name{"name", "type", "definition", "revision_id", "revision_create_time", "compiled_proto_schema"}
	snapshotFields = []protoreflect.Name{"name", "topic", "expire_time", "labels"}
)

func wantFields(t *testing.T, m proto.Message, known []protoreflect.Name) {
	t.Helper()
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if !slices.Contains(known, fields.Get(i).Name()) {
			t.Errorf("no test looks at %s", fields.Get(i).FullName())
		}
	}
}

func TestEveryFieldOfASchemaIsKept(t *testing.T) {
	t.Parallel()
	wantFields(t, new(pb.Schema), schemaFields)
	s := own(t)
	client := s.schemas(t)
	create := func(id string, schema *pb.Schema) (*pb.Schema, error) {
		return client.CreateSchema(limited(t), &pb.CreateSchemaRequest{Parent: "projects/" + s.project, SchemaId: id, Schema: schema})
	}
	for _, c := range []struct {
		id     string
		schema *pb.Schema
		text   string
	}{
		{"", &pb.Schema{Type: pb.Schema_AVRO, Definition: `"int"`}, badName("projects/" + s.project + "/schemas/")},
		{"goog", &pb.Schema{Type: pb.Schema_AVRO, Definition: `"int"`}, badName("projects/" + s.project + "/schemas/goog")},
		{"xyz", &pb.Schema{Definition: `"int"`}, "Invalid schema type"},
		{"xyz", &pb.Schema{Type: 9, Definition: `"int"`}, "Invalid schema type"},
		{"xyz", &pb.Schema{Type: pb.Schema_AVRO}, ""},
		{"xyz", &pb.Schema{Type: pb.Schema_AVRO, Definition: "{"}, ""},
		{"xyz", &pb.Schema{Type: pb.Schema_PROTOCOL_BUFFER, Definition: `"int"`}, ""},
		{"xyz", nil, ""},
	} {
		_, err := create(c.id, c.schema)
		wantStatus(t, err, codes.InvalidArgument, c.text)
	}
	sent := &pb.Schema{Name: "ignored", Type: pb.Schema_AVRO, Definition: `"int"`, RevisionId: "ffffffff", RevisionCreateTime: timestamppb.New(time.Unix(1, 0))}
	made, err := create("some", sent)
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "projects/"+s.project+"/schemas/some" || made.Type != sent.Type || made.Definition != sent.Definition ||
		len(made.RevisionId) != 8 || made.RevisionId == sent.RevisionId || time.Since(made.RevisionCreateTime.AsTime()).Abs() > patience {
		t.Errorf("created %v", made)
	}
	shown := s.good(t, "GET", "/v1/"+made.Name, "")
	for _, key := range []string{"name", "type", "definition", "revisionId", "revisionCreateTime"} {
		if shown[key] == nil {
			t.Errorf("REST does not show %s in %v", key, shown)
		}
	}
	_, err = create("some", sent)
	wantStatus(t, err, codes.AlreadyExists, "Resource already exists in the project (resource=some).")
	_, err = client.CommitSchema(limited(t), &pb.CommitSchemaRequest{Name: made.Name, Schema: &pb.Schema{Type: pb.Schema_PROTOCOL_BUFFER, Definition: `syntax = "proto3"; message M {}`}})
	wantStatus(t, err, codes.InvalidArgument, "")
	compiled, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(emptypb.File_google_protobuf_empty_proto)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = create("both", &pb.Schema{Type: pb.Schema_PROTOCOL_BUFFER, Definition: `syntax = "proto3"; message M {}`,
		Configuration: &pb.Schema_CompiledProtoSchema{CompiledProtoSchema: &pb.CompiledProtoSchema{RootMessage: "google.protobuf.Empty", CompiledBytes: compiled}}})
	wantStatus(t, err, codes.InvalidArgument, "")
	_, err = create("broken", &pb.Schema{Type: pb.Schema_PROTOCOL_BUFFER, Configuration: &pb.Schema_CompiledProtoSchema{CompiledProtoSchema: &pb.CompiledProtoSchema{RootMessage: "M", CompiledBytes: []byte("x")}}})
	wantStatus(t, err, codes.InvalidArgument, "")
	s.restart(t, true)
	after, err := client.GetSchema(limited(t), &pb.GetSchemaRequest{Name: made.Name})
	if err != nil || !proto.Equal(after, made) {
		t.Errorf("after a restart %v, %v\nbefore %v", after, err, made)
	}
}

func TestEveryFieldOfASnapshotIsKept(t *testing.T) {
	t.Parallel()
	wantFields(t, new(pb.Snapshot), snapshotFields)
	s := own(t)
	topic, sub := s.pair(t, "x")
	name := "projects/" + s.project + "/snapshots/some"
	for _, c := range []struct {
		request *pb.CreateSnapshotRequest
		code    codes.Code
		text    string
	}{
		{&pb.CreateSnapshotRequest{Name: "x", Subscription: sub}, codes.InvalidArgument, badName("x")},
		{&pb.CreateSnapshotRequest{Name: name, Subscription: "x"}, codes.InvalidArgument, badName("x")},
		{&pb.CreateSnapshotRequest{Name: name, Subscription: s.subName("missing")}, codes.NotFound, notFound},
		{&pb.CreateSnapshotRequest{Name: name, Subscription: sub, Labels: map[string]string{"Upper": "x"}}, codes.InvalidArgument, badKey},
	} {
		_, err := s.sub.CreateSnapshot(limited(t), c.request)
		wantStatus(t, err, c.code, c.text)
	}
	made, err := s.sub.CreateSnapshot(limited(t), &pb.CreateSnapshotRequest{Name: name, Subscription: sub, Labels: map[string]string{"a": "b"}, Tags: map[string]string{"1/a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != name || made.Topic != topic || made.Labels["a"] != "b" || (time.Until(made.ExpireTime.AsTime())-7*24*time.Hour).Abs() > patience {
		t.Errorf("created %v", made)
	}
	shown := s.good(t, "GET", "/v1/"+name, "")
	for _, key := range []string{"name", "topic", "labels", "expireTime"} {
		if shown[key] == nil {
			t.Errorf("REST does not show %s in %v", key, shown)
		}
	}
	update := func(change *pb.Snapshot, paths ...string) (*pb.Snapshot, error) {
		change.Name = name
		return s.sub.UpdateSnapshot(limited(t), &pb.UpdateSnapshotRequest{Snapshot: change, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
	}
	for _, field := range []string{"name", "topic"} {
		_, err := update(&pb.Snapshot{}, field)
		wantStatus(t, err, codes.InvalidArgument, "Invalid update_mask provided in the UpdateSnapshotRequest: the '"+field+"' field in the Snapshot is not mutable.")
	}
	_, err = update(&pb.Snapshot{ExpireTime: timestamppb.New(time.Now().Add(8 * 24 * time.Hour))}, "expire_time")
	wantStatus(t, err, codes.InvalidArgument, "")
	_, err = update(&pb.Snapshot{})
	wantStatus(t, err, codes.InvalidArgument, "The update_mask in the UpdateSnapshotRequest must be set, and must contain a non-empty paths list.")
	soon := timestamppb.New(time.Now().Add(time.Hour).Truncate(time.Second))
	changed, err := update(&pb.Snapshot{ExpireTime: soon, Labels: map[string]string{"c": "d"}}, "expire_time", "labels")
	if err != nil || !proto.Equal(changed.ExpireTime, soon) || changed.Labels["c"] != "d" || len(changed.Labels) != 1 {
		t.Errorf("updated %v, %v", changed, err)
	}
	s.restart(t, true)
	after, err := s.sub.GetSnapshot(limited(t), &pb.GetSnapshotRequest{Snapshot: name})
	if err != nil || !proto.Equal(after, changed) {
		t.Errorf("after a restart %v, %v\nbefore %v", after, err, changed)
	}
}

// TestInertDestinationsLeaveMessagesToPull: nothing is written to BigQuery, Cloud Storage or Bigtable, and nothing is lost for it.
func TestInertDestinationsLeaveMessagesToPull(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x", func(r *pb.Subscription) { r.BigqueryConfig = &pb.BigQueryConfig{Table: "p.d.t"} })
	s.publish(t, topic, "hello")
	if got := dataOf(s.pull(t, sub, 1)); got[0] != "hello" {
		t.Errorf("got %q", got)
	}
}
