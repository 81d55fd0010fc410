package catalog

import (
	"regexp"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	// subscriptionNames and subscriptionDefaults are together what a subscription is that was created with a name and a topic alone.
	subscriptionNames    = `name: "projects/p/subscriptions/subscription" topic: "projects/p/topics/topic" `
	subscriptionDefaults = `ack_deadline_seconds: 10 message_retention_duration { seconds: 604800 } expiration_policy { ttl { seconds: 2678400 } } push_config {} state: ACTIVE `
)

func subscriptionOf(t testing.TB, text string) *pubsubpb.Subscription {
	return parseText(t, new(pubsubpb.Subscription), subscriptionNames+text)
}

// withField is the subscription of all defaults, with the fields of the text instead of theirs.
func withField(t testing.TB, text string) *pubsubpb.Subscription {
	want, over := subscriptionOf(t, subscriptionDefaults), subscriptionOf(t, text)
	for _, f := range subscriptionKind.fields {
		if fd := descriptor(over, f.name); over.ProtoReflect().Has(fd) {
			assign(want.ProtoReflect(), over.ProtoReflect(), fd)
		}
	}
	return want
}

func TestASubscriptionComesBackAsItWasSent(t *testing.T) {
	for _, sample := range sampleSubscriptions(t) {
		sent := proto.Clone(sample)
		want := proto.Clone(sample).(*pubsubpb.Subscription)
		want.Tags, want.Detached, want.TopicMessageRetentionDuration, want.AnalyticsHubSubscriptionInfo = nil, false, nil, nil
		want.State = pubsubpb.Subscription_ACTIVE
		switch {
		case want.BigqueryConfig != nil:
			want.State, want.BigqueryConfig.State = pubsubpb.Subscription_RESOURCE_ERROR, pubsubpb.BigQueryConfig_NOT_FOUND
		case want.CloudStorageConfig != nil:
			want.State, want.CloudStorageConfig.State = pubsubpb.Subscription_RESOURCE_ERROR, pubsubpb.CloudStorageConfig_NOT_FOUND
		case want.BigtableConfig != nil:
			want.State, want.BigtableConfig.State = pubsubpb.Subscription_RESOURCE_ERROR, pubsubpb.BigtableConfig_NOT_FOUND
		}
		same(t, "the subscription", mustSubscription(t, sample), want)
		same(t, "the subscription sent", sample, sent)
	}
}

