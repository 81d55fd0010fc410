package declare

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const shop = `# what the shop needs
project: shop

schemas:
  - name: order
    type: AVRO
    definition: |
      {"type": "record", "name": "Order",
       "fields": [{"name": "id", "type": "string"}]}

topics:
  - events # no more than a name
  - name: orders
    labels: {team: sales, "on": "true"}
    messageRetentionDuration: 86400s
    schemaSettings:
      schema: order
      encoding: JSON
  - name: projects/archive/topics/orders

subscriptions:
  - name: billing
    topic: orders
    ackDeadlineSeconds: 0x1E
    enableMessageOrdering: true
    expirationPolicy: {}
    retryPolicy:
      minimumBackoff: 1s
    deadLetterPolicy:
      deadLetterTopic: events
      maxDeliveryAttempts: 10
  - name: copy
    topic: projects/archive/topics/orders
    pushConfig:
      pushEndpoint: http://copy:8080/push
`

func parsed(t *testing.T, text string) *Resources {
	t.Helper()
	r, err := Parse("f", []byte(text), "fallback")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAFileHoldsResourcesInTheFieldsOfTheAPI(t *testing.T) {
	got := parsed(t, shop)
	want := &Resources{
		Schemas: []*pubsubpb.Schema{{
			Name: "projects/shop/schemas/order", Type: pubsubpb.Schema_AVRO,
			Definition: "{\"type\": \"record\", \"name\": \"Order\",\n \"fields\": [{\"name\": \"id\", \"type\": \"string\"}]}\n",
		}},
		Topics: []*pubsubpb.Topic{
			{Name: "projects/shop/topics/events"},
			{
				Name: "projects/shop/topics/orders", Labels: map[string]string{"team": "sales", "on": "true"},
				MessageRetentionDuration: durationpb.New(24 * time.Hour),
				SchemaSettings:           &pubsubpb.SchemaSettings{Schema: "projects/shop/schemas/order", Encoding: pubsubpb.Encoding_JSON},
			},
			{Name: "projects/archive/topics/orders"},
		},
		Subscriptions: []*pubsubpb.Subscription{
			{
				Name: "projects/shop/subscriptions/billing", Topic: "projects/shop/topics/orders", AckDeadlineSeconds: 30, EnableMessageOrdering: true,
				ExpirationPolicy: &pubsubpb.ExpirationPolicy{}, RetryPolicy: &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second)},
				DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: "projects/shop/topics/events", MaxDeliveryAttempts: 10},
			},
			{
				Name: "projects/shop/subscriptions/copy", Topic: "projects/archive/topics/orders",
				PushConfig: &pubsubpb.PushConfig{PushEndpoint: "http://copy:8080/push"},
			},
		},
	}
	wantEqual(t, got, want)
	if projects := strings.Join(got.Projects(), " "); projects != "shop archive" {
		t.Errorf("projects %s", projects)
	}
}

func wantEqual(t *testing.T, got, want *Resources) {
	t.Helper()
	equalLists(t, got.Schemas, want.Schemas)
	equalLists(t, got.Topics, want.Topics)
	equalLists(t, got.Subscriptions, want.Subscriptions)
}

func equalLists[R resource](t *testing.T, got, want []R) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d resources, want %d", len(got), len(want))
	}
	for i := range got {
		if !proto.Equal(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", prototext.Format(got[i]), prototext.Format(want[i]))
		}
	}
}

func TestShortNamesBelongToTheProjectThatTheCallerGivesUnlessTheFileHasOne(t *testing.T) {
	if got := parsed(t, "topics: [orders]").Topics[0].Name; got != "projects/fallback/topics/orders" {
		t.Error(got)
	}
	if got := parsed(t, "topics: [orders]\nproject: own").Topics[0].Name; got != "projects/own/topics/orders" {
		t.Error(got)
	}
	_, err := Parse("f", []byte("topics: [orders]"), "")
	wantError(t, err, "f:1: orders: Invalid resource name given (name=orders).")
}

func TestFilesThatSayNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "topics:\n", "topics: []\nsubscriptions: ~\n", "{}"} {
		if got := parsed(t, text); len(got.Topics)+len(got.Subscriptions)+len(got.Schemas) != 0 {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown section", "topic:\n  - orders\n", `f:1: unknown key "topic" (known: project, schemas, topics, subscriptions)`},
		{"unknown field", "topics:\n  - name: orders\n    labls: {a: b}\n", `f:3: unknown field "labls"`},
		{"unknown nested field", "topics:\n  - a-topic\n  - name: orders\n    messageStoragePolicy:\n\n      # regions\n      region: x\n", `f:7: unknown field "region"`},
		{"unknown field after a block", "schemas:\n  - name: s-1\n    definition: |\n      a\n      b\n    typ: AVRO\n", `f:6: unknown field "typ"`},
		{"field twice", "topics:\n  - name: orders\n    name: again\n", `f:3: duplicate field "name"`},
		{"field in both spellings", "topics:\n  - name: orders\n    kmsKeyName: a\n    kms_key_name: b\n", `f:4: duplicate field "kms_key_name"`},
		{"label twice", "topics:\n  - name: orders\n    labels:\n      a: x\n      a: y\n", `f:5: duplicate map key "a"`},
		{"wrong type", "subscriptions:\n  - name: billing\n    topic: orders\n    ackDeadlineSeconds: soon\n", `f:4: invalid value for int32 field ackDeadlineSeconds: "soon"`},
		{"a number for text", "topics:\n  - name: orders\n    labels:\n      year: 2026\n", `f:4: invalid value for string field value: 2026`},
		{"bad duration", "topics:\n  - name: orders\n    messageRetentionDuration: 1h\n", `f:3: invalid google.protobuf.Duration value "1h"`},
		{"unknown enum", "schemas:\n  - name: order\n    type: XML\n", `f:3: invalid value for enum field type: "XML"`},
		{"a rule of the API", "topics:\n  - name: orders\n    messageRetentionDuration: 60s\n", "f:2: projects/fallback/topics/orders: The value for message retention duration is out of bounds. You passed 1m in the request, but the value must be between 10m and 744h."},
		{"bad name", "topics:\n  - name: projects/p/topics/x\n", "f:2: projects/p/topics/x: Invalid resource name given (name=projects/p/topics/x)."},
		{"no name", "topics:\n  - labels: {a: b}\n", "f:2: a topic without a name"},
		{"no topic", "subscriptions:\n  - billing\n", "f:2: projects/fallback/subscriptions/billing: Invalid resource name given (name=)."},
		{"declared twice", "topics:\n  - orders\n  - name: projects/fallback/topics/orders\n", "f:3: projects/fallback/topics/orders: declared twice, first in line 2"},
		{"the server's field", "topics:\n  - name: orders\n\n    state: ACTIVE\n", "f:4: projects/fallback/topics/orders: state cannot be declared"},
		{"the server's field in snake case", "subscriptions:\n  - name: billing\n    topic: orders\n    topic_message_retention_duration: 600s\n", "f:4: projects/fallback/subscriptions/billing: topicMessageRetentionDuration cannot be declared"},
		{"tags", "topics:\n  - name: orders\n    tags: {a: b}\n", "f:3: projects/fallback/topics/orders: tags cannot be declared"},
		{"schema revision", "schemas:\n  - name: order@12345678\n    type: AVRO\n", "f:2: projects/fallback/schemas/order@12345678: Invalid resource name"},
		{"section is no list", "topics:\n  orders: {}\n", "f:2: topics: must be a list"},
		{"entry is no mapping", "topics:\n  - [a]\n", "f:2: a topic must hold keys and values, or be a name"},
		{"entry is a number", "topics:\n  - 17\n", "f:2: a topic must hold keys and values, or be a name"},
		{"section twice", "topics: []\ntopics: []\n", "f:2: topics: given twice, first in line 1"},
		{"list as file", "- a\n", "f:1: the file must hold keys and values"},
		{"two documents", "topics: []\n---\ntopics: []\n", "f:3: a second YAML document; one is allowed"},
		{"bad project", "project: a/b\n", `f:1: project: "a/b" is no project id`},
		{"project is a list", "project: [a]\n", "f:1: project: must be one word"},
		{"alias", "topics:\n  - &a\n    name: orders\n  - *a\n", "f:4: a topic must hold keys and values, or be a name"},
		{"alias inside", "topics:\n  - name: orders\n    labels: &l {a: b}\n  - name: more\n    labels: *l\n", "f:5: alias *l: write out what it stands for"},
		{"key is a list", "topics:\n  - ? [a, b]\n    : c\n", "f:2: a key must be one word"},
		{"unknown tag", "topics:\n  - name: !secret orders\n", "f:2: tag !secret is unknown"},
		{"a huge number", "subscriptions:\n  - name: billing\n    topic: orders\n    ackDeadlineSeconds: 99999999999999999999\n", "f:4: "},
		{"broken YAML", "topics:\n  - name: [orders\n", "f:"},
		{"too large", strings.Repeat("#\n", BytesMax/2+1), "f: has 16777218 bytes, at most 16777216 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f", []byte(c.text), "fallback")
			wantError(t, err, c.want)
		})
	}
}

