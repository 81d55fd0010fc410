package catalog

import (
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The samples are valid requests that together set every field of the API, the server's own included. TestSamplesSetEveryField
// fails when a new version of the API brings a field that they, and so the tests that use them, know nothing of.

const sampleTopicText = `
	name: "projects/p/topics/topic"
	labels { key: "team" value: "blue" }
	message_storage_policy { allowed_persistence_regions: "europe-west3" enforce_in_transit: true }
	kms_key_name: "projects/p/locations/global/keyRings/ring/cryptoKeys/key"
	schema_settings { schema: "projects/p/schemas/schema" encoding: JSON first_revision_id: "0123abcd" last_revision_id: "4567abcd" }
	satisfies_pzs: true
	message_retention_duration { seconds: 600 nanos: 500000000 }
	state: INGESTION_RESOURCE_ERROR
	message_transforms { javascript_udf { function_name: "f" code: "function f(m) { return m }" } }
	message_transforms { javascript_udf { function_name: "g" code: "function g(m) { return m }" } disabled: true enabled: true }
	message_transforms { compression { compression_algorithm: ZLIB compression_mode: COMPRESS } }
	message_transforms { ai_inference {
		endpoint: "projects/p/locations/l/endpoints/e"
		unstructured_inference { parameters { fields { key: "k" value { number_value: 1 } } } }
		service_account_email: "a@p.example"
	} }
	tags { key: "123/environment" value: "production" }
	ingestion_data_source_settings { `

var sampleIngestions = []string{`
	aws_kinesis { state: ACTIVE stream_arn: "s" consumer_arn: "c" aws_role_arn: "r" gcp_service_account: "a@p.example" }
	platform_logs_settings { severity: WARNING }`, `
	cloud_storage { state: ACTIVE bucket: "b" text_format { delimiter: "ä" } minimum_object_create_time { seconds: 1 nanos: 2 } match_glob: "**" }`, `
	cloud_storage { state: ACTIVE bucket: "b" avro_format {} }`, `
	cloud_storage { state: ACTIVE bucket: "b" pubsub_avro_format {} }`, `
	azure_event_hubs { state: ACTIVE resource_group: "r" namespace: "n" event_hub: "e" client_id: "c" tenant_id: "t" subscription_id: "s" gcp_service_account: "a@p.example" }`, `
	aws_msk { state: ACTIVE cluster_arn: "c" topic: "t" aws_role_arn: "r" gcp_service_account: "a@p.example" }`, `
	confluent_cloud { state: ACTIVE bootstrap_server: "b:9" cluster_id: "c" topic: "t" identity_pool_id: "i" gcp_service_account: "a@p.example" }`,
}

const sampleSubscriptionText = `
	name: "projects/p/subscriptions/subscription"
	topic: "projects/p/topics/topic"
	retain_acked_messages: true
	message_retention_duration { seconds: 7200 nanos: 1 }
	labels { key: "team" value: "blue" }
	enable_message_ordering: true
	expiration_policy { ttl { seconds: 90000 } }
	filter: "attributes:a"
	dead_letter_policy { dead_letter_topic: "projects/p/topics/dead" max_delivery_attempts: 7 }
	retry_policy { minimum_backoff { seconds: 1 nanos: 500000000 } maximum_backoff { seconds: 2 } }
	detached: true
	topic_message_retention_duration { seconds: 1 }
	state: RESOURCE_ERROR
	analytics_hub_subscription_info { listing: "l" subscription: "s" }
	message_transforms { javascript_udf { function_name: "f" code: "function f(m) { return m }" } }
	tags { key: "123/environment" value: "production" }
`

// Each delivery comes with an ack deadline that it allows.
var sampleDeliveries = []string{`
	ack_deadline_seconds: 20 enable_exactly_once_delivery: true push_config {}`, `
	ack_deadline_seconds: 20 push_config {
		push_endpoint: "https://example.com/push?a=b" attributes { key: "x-goog-version" value: "v1beta1" }
		oidc_token { service_account_email: "a@p.example" audience: "au" } pubsub_wrapper {} }`, `
	ack_deadline_seconds: 20 push_config { push_endpoint: "http://localhost:8080/push" no_wrapper { write_metadata: true } }`, `
	ack_deadline_seconds: 20 push_config {} bigquery_config {
		table: "example.com:p.dataset.table" use_topic_schema: true write_metadata: true drop_unknown_fields: true state: ACTIVE service_account_email: "a@p.example" }`, `
	ack_deadline_seconds: 20 push_config {} bigquery_config { table: "p.d.t" use_table_schema: true }`, `
	ack_deadline_seconds: 600 push_config {} cloud_storage_config {
		bucket: "b" filename_prefix: "p" filename_suffix: "s" filename_datetime_format: "YYYY" text_config {} max_duration { seconds: 60 }
		max_bytes: 1000 max_messages: 1000 state: ACTIVE service_account_email: "a@p.example" }`, `
	ack_deadline_seconds: 600 push_config {} cloud_storage_config {
		bucket: "b" avro_config { write_metadata: true use_topic_schema: true } max_duration { seconds: 600 } max_bytes: 10737418240 }`, `
	ack_deadline_seconds: 20 push_config {} bigtable_config {
		table: "projects/p/instances/i/tables/t" app_profile_id: "a" service_account_email: "a@p.example" write_metadata: true state: ACTIVE
		column_family_mapping { delimited_key { key_fields: "k" key_fields: "l" delimiter: "#" } } }`, `
	ack_deadline_seconds: 20 push_config {} bigtable_config { table: "projects/p/instances/i/tables/t" column_family_mapping { row_key_schema {} } }`,
}

func parseText[R proto.Message](t testing.TB, into R, text string) R {
	t.Helper()
	if err := prototext.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
	return into
}

func sampleTopics(t testing.TB) (samples []*pubsubpb.Topic) {
	for _, ingestion := range sampleIngestions {
		samples = append(samples, parseText(t, new(pubsubpb.Topic), sampleTopicText+ingestion+"}"))
	}
	return samples
}

func sampleSubscriptions(t testing.TB) (samples []*pubsubpb.Subscription) {
	for _, delivery := range sampleDeliveries {
		samples = append(samples, parseText(t, new(pubsubpb.Subscription), sampleSubscriptionText+delivery))
	}
	return samples
}

func same(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s differs\n got %v\nwant %v", what, got, want)
	}
}