func TestSubscriptionDefaults(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{``, ``},
		{`detached: true state: RESOURCE_ERROR topic_message_retention_duration { seconds: 1 }`, ``},
		{`ack_deadline_seconds: 600`, `ack_deadline_seconds: 600`},
		{`expiration_policy {}`, `expiration_policy {}`}, // never, and the retention's default stays
		{`expiration_policy { ttl { seconds: 86400 nanos: 5 } }`, `expiration_policy { ttl { seconds: 86400 nanos: 5 } } message_retention_duration { seconds: 86400 nanos: 5 }`},
		{`expiration_policy { ttl { seconds: 604800 } }`, `expiration_policy { ttl { seconds: 604800 } }`},
		{`expiration_policy { ttl { seconds: 315576000000 } }`, `expiration_policy { ttl { seconds: 315576000000 } }`},
		{`message_retention_duration { seconds: 600 }`, `message_retention_duration { seconds: 600 }`},
		{`message_retention_duration { seconds: 2678400 }`, `message_retention_duration { seconds: 2678400 }`},
		{`dead_letter_policy { dead_letter_topic: "projects/p/topics/topic" }`, `dead_letter_policy { dead_letter_topic: "projects/p/topics/topic" max_delivery_attempts: 5 }`},
		{`dead_letter_policy { dead_letter_topic: "projects/q/topics/dead" max_delivery_attempts: 100 }`, `dead_letter_policy { dead_letter_topic: "projects/q/topics/dead" max_delivery_attempts: 100 }`},
		{`retry_policy {}`, `retry_policy { minimum_backoff { seconds: 10 } maximum_backoff { seconds: 600 } }`},
		{`retry_policy { minimum_backoff {} }`, `retry_policy { minimum_backoff {} maximum_backoff { seconds: 600 } }`},
		{`retry_policy { maximum_backoff { seconds: 10 } }`, `retry_policy { minimum_backoff { seconds: 10 } maximum_backoff { seconds: 10 } }`},
		{`retry_policy { minimum_backoff { seconds: 600 } }`, `retry_policy { minimum_backoff { seconds: 600 } maximum_backoff { seconds: 600 } }`},
		{`push_config { push_endpoint: "http://10.0.0.1:80/x" }`, `push_config { push_endpoint: "http://10.0.0.1:80/x" }`},
		{`push_config { attributes { key: "x-goog-version" value: "v1beta2" } }`, `push_config { attributes { key: "x-goog-version" value: "v1beta2" } }`},
		{`bigquery_config { table: "p.d.t" }`, `state: RESOURCE_ERROR bigquery_config { table: "p.d.t" state: NOT_FOUND }`},
		{`cloud_storage_config { bucket: "b" }`, `state: RESOURCE_ERROR cloud_storage_config { bucket: "b" text_config {} max_duration { seconds: 300 } state: NOT_FOUND }`},
		{`cloud_storage_config { bucket: "b" max_duration { seconds: 600 } }`, `state: RESOURCE_ERROR cloud_storage_config { bucket: "b" text_config {} max_duration { seconds: 600 } state: NOT_FOUND }`},
		{`bigtable_config { table: "projects/p/instances/i/tables/t" }`, `state: RESOURCE_ERROR bigtable_config { table: "projects/p/instances/i/tables/t" state: NOT_FOUND }`},
		{`bigtable_config { table: "projects/p/instances/i/tables/t" column_family_mapping { delimited_key { key_fields: "k" } } }`,
			`state: RESOURCE_ERROR bigtable_config { table: "projects/p/instances/i/tables/t" state: NOT_FOUND column_family_mapping { delimited_key { key_fields: "k" } } }`},
		{`filter: "attributes:` + strings.Repeat("x", 245) + `"`, `filter: "attributes:` + strings.Repeat("x", 245) + `"`},
	} {
		t.Run(test.sent, func(t *testing.T) {
			same(t, "the subscription", mustSubscription(t, subscriptionOf(t, test.sent)), withField(t, test.want))
		})
	}
}

func TestASubscriptionShowsItsTopicsRetention(t *testing.T) {
	topic := parseText(t, new(pubsubpb.Topic), `message_retention_duration { seconds: 600 }`)
	got, err := NewSubscription(subscriptionOf(t, ""), topic)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the subscription", got, withField(t, `topic_message_retention_duration { seconds: 600 }`))
	if got.TopicMessageRetentionDuration == topic.MessageRetentionDuration {
		t.Error("the subscription shares its topic's memory")
	}
}

func TestARequestIsJudgedWithoutItsTopicToo(t *testing.T) {
	created, err := NewSubscription(subscriptionOf(t, ""), nil)
	if err != nil || created.TopicMessageRetentionDuration != nil {
		t.Errorf("%v, %v", created, err)
	}
	_, err = NewSubscription(subscriptionOf(t, "ack_deadline_seconds: 1"), nil)
	refused(t, err, codes.InvalidArgument, deadlineText("1"))
	_, err = NewSubscription(&pubsubpb.Subscription{Name: "projects/p/subscriptions/abc"}, nil)
	refused(t, err, codes.InvalidArgument, badNameText(""))
	_, err = NewSubscription(&pubsubpb.Subscription{Name: "projects/p/topics/abc", Topic: "projects/p/topics/abc"}, nil)
	refused(t, err, codes.InvalidArgument, badNameText("projects/p/topics/abc"))
}

