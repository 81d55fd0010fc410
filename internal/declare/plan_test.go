package declare

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// script renders a plan: a line for each step.
func script(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s %s %s", s.Verb, s.Kind, s.Name[strings.LastIndexByte(s.Name, '/')+1:])
		for _, c := range s.Changes {
			fmt.Fprintf(&b, " %s[%s>%s]", c.Path, c.Have, c.Want)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// stored is what a server has after it took what the file says.
func stored(t *testing.T, text string) *Resources {
	t.Helper()
	r := parsed(t, text)
	for i, topic := range r.Topics {
		settled, err := catalog.NewTopic(topic)
		if err != nil {
			t.Fatal(err)
		}
		r.Topics[i] = settled
	}
	for i, s := range r.Subscriptions {
		settled, err := catalog.NewSubscription(s, new(pubsubpb.Topic))
		if err != nil {
			t.Fatal(err)
		}
		r.Subscriptions[i] = settled
	}
	for _, s := range r.Schemas {
		s.RevisionId = "01234567"
	}
	return r
}

func TestAPlanMakesAServerAgreeWithAFile(t *testing.T) {
	const base = "topics: [orders]\nsubscriptions: [{name: billing, topic: orders, ackDeadlineSeconds: 20, labels: {a: b}}]\n"
	for _, c := range []struct{ name, want, have, plan string }{
		{"an empty server", base, "", "create topic orders\ncreate subscription billing\n"},
		{"nothing to do", base, base, "unchanged topic orders\nunchanged subscription billing\n"},
		{"defaults written out are no difference",
			"subscriptions: [{name: billing, topic: orders, ackDeadlineSeconds: 10, messageRetentionDuration: 604800s, expirationPolicy: {ttl: 2678400s}, pushConfig: {}}]",
			"subscriptions: [{name: billing, topic: orders}]", "unchanged subscription billing\n"},
		{"several fields", "subscriptions: [{name: billing, topic: orders, ackDeadlineSeconds: 30, retainAckedMessages: true}]", base,
			"update subscription billing ack_deadline_seconds[20>30] retain_acked_messages[>true] labels[{\"a\":\"b\"}>]\n"},
		{"a field left out goes back to its default", "topics: [orders]",
			"topics: [{name: orders, messageRetentionDuration: 600s, labels: {a: b}}]",
			"update topic orders labels[{\"a\":\"b\"}>] message_retention_duration[\"600s\">]\n"},
		{"what cannot change", "subscriptions: [{name: billing, topic: other, filter: 'attributes:a', ackDeadlineSeconds: 30}]", base,
			"conflict subscription billing topic[\"projects/fallback/topics/orders\">\"projects/fallback/topics/other\"] ack_deadline_seconds[20>30] " +
				"labels[{\"a\":\"b\"}>] filter[>\"attributes:a\"]\n"},
		{"a new revision of a schema", "schemas: [{name: order, type: AVRO, definition: two}]", "schemas: [{name: order, type: AVRO, definition: one}]",
			"update schema order definition[\"one\">\"two\"]\n"},
		{"a schema of another type", "schemas: [{name: order, type: AVRO, definition: one}]", "schemas: [{name: order, type: PROTOCOL_BUFFER, definition: one}]",
			"conflict schema order type[\"PROTOCOL_BUFFER\">\"AVRO\"]\n"},
		{"schemas before topics before subscriptions", "subscriptions: [{name: billing, topic: orders}]\ntopics: [orders]\nschemas: [{name: order, type: AVRO}]\n", "",
			"create schema order\ncreate topic orders\ncreate subscription billing\n"},
		{"the version of a push endpoint that stays is no difference",
			"subscriptions: [{name: billing, topic: orders, pushConfig: {pushEndpoint: 'http://a/'}}]",
			"subscriptions: [{name: billing, topic: orders, pushConfig: {pushEndpoint: 'http://a/', attributes: {x-goog-version: v1}}}]",
			"unchanged subscription billing\n"},
		{"another endpoint", "subscriptions: [{name: billing, topic: orders, pushConfig: {pushEndpoint: 'http://b/'}}]",
			"subscriptions: [{name: billing, topic: orders, pushConfig: {pushEndpoint: 'http://a/'}}]",
			"update subscription billing push_config[{\"pushEndpoint\":\"http://a/\"}>{\"pushEndpoint\":\"http://b/\"}]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := script(Plan(parsed(t, c.want), stored(t, c.have), false)); got != c.plan {
				t.Errorf("got\n%swant\n%s", got, c.plan)
			}
		})
	}
}

