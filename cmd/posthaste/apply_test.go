package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

const declared = `topics:
  - orders
  - {name: events, labels: {team: sales}}
subscriptions:
  - {name: billing, topic: orders, ackDeadlineSeconds: 30}
`

func TestApplyCreatesThenFindsNothingToDo(t *testing.T) {
	f := newFake(t)
	f.run(t, declared, "apply", "-f", "-", "--dry-run").want(t, 5,
		"would create projects/p/topics/orders\nwould create projects/p/topics/events\nwould create projects/p/subscriptions/billing\n",
		"posthaste: 3 resources would be changed\n")
	if len(f.topics) != 0 {
		t.Fatal("a dry run created something")
	}
	f.run(t, declared, "apply", "-f", "-").want(t, 0,
		"created projects/p/topics/orders\ncreated projects/p/topics/events\ncreated projects/p/subscriptions/billing\n", "")
	f.run(t, declared, "apply", "-f", "-").want(t, 0,
		"unchanged projects/p/topics/orders\nunchanged projects/p/topics/events\nunchanged projects/p/subscriptions/billing\n", "")
	f.run(t, declared, "apply", "-f", "-", "--dry-run").want(t, 0,
		"unchanged projects/p/topics/orders\nunchanged projects/p/topics/events\nunchanged projects/p/subscriptions/billing\n", "")
	if got := f.subscriptions["projects/p/subscriptions/billing"]; got.AckDeadlineSeconds != 30 || got.Topic != "projects/p/topics/orders" {
		t.Errorf("stored %v", got)
	}
}

func TestApplyUpdatesOnlyWhatDiffers(t *testing.T) {
	f := newFake(t)
	f.run(t, declared, "apply", "-f", "-")
	f.topics["projects/p/topics/events"].Labels = nil
	f.topics["projects/p/topics/events"].MessageRetentionDuration = durationpb.New(600e9)
	f.run(t, declared, "apply", "-f", "-").want(t, 0,
		"unchanged projects/p/topics/orders\n"+
			`updated projects/p/topics/events: labels (unset) -> {"team":"sales"}; messageRetentionDuration "600s" -> (unset)`+"\n"+
			"unchanged projects/p/subscriptions/billing\n", "")
	if len(f.masks) != 1 || !slices.Equal(f.masks[0], []string{"labels", "message_retention_duration"}) {
		t.Errorf("masks %v", f.masks)
	}
}

func TestApplyReportsWhatCannotBeChanged(t *testing.T) {
	f := newFake(t)
	f.run(t, declared, "apply", "-f", "-")
	other := strings.Replace(declared, "topic: orders,", "topic: events, filter: 'attributes:a',", 1)
	const line = `conflict projects/p/subscriptions/billing: topic "projects/p/topics/orders" -> "projects/p/topics/events" (cannot be changed); ` +
		`filter (unset) -> "attributes:a" (cannot be changed)`
	f.run(t, other, "apply", "-f", "-").want(t, 1,
		"unchanged projects/p/topics/orders\nunchanged projects/p/topics/events\n"+line+"\n",
		"posthaste: 1 resource with what cannot be changed; delete it, or change the file\n")
	if f.subscriptions["projects/p/subscriptions/billing"].Topic != "projects/p/topics/orders" {
		t.Error("the subscription was changed")
	}
	got := f.run(t, other, "apply", "-f", "-", "--output", "json")
	if last := strings.Split(strings.TrimSpace(got.out), "\n"); !strings.HasPrefix(last[len(last)-1],
		`{"action":"conflict","kind":"subscription","name":"projects/p/subscriptions/billing","changes":[{"field":"topic","have":"\"projects/p/topics/orders\"","want":`) {
		t.Errorf("%+v", got)
	}
}

func TestApplyGoesOnAfterWhatAServerRefuses(t *testing.T) {
	f := newFake(t)
	f.refuse = "projects/p/topics/orders"
	got := f.run(t, declared, "apply", "-f", "-")
	got.want(t, 1, "created projects/p/topics/events\ncreated projects/p/subscriptions/billing\n",
		"posthaste: create projects/p/topics/orders: INVALID_ARGUMENT: refused\nposthaste: 1 resource failed; see above\n")
}