func TestASubscriptionWithoutANameIsGivenOne(t *testing.T) {
	in := &pubsubpb.Subscription{Topic: "projects/example.com:q/topics/topic"}
	first, second := mustSubscription(t, in), mustSubscription(t, in)
	form := regexp.MustCompile(`^projects/example\.com:q/subscriptions/topics-[A-Z2-7]{26}$`)
	if !form.MatchString(first.Name) || first.Name == second.Name || in.Name != "" {
		t.Errorf("names %q and %q", first.Name, second.Name)
	}
	if _, err := ParseSubscription(first.Name); err != nil {
		t.Error(err)
	}
	_, err := NewSubscription(&pubsubpb.Subscription{Topic: DeletedTopic}, nil)
	refused(t, err, codes.InvalidArgument, badNameText(DeletedTopic))
}

func deadlineText(passed string) string {
	return "Invalid ack deadline given (ack_deadline=" + passed + "). The ack deadline must be between 10 and 600 seconds."
}

func endpointText(endpoint string) string {
	return "Invalid push endpoint given (endpoint=" + endpoint + "). Refer to https://cloud.google.com/pubsub/subscriber#create for more information."
}

func backoffText(field, passed string) string {
	return "The value for " + field + " is out of bounds. You passed " + passed + " in the request, but the value must be between 0s and 600s."
}

