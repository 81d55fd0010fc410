package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (o outcome) want(t *testing.T, code int, out, errs string) {
	t.Helper()
	if o.code != code || o.out != out || o.errs != errs {
		t.Errorf("code %d, out %q, errs %q\nwant %d, %q, %q", o.code, o.out, o.errs, code, out, errs)
	}
}

func TestTopicLivesThroughItsCommands(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "orders", "--retention", "7d", "--label", "b=2", "--label", "a=1").
		want(t, 0, "created projects/p/topics/orders\n", "")
	f.run(t, "", "topic", "create", "orders").
		want(t, 1, "", "posthaste: create topic projects/p/topics/orders: ALREADY_EXISTS: Topic already exists\n")
	f.run(t, "", "topic", "create", "projects/other/topics/x").want(t, 0, "created projects/other/topics/x\n", "")
	f.run(t, "", "topic", "describe", "orders").want(t, 0,
		"name:                        projects/p/topics/orders\nlabels:                      a=1,b=2\nmessage_retention_duration:  7d\n", "")
	f.run(t, "", "topic", "describe", "orders", "--output", "json").want(t, 0,
		`{"name":"projects/p/topics/orders","labels":{"a":"1","b":"2"},"messageRetentionDuration":"604800s"}`+"\n", "")
	f.run(t, "", "topic", "update", "orders", "--clear", "labels,retention", "--label", "c=3").
		want(t, 0, "updated projects/p/topics/orders\n", "")
	if got := f.topics["projects/p/topics/orders"]; !proto.Equal(got, &pubsubpb.Topic{Name: "projects/p/topics/orders", Labels: map[string]string{"c": "3"}}) {
		t.Errorf("after the update: %v", got)
	}
	if got := f.masks[0]; !slices.Equal(got, []string{"labels", "message_retention_duration"}) {
		t.Errorf("update mask %v", got)
	}
	f.run(t, "", "topic", "delete", "orders", "--output=json").want(t, 0, `{"deleted":"projects/p/topics/orders"}`+"\n", "")
	f.run(t, "", "topic", "describe", "orders").
		want(t, 1, "", "posthaste: describe topic projects/p/topics/orders: NOT_FOUND: Resource not found (resource=t).\n")
}

func TestTopicSchemaFlags(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "a", "--schema", "projects/p/schemas/s", "--encoding", "binary")
	want := &pubsubpb.SchemaSettings{Schema: "projects/p/schemas/s", Encoding: pubsubpb.Encoding_BINARY}
	if got := f.topics["projects/p/topics/a"].GetSchemaSettings(); !proto.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	f.run(t, "", "topic", "update", "a", "--schema", "short").want(t, 0, "updated projects/p/topics/a\n", "")
	if got := f.topics["projects/p/topics/a"].GetSchemaSettings().GetSchema(); got != "projects/p/schemas/short" {
		t.Errorf("a schema by its id is %s", got)
	}
	f.run(t, "", "topic", "create", "b", "--encoding", "json").want(t, 2, "", "posthaste: --encoding: an encoding needs a --schema\n")
	f.run(t, "", "topic", "create", "b", "--schema", "s", "--encoding", "xml").
		want(t, 2, "", "posthaste: --schema: encoding \"xml\" is unknown; allowed: json, binary\n")
}

func TestListsFollowPages(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "a", "b", "c", "d", "e")
	f.run(t, "", "topic", "list").want(t, 0, "projects/p/topics/a\nprojects/p/topics/b\nprojects/p/topics/c\nprojects/p/topics/d\nprojects/p/topics/e\n", "")
	for _, name := range []string{"x", "y", "z"} {
		f.run(t, "", "subscription", "create", name, "--topic", "a")
	}
	f.run(t, "", "sub", "list", "--output", "json").want(t, 0, `{"name":"projects/p/subscriptions/x","topic":"projects/p/topics/a"}
{"name":"projects/p/subscriptions/y","topic":"projects/p/topics/a"}
{"name":"projects/p/subscriptions/z","topic":"projects/p/topics/a"}
`, "")
	f.run(t, "", "topic", "describe", "a", "--subscriptions").
		want(t, 0, "projects/p/subscriptions/x\nprojects/p/subscriptions/y\nprojects/p/subscriptions/z\n", "")
	f.run(t, "", "subscription", "detach", "x", "y").
		want(t, 0, "detached projects/p/subscriptions/x\ndetached projects/p/subscriptions/y\n", "")
	if !f.subscriptions["projects/p/subscriptions/y"].Detached {
		t.Error("not detached")
	}
	f.run(t, "", "subscription", "detach", "z", "y").want(t, 1, "detached projects/p/subscriptions/z\n",
		"posthaste: detach subscription projects/p/subscriptions/y: FAILED_PRECONDITION: Subscription already detached.\n")
	f.run(t, "", "subscription", "delete", "x", "y").
		want(t, 0, "deleted projects/p/subscriptions/x\ndeleted projects/p/subscriptions/y\n", "")
}