func TestPruneDeletesWhatTheFileDoesNotDeclare(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "old", "projects/other/topics/kept")
	f.run(t, declared, "apply", "-f", "-", "--dry-run", "--prune").want(t, 5,
		"would create projects/p/topics/orders\nwould create projects/p/topics/events\nwould create projects/p/subscriptions/billing\nwould delete projects/p/topics/old\n",
		"posthaste: 4 resources would be changed\n")
	f.run(t, declared, "apply", "-f", "-", "--prune")
	if f.topics["projects/p/topics/old"] != nil || f.topics["projects/other/topics/kept"] == nil || len(f.topics) != 3 {
		t.Errorf("left: %v", f.topics)
	}
}

func TestApplyRefusesAFileWithMistakesBeforeItCallsAnyone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(name, []byte("topics:\n  - name: orders\n    labls: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, nil, "", "apply", "--addr", "127.0.0.1:1", "-f", name).want(t, 2, "", "posthaste: "+name+":3: unknown field \"labls\"\n")
	runIn(t, nil, "", "apply").want(t, 2, "", "posthaste: --file is missing\n")
	if got := runIn(t, nil, "", "apply", "-f", name+".not"); got.code != 2 || !strings.Contains(got.errs, "read resources: open ") {
		t.Errorf("%+v", got)
	}
}

func TestExportInJSONIsReadByApply(t *testing.T) {
	f := newFake(t)
	f.run(t, declared, "apply", "-f", "-")
	exported := f.run(t, "", "export", "p", "--output", "json")
	exported.want(t, 0, `{"topics":[{"name":"projects/p/topics/events","labels":{"team":"sales"}},{"name":"projects/p/topics/orders"}],`+
		`"subscriptions":[{"name":"projects/p/subscriptions/billing","topic":"projects/p/topics/orders","ackDeadlineSeconds":30}]}`+"\n", "")
	empty := newFake(t)
	if got := empty.run(t, exported.out, "apply", "-f", "-"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if again := empty.run(t, "", "export", "p", "--output", "json"); again.out != exported.out {
		t.Errorf("exported again:\n%s", again.out)
	}
	f.subscriptions["projects/p/subscriptions/billing"].Detached = true
	got := f.run(t, "", "export", "p", "--output", "json")
	if want := "posthaste: not exported: projects/p/subscriptions/billing, which is detached\n"; got.errs != want || strings.Contains(got.out, "billing") {
		t.Errorf("%+v", got)
	}
	newFake(t).run(t, "", "export", "p", "--output", "json").want(t, 0, "{}\n", "")
}

func TestDumpHasNoJSON(t *testing.T) {
	runIn(t, nil, "", "dump", t.TempDir(), "--output", "json").want(t, 2, "", "posthaste: --output: dump prints words only, for people\n")
}

func TestExportWritesWhatApplyReads(t *testing.T) {
	f := newFake(t)
	f.run(t, declared, "apply", "-f", "-")
	f.run(t, "", "topic", "create", "projects/other/topics/more")
	exported := f.run(t, "", "export", "p", "other")
	exported.want(t, 0, `topics:
- name: projects/other/topics/more
- name: projects/p/topics/events
  labels:
    team: sales
- name: projects/p/topics/orders
subscriptions:
- name: projects/p/subscriptions/billing
  topic: projects/p/topics/orders
  ackDeadlineSeconds: 30
`, "")
	empty := newFake(t)
	if got := empty.run(t, exported.out, "apply", "-f", "-"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if again := empty.run(t, "", "export", "p", "other"); again.out != exported.out {
		t.Errorf("exported again:\n%s", again.out)
	}
	f.topics["projects/p/topics/orders"] = &pubsubpb.Topic{Name: "projects/p/topics/orders", State: pubsubpb.Topic_ACTIVE}
	if again := f.run(t, "", "export", "p", "other"); again.out != exported.out {
		t.Errorf("with an output field:\n%s", again.out)
	}
}