// subscriptionRefusals are fields of a subscription that are refused at creation and in an update alike.
var subscriptionRefusals = []struct{ field, sent, text string }{
	{"ack_deadline_seconds", `ack_deadline_seconds: 9`, deadlineText("9")},
	{"ack_deadline_seconds", `ack_deadline_seconds: 601`, deadlineText("601")},
	{"ack_deadline_seconds", `ack_deadline_seconds: -1`, deadlineText("-1")},
	{"ack_deadline_seconds", `ack_deadline_seconds: -2147483648`, deadlineText("-2147483648")},
	{"message_retention_duration", `message_retention_duration { seconds: 1 }`, retentionText("1s")},
	{"message_retention_duration", `message_retention_duration {}`, retentionText("0s")},
	{"message_retention_duration", `message_retention_duration { seconds: 3600000 }`, retentionText("1000h")},
	{"message_retention_duration", `message_retention_duration { seconds: 3600 nanos: -1 }`, argumentText("message_retention_duration")},
	{"expiration_policy", `expiration_policy { ttl { seconds: 3600 } }`, "The value for expiration duration is too small. You passed 1h in the request, but the minimum value is 24h."},
	{"expiration_policy", `expiration_policy { ttl {} }`, "The value for expiration duration is too small. You passed 0s in the request, but the minimum value is 24h."},
	{"expiration_policy", `expiration_policy { ttl { seconds: -86400 } }`, "The value for expiration duration is too small. You passed -24h in the request, but the minimum value is 24h."},
	{"expiration_policy", `expiration_policy { ttl { seconds: 86400 nanos: -1 } }`, argumentText("ExpirationPolicy::ttl")},
	{"labels", `labels { key: "" value: "v" }`, argumentText(`Invalid labels: Invalid field "labels"; key "" does not conform to regular expression "[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"; key is empty`)},
	{"dead_letter_policy", `dead_letter_policy { max_delivery_attempts: 5 }`, badNameText("")},
	{"dead_letter_policy", `dead_letter_policy { dead_letter_topic: "dead" }`, badNameText("dead")},
	{"dead_letter_policy", `dead_letter_policy { dead_letter_topic: "_deleted-topic_" }`, badNameText("_deleted-topic_")},
	{"retry_policy", `retry_policy { maximum_backoff { seconds: 601 } }`, backoffText("maximum_backoff", "601s")},
	{"retry_policy", `retry_policy { minimum_backoff { seconds: 600 nanos: 1 } maximum_backoff { seconds: 601 } }`, backoffText("minimum_backoff", "600.000000001s")},
	{"retry_policy", `retry_policy { minimum_backoff { nanos: -500000000 } }`, backoffText("minimum_backoff", "-0.5s")},
	{"retry_policy", `retry_policy { minimum_backoff { seconds: 1 nanos: -1 } }`, argumentText("RetryPolicy::minimum_backoff")},
	{"retry_policy", `retry_policy { maximum_backoff { nanos: 1000000000 } }`, argumentText("RetryPolicy::maximum_backoff")},
	{"retry_policy", `retry_policy { minimum_backoff { seconds: 60 } maximum_backoff { seconds: 30 } }`, "The value for maximum_backoff is too small. You passed 30s in the request, but the minimum value is 60s."},
	{"retry_policy", `retry_policy { maximum_backoff { seconds: 5 } }`, "The value for maximum_backoff is too small. You passed 5s in the request, but the minimum value is 10s."},
	{"push_config", `push_config { push_endpoint: "example.com/push" }`, endpointText("example.com/push")},
	{"push_config", `push_config { push_endpoint: "ftp://example.com" }`, endpointText("ftp://example.com")},
	{"push_config", `push_config { push_endpoint: "https://" }`, endpointText("https://")},
	{"push_config", `push_config { push_endpoint: "https://:443/" }`, endpointText("https://:443/")},
	{"push_config", `push_config { push_endpoint: "https://example.com:65536/" }`, endpointText("https://example.com:65536/")},
	{"push_config", `push_config { push_endpoint: "https://example.com:0/" }`, endpointText("https://example.com:0/")},
	{"push_config", `push_config { push_endpoint: "https://example.com/%zz" }`, endpointText("https://example.com/%zz")},
	{"push_config", `push_config { push_endpoint: "https://e.com" attributes { key: "x-goog-version" value: "v2" } }`, "Invalid push endpoint version given in push config (version=v2)."},
	{"push_config", `push_config { push_endpoint: "https://e.com" oidc_token {} }`, argumentText("PushConfig::oidc_token::service_account_email")},
	{"push_config", `push_config { push_endpoint: "https://e.com" oidc_token { service_account_email: "@p.example" } }`, argumentText("PushConfig::oidc_token::service_account_email")},
	{"bigquery_config", `bigquery_config {}`, argumentText("BigQueryConfig::table")},
	{"bigquery_config", `bigquery_config { table: "d.t" }`, argumentText("BigQueryConfig::table")},
	{"bigquery_config", `bigquery_config { table: "p..t" }`, argumentText("BigQueryConfig::table")},
	{"bigquery_config", `bigquery_config { table: "p.d." }`, argumentText("BigQueryConfig::table")},
	{"bigquery_config", `bigquery_config { table: ".d.t" }`, argumentText("BigQueryConfig::table")},
	{"bigquery_config", `bigquery_config { table: "p.d.t" service_account_email: "a b@p.example" }`, argumentText("BigQueryConfig::service_account_email")},
	{"bigquery_config", `bigquery_config { table: "p.d.t" use_topic_schema: true use_table_schema: true }`, "use_topic_schema and use_table_schema cannot be enabled at the same time."},
	{"cloud_storage_config", `cloud_storage_config {}`, argumentText("CloudStorageConfig::bucket")},
	{"cloud_storage_config", `cloud_storage_config { bucket: "gs://b" }`, argumentText("CloudStorageConfig::bucket")},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" filename_suffix: "x/" }`, argumentText("CloudStorageConfig::filename_suffix")},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" service_account_email: "a" }`, argumentText("CloudStorageConfig::service_account_email")},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" max_duration { seconds: 59 } }`, "The value for max_duration is out of bounds. You passed 59s in the request, but the value must be between 1m and 10m."},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" max_duration { seconds: 601 } }`, "The value for max_duration is out of bounds. You passed 10m1s in the request, but the value must be between 1m and 10m."},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" max_duration { seconds: 60 nanos: -1 } }`, argumentText("CloudStorageConfig::max_duration")},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" max_bytes: 999 }`, "The value for max_bytes is out of bounds. You passed 999 in the request, but the value must be between 1000 and 10737418240."},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" max_bytes: 10737418241 }`, "The value for max_bytes is out of bounds. You passed 10737418241 in the request, but the value must be between 1000 and 10737418240."},
	{"cloud_storage_config", `cloud_storage_config { bucket: "b" max_messages: 999 }`, "The value for max_messages is too small. You passed 999 in the request, but the minimum value is 1000."},
	{"bigtable_config", `bigtable_config {}`, argumentText("BigtableConfig::table")},
	{"bigtable_config", `bigtable_config { table: "projects/p/instances/i/tables/" }`, argumentText("BigtableConfig::table")},
	{"bigtable_config", `bigtable_config { table: "projects/p/instances/i/tables/t" service_account_email: "a" }`, argumentText("BigtableConfig::service_account_email")},
	{"bigtable_config", `bigtable_config { table: "projects/p/instances/i/tables/t" column_family_mapping { delimited_key {} } }`, argumentText("BigtableConfig::column_family_mapping::delimited_key::key_fields")},
	{"bigtable_config", `bigtable_config { table: "projects/p/instances/i/tables/t" column_family_mapping { delimited_key { key_fields: "" } } }`, argumentText("BigtableConfig::column_family_mapping::delimited_key::key_fields")},
	{"bigtable_config", `bigtable_config { table: "projects/p/instances/i/tables/t" column_family_mapping { delimited_key { key_fields: ["a", "b"] } } }`, argumentText("BigtableConfig::column_family_mapping::delimited_key::delimiter")},
	{"bigtable_config", `bigtable_config { table: "projects/p/instances/i/tables/t" column_family_mapping { delimited_key { key_fields: "a" delimiter: "` + strings.Repeat("#", 51) + `" } } }`, "The value for delimiter_size is too large. You passed 51 in the request, but the maximum value is 50."},
	{"message_transforms", transforms("a", "b", "c", "d", "e", "f"), "The request exceeds the maximum number of enabled message transforms. Maximum enabled transforms: 5. Enabled transforms: 6"},
}

