package declare

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

func TestAFileIsWrittenSortedAndWithoutDefaults(t *testing.T) {
	r := parsed(t, shop)
	for i, topic := range r.Topics { // as a server shows them
		settled, err := catalog.NewTopic(topic)
		if err != nil {
			t.Fatal(err)
		}
		r.Topics[i] = settled
	}
	for i, s := range r.Subscriptions {
		settled, err := catalog.NewSubscription(s, &pubsubpb.Topic{MessageRetentionDuration: durationpb.New(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		r.Subscriptions[i] = settled
	}
	got, err := Format(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `schemas:
- name: projects/shop/schemas/order
  type: AVRO
  definition: |
    {"type": "record", "name": "Order",
     "fields": [{"name": "id", "type": "string"}]}
topics:
- name: projects/archive/topics/orders
- name: projects/shop/topics/events
- name: projects/shop/topics/orders
  labels:
    on: 'true'
    team: sales
  schemaSettings:
    schema: projects/shop/schemas/order
    encoding: JSON
  messageRetentionDuration: 86400s
subscriptions:
- name: projects/shop/subscriptions/billing
  topic: projects/shop/topics/orders
  ackDeadlineSeconds: 30
  enableMessageOrdering: true
  expirationPolicy: {}
  deadLetterPolicy:
    deadLetterTopic: projects/shop/topics/events
    maxDeliveryAttempts: 10
  retryPolicy:
    minimumBackoff: 1s
    maximumBackoff: 600s
- name: projects/shop/subscriptions/copy
  topic: projects/archive/topics/orders
  pushConfig:
    pushEndpoint: http://copy:8080/push
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	roundTrip(t, r)
}

func TestWhatCannotBeDeclaredIsNamedInAComment(t *testing.T) {
	got, err := Format(&Resources{
		Topics: []*pubsubpb.Topic{{Name: "projects/p/topics/old", SchemaSettings: &pubsubpb.SchemaSettings{Schema: catalog.DeletedSchema, Encoding: pubsubpb.Encoding_JSON}}},
		Subscriptions: []*pubsubpb.Subscription{
			{Name: "projects/p/subscriptions/gone", Topic: catalog.DeletedTopic},
			{Name: "projects/p/subscriptions/apart", Topic: "projects/p/topics/new", Detached: true},
		},
	})
	want := `# not exported: projects/p/topics/old, whose schema was deleted
# not exported: projects/p/subscriptions/apart, which is detached
# not exported: projects/p/subscriptions/gone, whose topic was deleted
`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

func TestAFileDoesNotSayWhatTheServerFound(t *testing.T) {
	export := &pubsubpb.CloudStorageConfig{Bucket: "some", State: pubsubpb.CloudStorageConfig_NOT_FOUND}
	source := &pubsubpb.IngestionDataSourceSettings_CloudStorage{Bucket: "some", State: pubsubpb.IngestionDataSourceSettings_CloudStorage_BUCKET_NOT_FOUND,
		InputFormat: &pubsubpb.IngestionDataSourceSettings_CloudStorage_TextFormat_{TextFormat: &pubsubpb.IngestionDataSourceSettings_CloudStorage_TextFormat{}}}
	got, err := Format(&Resources{
		Topics: []*pubsubpb.Topic{{Name: "projects/p/topics/some", IngestionDataSourceSettings: &pubsubpb.IngestionDataSourceSettings{
			Source: &pubsubpb.IngestionDataSourceSettings_CloudStorage_{CloudStorage: source}}}},
		Subscriptions: []*pubsubpb.Subscription{{Name: "projects/p/subscriptions/some", Topic: "projects/p/topics/some", CloudStorageConfig: export}},
	})
	if err != nil || strings.Contains(string(got), "state") || strings.Count(string(got), "bucket: some") != 2 {
		t.Errorf("%v\n%s", err, got)
	}
}

// words are values that YAML would take for something else without quotes.
var words = []string{"", "x", "yes", "null", "~", "1", "1e3", "0x10", "2026-01-02", "- a", "a: b", "#c", " led", "trailed ", "two\nlines", "two\nlines\n", "tab\there", "é", "{}", "*a", "&b", "!c", "%d", "|", ">", "'", `"`, "\u2028", "true", ".inf"}

func TestWhatIsWrittenIsReadBackWhateverItIs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string { return words[random.IntN(len(words))] }
	for range 500 {
		r := new(Resources)
		for i := range random.IntN(4) {
			topic := &pubsubpb.Topic{Name: "projects/p/topics/topic-" + strconv.Itoa(i)}
			if random.IntN(2) == 0 {
				topic.MessageTransforms = []*pubsubpb.MessageTransform{{Disabled: random.IntN(2) == 0, Transform: &pubsubpb.MessageTransform_JavascriptUdf{
					JavascriptUdf: &pubsubpb.JavaScriptUDF{FunctionName: "f", Code: "function f(m) {" + word() + word() + "}"}}}}
			}
			if random.IntN(2) == 0 {
				topic.MessageRetentionDuration = &durationpb.Duration{Seconds: 600 + int64(random.IntN(3600)), Nanos: int32(random.IntN(2)) * 500_000_000}
			}
			r.Topics = append(r.Topics, topic)
		}
		for i := range random.IntN(4) {
			s := &pubsubpb.Subscription{Name: "projects/p/subscriptions/sub-" + strconv.Itoa(i), Topic: "projects/p/topics/topic-0", Filter: word() + word()}
			if random.IntN(2) == 0 {
				s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: "http://h/" + strconv.Itoa(i), Attributes: map[string]string{word(): word(), "k": word()}}
			}
			if random.IntN(2) == 0 {
				s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(time.Duration(24+random.IntN(1000)) * time.Hour)}
			}
			if random.IntN(2) == 0 {
				s.MessageRetentionDuration = durationpb.New(time.Duration(10+random.IntN(1000)) * time.Minute)
			}
			r.Subscriptions = append(r.Subscriptions, s)
		}
		for i := range random.IntN(2) {
			r.Schemas = append(r.Schemas, &pubsubpb.Schema{Name: "projects/p/schemas/schema-" + strconv.Itoa(i), Type: pubsubpb.Schema_AVRO, Definition: word() + word() + word()})
		}
		text, err := Format(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f", text, ""); err != nil && strings.Contains(err.Error(), "Invalid") { // what the rules refuse is not exported by any server
			continue
		}
		roundTrip(t, r)
	}
}
