package catalog

import (
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestATopicComesBackAsItWasSent(t *testing.T) {
	for _, sample := range sampleTopics(t) {
		sent := proto.Clone(sample)
		want := proto.Clone(sample).(*pubsubpb.Topic)
		want.Tags, want.SatisfiesPzs, want.State = nil, false, pubsubpb.Topic_INGESTION_RESOURCE_ERROR
		markIngestion(want.IngestionDataSourceSettings)
		same(t, "the topic", mustTopic(t, sample), want)
		same(t, "the topic sent", sample, sent)
	}
}

func TestATopicOfANameAloneIsActiveAndHasNoOtherDefaults(t *testing.T) {
	got := mustTopic(t, &pubsubpb.Topic{Name: "projects/p/topics/topic", SatisfiesPzs: true, State: 77})
	same(t, "the topic", got, &pubsubpb.Topic{Name: "projects/p/topics/topic", State: pubsubpb.Topic_ACTIVE})
}

func TestIngestionSettingsSayThatTheyAreInert(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{`aws_kinesis { state: ACTIVE stream_arn: "s" consumer_arn: "c" aws_role_arn: "r" gcp_service_account: "a" }`,
			`aws_kinesis { state: STREAM_NOT_FOUND stream_arn: "s" consumer_arn: "c" aws_role_arn: "r" gcp_service_account: "a" }`},
		{`cloud_storage { bucket: "b" }`, `cloud_storage { state: BUCKET_NOT_FOUND bucket: "b" text_format { delimiter: "\n" } }`},
		{`cloud_storage { bucket: "b" text_format {} }`, `cloud_storage { state: BUCKET_NOT_FOUND bucket: "b" text_format { delimiter: "\n" } }`},
		{`azure_event_hubs { resource_group: "r" namespace: "n" event_hub: "e" client_id: "c" tenant_id: "t" subscription_id: "s" gcp_service_account: "a" }`,
			`azure_event_hubs { state: EVENT_HUB_NOT_FOUND resource_group: "r" namespace: "n" event_hub: "e" client_id: "c" tenant_id: "t" subscription_id: "s" gcp_service_account: "a" }`},
		{`aws_msk { cluster_arn: "c" topic: "t" aws_role_arn: "r" gcp_service_account: "a" }`,
			`aws_msk { state: CLUSTER_NOT_FOUND cluster_arn: "c" topic: "t" aws_role_arn: "r" gcp_service_account: "a" }`},
		{`confluent_cloud { bootstrap_server: "b" cluster_id: "c" topic: "t" identity_pool_id: "i" gcp_service_account: "a" }`,
			`confluent_cloud { state: CLUSTER_NOT_FOUND bootstrap_server: "b" cluster_id: "c" topic: "t" identity_pool_id: "i" gcp_service_account: "a" }`},
	} {
		const name = `name: "projects/p/topics/topic" ingestion_data_source_settings { `
		got := mustTopic(t, parseText(t, new(pubsubpb.Topic), name+test.sent+"}"))
		same(t, "the topic", got, parseText(t, new(pubsubpb.Topic), "state: INGESTION_RESOURCE_ERROR "+name+test.want+"}"))
	}
}

func argumentText(argument string) string {
	return "You have passed an invalid argument to the service (argument=" + argument + ")."
}