func TestEverySubscriptionFlagSetsItsField(t *testing.T) {
	f := newFake(t)
	f.run(t, "", strings.Fields(`subscription create s --topic t --ack-deadline 1m --retention 1d --retain-acked --expiration 31d --ordering
		--exactly-once --filter hasPrefix(attributes.a,"b") --dead-letter-topic dead --max-delivery-attempts 7 --min-backoff 1s --max-backoff 90s
		--push-endpoint http://localhost/x --label a=b=c`)...).want(t, 0, "created projects/p/subscriptions/s\n", "")
	want := &pubsubpb.Subscription{
		Name: "projects/p/subscriptions/s", Topic: "projects/p/topics/t", AckDeadlineSeconds: 60,
		MessageRetentionDuration: durationpb.New(24 * time.Hour), RetainAckedMessages: true,
		ExpirationPolicy:      &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(31 * 24 * time.Hour)},
		EnableMessageOrdering: true, EnableExactlyOnceDelivery: true, Filter: `hasPrefix(attributes.a,"b")`,
		DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: "projects/p/topics/dead", MaxDeliveryAttempts: 7},
		RetryPolicy:      &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second), MaximumBackoff: durationpb.New(90 * time.Second)},
		PushConfig:       &pubsubpb.PushConfig{PushEndpoint: "http://localhost/x"},
		Labels:           map[string]string{"a": "b=c"},
	}
	if got := f.subscriptions["projects/p/subscriptions/s"]; !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	f.run(t, "", "subscription", "describe", "s").want(t, 0, `name:                                      projects/p/subscriptions/s
topic:                                     projects/p/topics/t
push_config.push_endpoint:                 http://localhost/x
ack_deadline_seconds:                      60
retain_acked_messages:                     true
message_retention_duration:                1d
labels:                                    a=b=c
enable_message_ordering:                   true
expiration_policy.ttl:                     31d
filter:                                    hasPrefix(attributes.a,"b")
dead_letter_policy.dead_letter_topic:      projects/p/topics/dead
dead_letter_policy.max_delivery_attempts:  7
retry_policy.minimum_backoff:              1s
retry_policy.maximum_backoff:              1m30s
enable_exactly_once_delivery:              true
`, missingGrave)
}

const missingGrave = "posthaste: warning: dead letter topic projects/p/topics/dead does not exist: messages that cannot be forwarded are delivered again and again\n"

func TestDescribeWarnsOfDeadLettersThatReachNobody(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "subscription", "create", "s", "--topic", "t", "--dead-letter-topic", "dead")
	shown := f.run(t, "", "subscription", "describe", "s", "--output", "json")
	if shown.errs != missingGrave || !strings.HasSuffix(shown.out, "}\n") {
		t.Errorf("without the topic: %+v", shown)
	}
	f.run(t, "", "topic", "create", "dead")
	if shown = f.run(t, "", "subscription", "describe", "s"); shown.errs != "posthaste: warning: dead letter topic projects/p/topics/dead has no subscription: dead letters reach nobody\n" {
		t.Errorf("without a subscription: %+v", shown)
	}
	f.run(t, "", "subscription", "create", "mourner", "--topic", "dead")
	if shown = f.run(t, "", "subscription", "describe", "s"); shown.errs != "" || shown.code != 0 {
		t.Errorf("with a subscription: %+v", shown)
	}
}