func TestSamplesSetEveryField(t *testing.T) {
	set := make(map[protoreflect.FullName]bool)
	for _, topic := range sampleTopics(t) {
		collectSet(topic.ProtoReflect(), set)
	}
	for _, subscription := range sampleSubscriptions(t) {
		collectSet(subscription.ProtoReflect(), set)
	}
	seen := make(map[protoreflect.FullName]bool)
	for _, resource := range []proto.Message{new(pubsubpb.Topic), new(pubsubpb.Subscription)} {
		reportUnset(t, resource.ProtoReflect().Descriptor(), set, seen)
	}
}

func collectSet(m protoreflect.Message, set map[protoreflect.FullName]bool) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		set[fd.FullName()] = true
		switch {
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				collectSet(v.List().Get(i).Message(), set)
			}
		default:
			collectSet(v.Message(), set)
		}
		return true
	})
}

func reportUnset(t *testing.T, d protoreflect.MessageDescriptor, set, seen map[protoreflect.FullName]bool) {
	if d.ParentFile().Package() != "google.pubsub.v1" || seen[d.FullName()] {
		return
	}
	seen[d.FullName()] = true
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		if !set[fd.FullName()] {
			t.Errorf("no sample sets %s", fd.FullName())
		}
		if fd.Message() != nil && !fd.IsMap() {
			reportUnset(t, fd.Message(), set, seen)
		}
	}
}