// topicRefusals are fields of a topic that are refused at creation and in an update alike.
var topicRefusals = []struct{ field, sent, text string }{
	{"labels", `labels { key: "Upper" value: "v" }`, argumentText(`Invalid labels: Invalid field "labels"; key "Upper" does not conform to regular expression "[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"; first character "U" is not a non-uppercased letter (Unicode character class Ll or Lo)`)},
	{"message_storage_policy", `message_storage_policy {}`, argumentText("MessageStoragePolicy::allowed_persistence_regions")},
	{"message_storage_policy", `message_storage_policy { enforce_in_transit: true }`, argumentText("MessageStoragePolicy::allowed_persistence_regions")},
	{"message_storage_policy", `message_storage_policy { allowed_persistence_regions: "" }`, argumentText("MessageStoragePolicy::allowed_persistence_regions")},
	{"kms_key_name", `kms_key_name: "key"`, argumentText("kms_key_name")},
	{"kms_key_name", `kms_key_name: "projects/p/locations/l/keyRings//cryptoKeys/k"`, argumentText("kms_key_name")},
	{"kms_key_name", `kms_key_name: "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"`, argumentText("kms_key_name")},
	{"schema_settings", `schema_settings { encoding: JSON }`, badNameText("")},
	{"schema_settings", `schema_settings { encoding: JSON schema: "_deleted-schema_" }`, badNameText(DeletedSchema)},
	{"schema_settings", `schema_settings { encoding: JSON schema: "projects/p/topics/abc" }`, badNameText("projects/p/topics/abc")},
	{"schema_settings", `schema_settings { encoding: JSON schema: "projects/p/schemas/abc@0123abcd" }`, badNameText("projects/p/schemas/abc@0123abcd")},
	{"schema_settings", `schema_settings { schema: "projects/p/schemas/abc" }`, "Invalid schema encoding provided"},
	{"schema_settings", `schema_settings { schema: "projects/p/schemas/abc" encoding: 3 }`, "Invalid schema encoding provided"},
	{"message_retention_duration", `message_retention_duration {}`, retentionText("0s")},
	{"message_retention_duration", `message_retention_duration { seconds: 599 }`, retentionText("9m59s")},
	{"message_retention_duration", `message_retention_duration { seconds: 599 nanos: 999999999 }`, retentionText("9m59.999999999s")},
	{"message_retention_duration", `message_retention_duration { seconds: -3600 }`, retentionText("-1h")},
	{"message_retention_duration", `message_retention_duration { seconds: 2678400 nanos: 1 }`, retentionText("744h0.000000001s")},
	{"message_retention_duration", `message_retention_duration { seconds: 315576000000 }`, retentionText("87660000h")},
	{"message_retention_duration", `message_retention_duration { seconds: 315576000001 }`, argumentText("message_retention_duration")},
	{"message_retention_duration", `message_retention_duration { seconds: 3600 nanos: -1 }`, argumentText("message_retention_duration")},
	{"message_retention_duration", `message_retention_duration { seconds: 3600 nanos: 1000000000 }`, argumentText("message_retention_duration")},
	{"ingestion_data_source_settings", `ingestion_data_source_settings {}`, "No ingestion source provided"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { platform_logs_settings { severity: DEBUG } }`, "No ingestion source provided"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { cloud_storage { bucket: "b" } platform_logs_settings { severity: 9 } }`, argumentText("IngestionDataSourceSettings::platform_logs_settings::severity")},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { aws_kinesis { stream_arn: "s" } }`, "Missing required fields for AwsKinesis ingestion settings: consumer_arn, aws_role_arn, gcp_service_account"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { cloud_storage {} }`, "Missing required fields for CloudStorage ingestion settings: bucket"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { azure_event_hubs {} }`, "Missing required fields for AzureEventHubs ingestion settings: resource_group, namespace, event_hub, client_id, tenant_id, subscription_id, gcp_service_account"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { aws_msk {} }`, "Missing required fields for AwsMsk ingestion settings: cluster_arn, topic, aws_role_arn, gcp_service_account"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { confluent_cloud { topic: "t" } }`, "Missing required fields for ConfluentCloud ingestion settings: bootstrap_server, cluster_id, identity_pool_id, gcp_service_account"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { cloud_storage { bucket: "gs://b" } }`, argumentText("IngestionDataSourceSettings::cloud_storage::bucket")},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { cloud_storage { bucket: "b" text_format { delimiter: "ab" } } }`, "Delimiter for Cloud Storage ingestion text format must be a single character. Delimiter provided: ab"},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { cloud_storage { bucket: "b" text_format { delimiter: "" } } }`, "Delimiter for Cloud Storage ingestion text format must be a single character. Delimiter provided: "},
	{"ingestion_data_source_settings", `ingestion_data_source_settings { cloud_storage { bucket: "b" minimum_object_create_time { nanos: -1 } } }`, argumentText("IngestionDataSourceSettings::cloud_storage::minimum_object_create_time")},
	{"message_transforms", `message_transforms {}`, argumentText("MessageTransform::transform")},
	{"message_transforms", `message_transforms { javascript_udf { code: "x" } }`, argumentText("MessageTransform::javascript_udf::function_name")},
	{"message_transforms", `message_transforms { javascript_udf { function_name: "f" code: " \n" } }`, argumentText("MessageTransform::javascript_udf::code")},
	{"message_transforms", `message_transforms { javascript_udf { function_name: "f" code: "` + strings.Repeat("x", 20481) + `" } }`, "The value for javascript_udf code_size is too large. You passed 20481 in the request, but the maximum value is 20480."},
	{"message_transforms", transforms("f", "g", "f"), "The function names of the message transforms must be unique. Function name given more than once: f"},
	{"message_transforms", transforms("a", "b", "c", "d", "e", "f"), "The request exceeds the maximum number of enabled message transforms. Maximum enabled transforms: 5. Enabled transforms: 6"},
	{"message_transforms", `message_transforms { compression { compression_mode: COMPRESS } }`, argumentText("MessageTransform::compression::compression_algorithm")},
	{"message_transforms", `message_transforms { compression { compression_algorithm: ZLIB } }`, argumentText("MessageTransform::compression::compression_mode")},
	{"message_transforms", `message_transforms { ai_inference { endpoint: "e" } }`, argumentText("MessageTransform::ai_inference::endpoint")},
	{"message_transforms", `message_transforms { ai_inference { endpoint: "projects/p/locations/l/publishers/p/models/m" service_account_email: "a" } }`, argumentText("MessageTransform::ai_inference::service_account_email")},
}