func TestSubscriptionRefusals(t *testing.T) {
	current := mustSubscription(t, subscriptionOf(t, ""))
	for _, test := range subscriptionRefusals {
		t.Run(test.field+" "+test.text, func(t *testing.T) {
			in := subscriptionOf(t, test.sent)
			_, err := NewSubscription(in, new(pubsubpb.Topic))
			refused(t, err, codes.InvalidArgument, test.text)
			_, err = UpdateSubscription(current, in, masked(test.field))
			refused(t, err, codes.InvalidArgument, test.text)
		})
	}
	_, err := NewSubscription(subscriptionOf(t, `filter: "`+strings.Repeat("x", 257)+`"`), new(pubsubpb.Topic))
	refused(t, err, codes.InvalidArgument, "The value for filter_size is too large. You passed 257 in the request, but the maximum value is 256.")
	_, err = NewSubscription(subscriptionOf(t, `filter: "attributes:a and attributes:b"`), new(pubsubpb.Topic))
	refused(t, err, codes.InvalidArgument, `Invalid filter given (filter=attributes:a and attributes:b). Filter error at column 14: expected AND, OR or the end of the filter, found "and".`)
	_, err = NewSubscription(subscriptionOf(t, `dead_letter_policy {}`), new(pubsubpb.Topic))
	refused(t, err, codes.InvalidArgument, badNameText("")) // only an update takes an empty policy for none
}

func TestDeliveryAttemptsOutOfRange(t *testing.T) {
	for _, test := range []struct{ attempts, text string }{
		{"4", "The value for max_delivery_attempts is too small. You passed 4 in the request, but the minimum value is 5."},
		{"-1", "The value for max_delivery_attempts is too small. You passed -1 in the request, but the minimum value is 5."},
		{"101", "The value for max_delivery_attempts is too large. You passed 101 in the request, but the maximum value is 100."},
	} {
		in := subscriptionOf(t, `dead_letter_policy { dead_letter_topic: "projects/p/topics/dead" max_delivery_attempts: `+test.attempts+` }`)
		_, err := NewSubscription(in, new(pubsubpb.Topic))
		refused(t, err, codes.OutOfRange, test.text)
		_, err = UpdateSubscription(mustSubscription(t, subscriptionOf(t, "")), in, masked("dead_letter_policy"))
		refused(t, err, codes.OutOfRange, test.text)
	}
}