func wantError(t *testing.T, err error, begins string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), begins) || strings.Contains(err.Error(), "bug") {
		t.Errorf("error %v\n want %s", err, begins)
	}
}

func TestOneRunNamesAllMistakes(t *testing.T) {
	_, err := Parse("f", []byte("tpics: []\ntopics:\n  - name: a\n  - name: good\n  - name: orders\n    x: y\nsubscriptions:\n  - name: billing\n"), "p")
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("want four mistakes: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(shop))
	f.Add([]byte("topics: [a-1, {name: b-1}]\n"))
	f.Add([]byte("topics:\n  - name: orders\n    labels: {a: 'yes', b: \"1\", c: '', d: 'null', e: \" x \"}\n"))
	f.Add([]byte("topics:\n- &x name: y\n- *x\n"))
	f.Add([]byte("? [a]\n: b\n--- !!map {}\n"))
	f.Add([]byte("subscriptions: [{name: s-1, topic: t-1, ackDeadlineSeconds: 1e1, filter: \"attributes:a\\nAND attributes:b\"}]"))
	f.Add([]byte("schemas:\n  - name: s-1\n    definition: |+\n      x\n\n\n    type: 1\n"))
	f.Add([]byte("topics: [{name: orders, messageTransforms: [{javascriptUdf: {functionName: f, code: \"function f(m) {\\n\\treturn m; \\n}\"}}]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse("f", text, "p")
		if err != nil {
			if strings.Contains(err.Error(), "bug") {
				t.Fatal(err)
			}
			return
		}
		roundTrip(t, r)
	})
}

// roundTrip holds what was written against what is read back: the resources are the same to a server, and so is the text.
func roundTrip(t *testing.T, r *Resources) {
	t.Helper()
	text, err := Format(r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("again", text, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, step := range Plan(again, r, true) {
		if step.Verb != Unchanged {
			t.Fatalf("%s %s %+v after\n%s", step.Verb, step.Name, step.Changes, text)
		}
	}
	second, err := Format(again)
	if err != nil || string(second) != string(text) {
		t.Fatalf("written again, the text differs: %v\n%s\n%s", err, text, second)
	}
	line, refused, err := FormatJSON(r)
	if err != nil || len(refused) > 0 || !json.Valid(line) {
		t.Fatalf("%v, refused %q\n%s", err, refused, line)
	}
	again, err = Parse("line", line, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
	if third, err := Format(again); err != nil || string(third) != string(text) {
		t.Fatalf("by way of JSON, the text differs: %v\n%s\n%s", err, text, third)
	}
}