func retentionText(passed string) string {
	return "The value for message retention duration is out of bounds. You passed " + passed + " in the request, but the value must be between 10m and 744h."
}

func transforms(names ...string) (text string) {
	for _, name := range names {
		text += `message_transforms { javascript_udf { function_name: "` + name + `" code: "x" } } `
	}
	return text
}

func TestTopicRefusals(t *testing.T) {
	for _, test := range topicRefusals {
		t.Run(test.field+" "+test.text, func(t *testing.T) {
			in := parseText(t, new(pubsubpb.Topic), `name: "projects/p/topics/topic" `+test.sent)
			_, err := NewTopic(in)
			refused(t, err, codes.InvalidArgument, test.text)
			_, err = UpdateTopic(mustTopic(t, sampleTopics(t)[0]), in, masked(test.field))
			refused(t, err, codes.InvalidArgument, test.text)
		})
	}
	_, err := NewTopic(&pubsubpb.Topic{Name: "projects/p/topics/goog1"})
	refused(t, err, codes.InvalidArgument, badNameText("projects/p/topics/goog1"))
	_, err = NewTopic(&pubsubpb.Topic{Name: "projects/p/topics/abc", SchemaSettings: new(pubsubpb.SchemaSettings)})
	refused(t, err, codes.InvalidArgument, badNameText("")) // only an update takes empty settings for none
}

func TestTopicBoundsAreTaken(t *testing.T) {
	for _, sent := range []string{
		`message_retention_duration { seconds: 600 }`,
		`message_retention_duration { seconds: 2678400 }`,
		transforms("a", "b", "c", "d", "e") + `message_transforms { javascript_udf { function_name: "f" code: "x" } disabled: true }`,
		`message_transforms { javascript_udf { function_name: "f" code: "` + strings.Repeat("x", 20480) + `" } }`,
		`message_transforms { compression { compression_algorithm: ZLIB compression_mode: DECOMPRESS } }`,
		`message_transforms { ai_inference { endpoint: "projects/p/locations/l/publishers/p/models/m" } }`,
	} {
		in := parseText(t, new(pubsubpb.Topic), `name: "projects/p/topics/topic" state: ACTIVE `+sent)
		same(t, "the topic", mustTopic(t, in), in)
	}
}