// TestFieldsThatDoNotGoTogether: each pair is refused at creation, and in an update that brings the second field to the first.
func TestFieldsThatDoNotGoTogether(t *testing.T) {
	const (
		push     = `push_config { push_endpoint: "https://example.com" }`
		bigQuery = `bigquery_config { table: "p.d.t" }`
		storage  = `cloud_storage_config { bucket: "b" max_duration { seconds: 120 } }`
		bigtable = `bigtable_config { table: "projects/p/instances/i/tables/t" }`
		exactly  = `enable_exactly_once_delivery: true`
	)
	ways := func(ways string) string {
		return "At most one of push_config, bigquery_config, cloud_storage_config and bigtable_config can be set. You passed " + ways + " in the request."
	}
	pulled := func(way string) string {
		return "enable_exactly_once_delivery is only supported for pull subscriptions. You passed " + way + " in the request."
	}
	for _, test := range []struct{ first, second, field, text string }{
		{push, bigQuery, "bigquery_config", ways("push_config and bigquery_config")},
		{bigQuery, push, "push_config", ways("push_config and bigquery_config")},
		{storage, bigtable, "bigtable_config", ways("cloud_storage_config and bigtable_config")},
		{push, exactly, "enable_exactly_once_delivery", pulled("push_config")},
		{exactly, push, "push_config", pulled("push_config")},
		{exactly, bigQuery, "bigquery_config", pulled("bigquery_config")},
		{storage, `ack_deadline_seconds: 119`, "ack_deadline_seconds", "The value for max_duration is too large. You passed 2m in the request, but the maximum value is 1m59s."},
		{`ack_deadline_seconds: 119`, storage, "cloud_storage_config", "The value for max_duration is too large. You passed 2m in the request, but the maximum value is 1m59s."},
		{`expiration_policy { ttl { seconds: 86400 } }`, `message_retention_duration { seconds: 86401 }`, "message_retention_duration", "The value for expiration duration is too small. It is 24h, but must not be less than the message retention duration of 24h1s."},
		{`message_retention_duration { seconds: 86401 }`, `expiration_policy { ttl { seconds: 86400 } }`, "expiration_policy", "The value for expiration duration is too small. It is 24h, but must not be less than the message retention duration of 24h1s."},
	} {
		t.Run(test.text, func(t *testing.T) {
			_, err := NewSubscription(subscriptionOf(t, test.first+" "+test.second), new(pubsubpb.Topic))
			refused(t, err, codes.InvalidArgument, test.text)
			_, err = UpdateSubscription(mustSubscription(t, subscriptionOf(t, test.first)), subscriptionOf(t, test.second), masked(test.field))
			refused(t, err, codes.InvalidArgument, test.text)
		})
	}
}