func TestSubscriptionUpdateTouchesWhatFlagsName(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "subscription", "create", "s", "--topic", "t", "--dead-letter-topic", "dead", "--min-backoff", "1s", "--label", "a=1")
	for _, test := range []struct {
		args  string
		mask  []string
		check func(*pubsubpb.Subscription) bool
	}{
		{"--ack-deadline 30s", []string{"ack_deadline_seconds"}, func(s *pubsubpb.Subscription) bool { return s.AckDeadlineSeconds == 30 }},
		{"--max-delivery-attempts 9", []string{"dead_letter_policy"}, func(s *pubsubpb.Subscription) bool {
			return s.DeadLetterPolicy.MaxDeliveryAttempts == 9 && s.DeadLetterPolicy.DeadLetterTopic == "projects/p/topics/dead"
		}},
		{"--max-backoff 2s --min-backoff 0s", []string{"retry_policy"}, func(s *pubsubpb.Subscription) bool {
			return s.RetryPolicy.MaximumBackoff.Seconds == 2 && s.RetryPolicy.MinimumBackoff.Seconds == 0
		}},
		{"--expiration never --label b=2", []string{"expiration_policy", "labels"}, func(s *pubsubpb.Subscription) bool {
			return s.ExpirationPolicy != nil && s.ExpirationPolicy.Ttl == nil && len(s.Labels) == 2
		}},
		{"--clear dead-letter,retry,push", []string{"dead_letter_policy", "retry_policy", "push_config"}, func(s *pubsubpb.Subscription) bool {
			return s.DeadLetterPolicy == nil && s.RetryPolicy == nil && s.PushConfig.PushEndpoint == ""
		}},
		{"--retain-acked=false", []string{"retain_acked_messages"}, func(s *pubsubpb.Subscription) bool { return !s.RetainAckedMessages }},
	} {
		f.masks = nil
		f.run(t, "", append([]string{"subscription", "update", "s"}, strings.Fields(test.args)...)...).
			want(t, 0, "updated projects/p/subscriptions/s\n", "")
		if len(f.masks) != 1 || !slices.Equal(f.masks[0], test.mask) {
			t.Errorf("%s: masks %v, want %v", test.args, f.masks, test.mask)
		}
		if got := f.subscriptions["projects/p/subscriptions/s"]; !test.check(got) {
			t.Errorf("%s: left %v", test.args, got)
		}
	}
}

func TestWrongUseIsOneLineAndExitCodeTwo(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "subscription", "create", "s", "--topic", "t")
	for _, test := range []struct{ args, want string }{
		{"topic bogus", `unknown command "bogus" for "posthaste topic"; see posthaste topic --help`},
		{"bogus", `unknown command "bogus" for "posthaste"; see posthaste --help`},
		{"topic create", `requires at least 1 arg(s), only received 0; see posthaste topic create --help`},
		{"topic create x --colour red", `unknown flag: --colour; see posthaste topic create --help`},
		{"topic list --output yaml", `--output: "yaml" is unknown; allowed: text, json; see posthaste topic list --help`},
		{"topic create x --label y", `invalid argument "y" for "--label" flag: "y" is not of the form KEY=VALUE; see posthaste topic create --help`},
		{"topic create x --label y=1 --label y=2", `invalid argument "y=2" for "--label" flag: key "y" is given twice; see posthaste topic create --help`},
		{"topic create x --retention 1week", `invalid argument "1week" for "--retention" flag: "1week" is no duration such as 90s, 1h30m or 7d; see posthaste topic create --help`},
		{"subscription create s", `--topic is needed`},
		{"subscription create s --topic t --ack-deadline 1500ms", `--ack-deadline: 1.5s is no whole number of seconds`},
		{"subscription create s --topic t --max-delivery-attempts 5", `--max-delivery-attempts: needs a --dead-letter-topic`},
		{"subscription create s --topic t --expiration soon", `--expiration: "soon" is no duration such as 90s, 1h30m or 7d, and not "never"`},
		{"subscription update s", `nothing to update: give at least one flag`},
		{"subscription update s --clear labels,x", `--clear: "x" is unknown; allowed: labels, dead-letter, retry, push`},
		{"pull s --max -1", `--max and --timeout must not be negative`},
		{"serve --listen nowhere", `--listen: "nowhere" is no address; allowed: HOST:PORT`},
	} {
		f.run(t, "", strings.Fields(test.args)...).want(t, 2, "", "posthaste: "+test.want+"\n")
	}
}

func TestServerAndProjectComeFromTheStrongestSource(t *testing.T) {
	f := newFake(t)
	for _, test := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{map[string]string{"POSTHASTE_ADDR": f.address, "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}, nil, "projects/posthaste/topics/a"},
		{map[string]string{"POSTHASTE_ADDR": "127.0.0.1:1", "GOOGLE_CLOUD_PROJECT": "g"}, []string{"--addr", f.address}, "projects/g/topics/a"},
		{map[string]string{"PUBSUB_EMULATOR_HOST": "http://" + f.address, "GOOGLE_CLOUD_PROJECT": "g", "PUBSUB_PROJECT_ID": "i"}, nil, "projects/i/topics/a"},
		{map[string]string{"PUBSUB_EMULATOR_HOST": f.address, "PUBSUB_PROJECT_ID": "i"}, []string{"--project=f"}, "projects/f/topics/a"},
	} {
		runIn(t, test.env, "", append([]string{"topic", "create", "a"}, test.args...)...).want(t, 0, "created "+test.want+"\n", "")
	}
}

func TestServerThatIsNotThereIsNamed(t *testing.T) {
	got := runIn(t, nil, "", "topic", "list", "--addr", "127.0.0.1:1")
	got.want(t, 1, "", "posthaste: list topics of projects/posthaste: UNAVAILABLE: no server at 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused\n")
}