func TestAMaskClearsTopicFieldsThatAreNotSet(t *testing.T) {
	current := mustTopic(t, sampleTopics(t)[0])
	for _, test := range []struct {
		path  string
		clear func(*pubsubpb.Topic)
	}{
		{"labels", func(topic *pubsubpb.Topic) { topic.Labels = nil }},
		{"message_storage_policy", func(topic *pubsubpb.Topic) { topic.MessageStoragePolicy = nil }},
		{"kms_key_name", func(topic *pubsubpb.Topic) { topic.KmsKeyName = "" }},
		{"schema_settings", func(topic *pubsubpb.Topic) { topic.SchemaSettings = nil }},
		{"schema_settings.first_revision_id", func(topic *pubsubpb.Topic) { topic.SchemaSettings.FirstRevisionId = "" }},
		{"schema_settings.last_revision_id", func(topic *pubsubpb.Topic) { topic.SchemaSettings.LastRevisionId = "" }},
		{"message_retention_duration", func(topic *pubsubpb.Topic) { topic.MessageRetentionDuration = nil }},
		{"ingestion_data_source_settings", func(topic *pubsubpb.Topic) {
			topic.IngestionDataSourceSettings, topic.State = nil, pubsubpb.Topic_ACTIVE
		}},
		{"message_transforms", func(topic *pubsubpb.Topic) { topic.MessageTransforms = nil }},
	} {
		want := proto.Clone(current).(*pubsubpb.Topic)
		test.clear(want)
		got, err := UpdateTopic(current, &pubsubpb.Topic{Name: current.Name}, masked(test.path))
		if err != nil {
			t.Fatal(test.path, err)
		}
		same(t, "the topic without "+test.path, got, want)
	}
}

func TestSchemaSettingsAreUpdatedByParts(t *testing.T) {
	current := parseText(t, new(pubsubpb.Topic), `name: "projects/p/topics/topic" schema_settings { schema: "projects/p/schemas/abc" encoding: JSON first_revision_id: "1" }`)
	bare := parseText(t, new(pubsubpb.Topic), `name: "projects/p/topics/topic"`)
	sent := `schema_settings { schema: "projects/p/schemas/def" encoding: BINARY first_revision_id: "2" last_revision_id: "3" }`
	for _, test := range []struct {
		current *pubsubpb.Topic
		sent    string
		paths   []string
		want    string // schema settings
		text    string // of a refusal
	}{
		{current, sent, []string{"schema_settings.schema"}, `schema_settings { schema: "projects/p/schemas/def" encoding: JSON first_revision_id: "1" }`, ""},
		{current, sent, []string{"schema_settings.encoding", "schema_settings.last_revision_id"}, `schema_settings { schema: "projects/p/schemas/abc" encoding: BINARY first_revision_id: "1" last_revision_id: "3" }`, ""},
		{current, sent, []string{"schema_settings.encoding", "schema_settings"}, sent, ""},
		{bare, sent, []string{"schema_settings.schema", "schema_settings.encoding"}, `schema_settings { schema: "projects/p/schemas/def" encoding: BINARY }`, ""},
		{bare, "", []string{"schema_settings.first_revision_id"}, "", ""},
		{current, `schema_settings {}`, []string{"schema_settings"}, "", ""},
		{bare, sent, []string{"schema_settings.encoding"}, "", badNameText("")},
		{current, "", []string{"schema_settings.schema"}, "", badNameText("")},
		{current, "", []string{"schema_settings.encoding"}, "", "Invalid schema encoding provided"},
		{current, "", []string{"schema_settings.schema", "schema_settings.encoding", "schema_settings.first_revision_id"}, "", ""},
	} {
		got, err := UpdateTopic(test.current, parseText(t, new(pubsubpb.Topic), test.sent), masked(test.paths...))
		if test.text != "" {
			refused(t, err, codes.InvalidArgument, test.text)
			continue
		}
		if err != nil {
			t.Fatal(test.paths, err)
		}
		same(t, "the topic", got, parseText(t, new(pubsubpb.Topic), `state: ACTIVE name: "projects/p/topics/topic" `+test.want))
	}
}

func TestATopicRefersToTheSchemaThatARequestGave(t *testing.T) {
	topic := &pubsubpb.Topic{SchemaSettings: &pubsubpb.SchemaSettings{Schema: "projects/p/schemas/abc"}, MessageRetentionDuration: new(durationpb.Duration)}
	for _, test := range []struct {
		topic *pubsubpb.Topic
		paths []string
		want  string
	}{
		{topic, nil, "projects/p/schemas/abc"},
		{topic, []string{"labels", "schema_settings"}, "projects/p/schemas/abc"},
		{topic, []string{"schema_settings.encoding"}, "projects/p/schemas/abc"},
		{topic, []string{"labels"}, ""},
		{new(pubsubpb.Topic), nil, ""},
	} {
		mask := masked(test.paths...)
		if test.paths == nil {
			mask = nil
		}
		if got := strings.Join(TopicReferences(test.topic, mask), " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.paths, got, test.want)
		}
	}
}