func TestOneUpdateMovesASubscriptionToAnotherWayOfDelivery(t *testing.T) {
	current := mustSubscription(t, subscriptionOf(t, `push_config { push_endpoint: "https://example.com" }`))
	got, err := UpdateSubscription(current, subscriptionOf(t, `bigquery_config { table: "p.d.t" }`), masked("bigquery_config", "push_config"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the subscription", got, withField(t, `state: RESOURCE_ERROR bigquery_config { table: "p.d.t" state: NOT_FOUND }`))
	back, err := UpdateSubscription(got, subscriptionOf(t, ""), masked("bigquery_config"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the subscription, pulled again", back, withField(t, ""))
}

func TestAMaskResetsSubscriptionFieldsThatAreNotSet(t *testing.T) {
	changed := `retain_acked_messages: true labels { key: "a" value: "b" } ack_deadline_seconds: 20 message_retention_duration { seconds: 600 }
		expiration_policy { ttl { seconds: 172800 } } dead_letter_policy { dead_letter_topic: "projects/p/topics/dead" } retry_policy {}
		enable_exactly_once_delivery: true ` + transforms("f")
	current := mustSubscription(t, subscriptionOf(t, changed))
	for _, test := range []struct {
		paths []string
		sent  string
		want  string // of the fields that the paths name
	}{
		{[]string{"retain_acked_messages"}, "", ""},
		{[]string{"labels"}, "", ""},
		{[]string{"ack_deadline_seconds"}, "", "ack_deadline_seconds: 10"},
		{[]string{"message_retention_duration"}, "", "message_retention_duration { seconds: 172800 }"},
		{[]string{"expiration_policy"}, "", "expiration_policy { ttl { seconds: 2678400 } }"},
		{[]string{"expiration_policy"}, "expiration_policy {}", "expiration_policy {}"},
		{[]string{"message_retention_duration", "expiration_policy"}, "", "message_retention_duration { seconds: 604800 } expiration_policy { ttl { seconds: 2678400 } }"},
		{[]string{"dead_letter_policy"}, "", ""},
		{[]string{"dead_letter_policy"}, "dead_letter_policy {}", ""},
		{[]string{"retry_policy"}, "", ""},
		{[]string{"retry_policy"}, "retry_policy {}", "retry_policy { minimum_backoff { seconds: 10 } maximum_backoff { seconds: 600 } }"},
		{[]string{"enable_exactly_once_delivery"}, "", ""},
		{[]string{"message_transforms"}, "", ""},
		{[]string{"push_config"}, "", "push_config {}"},
	} {
		t.Run(strings.Join(test.paths, ",")+" "+test.sent, func(t *testing.T) {
			want, fields := proto.Clone(current).(*pubsubpb.Subscription), subscriptionOf(t, test.want)
			for _, path := range test.paths {
				assign(want.ProtoReflect(), fields.ProtoReflect(), descriptor(want, path))
			}
			got, err := UpdateSubscription(current, subscriptionOf(t, test.sent), masked(test.paths...))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "the subscription", got, want)
		})
	}
}

func TestAnEndpointsVersionOutlivesUpdatesThatGiveNone(t *testing.T) {
	current := mustSubscription(t, subscriptionOf(t, `push_config { push_endpoint: "https://e.com" attributes { key: "x-goog-version" value: "v1beta1" } attributes { key: "a" value: "b" } }`))
	for _, test := range []struct{ sent, want string }{
		{``, `push_config { attributes { key: "x-goog-version" value: "v1beta1" } }`},
		{`push_config {}`, `push_config { attributes { key: "x-goog-version" value: "v1beta1" } }`},
		{`push_config { push_endpoint: "https://f.com" }`, `push_config { push_endpoint: "https://f.com" attributes { key: "x-goog-version" value: "v1beta1" } }`},
		{`push_config { attributes { key: "x-goog-version" value: "v1" } }`, `push_config { attributes { key: "x-goog-version" value: "v1" } }`},
	} {
		got, err := UpdateSubscription(current, subscriptionOf(t, test.sent), masked("push_config"))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the subscription", got, withField(t, test.want))
	}
}

func TestAnUpdateLeavesADetachedSubscriptionOfADeletedTopicAsItIs(t *testing.T) {
	current := mustSubscription(t, subscriptionOf(t, `dead_letter_policy { dead_letter_topic: "projects/p/topics/dead" }`))
	current.Topic, current.DeadLetterPolicy.DeadLetterTopic, current.Detached = DeletedTopic, DeletedTopic, true
	got, err := UpdateSubscription(current, subscriptionOf(t, "ack_deadline_seconds: 11"), masked("ack_deadline_seconds"))
	if err != nil {
		t.Fatal(err)
	}
	current.AckDeadlineSeconds = 11
	same(t, "the subscription", got, current)
}

func TestASubscriptionRefersToTheDeadLetterTopicThatARequestGave(t *testing.T) {
	with := subscriptionOf(t, `dead_letter_policy { dead_letter_topic: "projects/p/topics/dead" }`)
	for _, test := range []struct {
		subscription *pubsubpb.Subscription
		paths        []string
		want         string
	}{
		{with, nil, "projects/p/topics/dead"},
		{with, []string{"dead_letter_policy"}, "projects/p/topics/dead"},
		{with, []string{"labels"}, ""},
		{subscriptionOf(t, ""), nil, ""},
	} {
		mask := masked(test.paths...)
		if test.paths == nil {
			mask = nil
		}
		if got := strings.Join(SubscriptionReferences(test.subscription, mask), " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.paths, got, test.want)
		}
	}
}