func TestAServerThatShowsNoDefaultsDoesNotDiffer(t *testing.T) {
	const file = "subscriptions: [{name: billing, topic: orders}]"
	bare := &Resources{Subscriptions: []*pubsubpb.Subscription{{
		Name: "projects/fallback/subscriptions/billing", Topic: "projects/fallback/topics/orders",
		AckDeadlineSeconds: 10, MessageRetentionDuration: durationpb.New(7 * 24 * time.Hour),
	}}}
	if got := script(Plan(parsed(t, file), bare, false)); got != "unchanged subscription billing\n" {
		t.Error(got)
	}
}

func TestASubscriptionWhoseTopicWasDeletedIsAConflict(t *testing.T) {
	have := stored(t, "subscriptions: [{name: billing, topic: orders}]")
	have.Subscriptions[0].Topic = catalog.DeletedTopic
	got := script(Plan(parsed(t, "subscriptions: [{name: billing, topic: orders}]"), have, false))
	if !strings.HasPrefix(got, "conflict subscription billing topic[\"_deleted-topic_\">") {
		t.Error(got)
	}
}

func TestPruningDeletesTheRestInTheOrderOfDependence(t *testing.T) {
	have := stored(t, "schemas: [{name: order, type: AVRO}]\ntopics: [orders, rest]\nsubscriptions: [{name: billing, topic: orders}, {name: old, topic: rest}]\n")
	want := parsed(t, "topics: [orders]\nsubscriptions: [{name: billing, topic: orders}]\n")
	const plan = "unchanged topic orders\nunchanged subscription billing\ndelete subscription old\ndelete topic rest\ndelete schema order\n"
	if got := script(Plan(want, have, true)); got != plan {
		t.Errorf("got\n%swant\n%s", got, plan)
	}
	if got := script(Plan(want, have, false)); strings.Contains(got, "delete") {
		t.Error(got)
	}
}

func TestAbsentLeavesWhatIsThereAlone(t *testing.T) {
	want := parsed(t, "topics: [orders, events]\nsubscriptions: [{name: billing, topic: events}]\nschemas: [{name: order, type: AVRO}]\n")
	have := stored(t, "topics: [{name: orders, labels: {a: b}}]\nsubscriptions: [{name: billing, topic: orders}]\nschemas: [{name: order, type: AVRO, definition: x}]\n")
	if got := script(Plan(Absent(want, have), have, false)); got != "create topic events\n" {
		t.Error(got)
	}
}

// The mask of an update is what the server's own rules take, for each field that is called mutable, and refused for each that is not.
func TestMasksAgreeWithTheCatalog(t *testing.T) {
	have := stored(t, "topics: [orders]\nsubscriptions: [{name: billing, topic: orders}]\n")
	for _, f := range subscriptionKind.fields {
		step := Step{Changes: []Change{{Path: f.Name}}}
		if _, err := catalog.UpdateSubscription(have.Subscriptions[0], have.Subscriptions[0], step.Mask()); (err == nil) != f.Mutable {
			t.Errorf("subscription %s: mutable %v, update says %v", f.Name, f.Mutable, err)
		}
	}
	for _, f := range topicKind.fields {
		step := Step{Changes: []Change{{Path: f.Name}}}
		if _, err := catalog.UpdateTopic(have.Topics[0], have.Topics[0], step.Mask()); (err == nil) != f.Mutable {
			t.Errorf("topic %s: mutable %v, update says %v", f.Name, f.Mutable, err)
		}
	}
}
