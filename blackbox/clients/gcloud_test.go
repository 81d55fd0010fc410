package clients

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gcloud is Google's command line, on a project and a configuration of its own. Each run of it takes a second or so.
type gcloud struct {
	t    *testing.T
	addr string
	env  []string
	name string // of the project
}

const gcloudTime = time.Minute

// run runs a command that must work and gives what it printed.
func (g *gcloud) run(args ...string) string {
	g.t.Helper()
	output, err := run(g.t, gcloudTime, "", g.env, "gcloud", append([]string{"pubsub"}, args...)...)
	if err != nil {
		g.t.Fatalf("gcloud pubsub %q: %v\n%s", args, err, output)
	}
	return output
}

// refused runs a command that must fail, and say why.
func (g *gcloud) refused(why string, args ...string) {
	g.t.Helper()
	output, err := run(g.t, gcloudTime, "", g.env, "gcloud", append([]string{"pubsub"}, args...)...)
	if err == nil || !strings.Contains(output, why) {
		g.t.Fatalf("gcloud pubsub %q: %v, not refused with %q\n%s", args, err, why, output)
	}
}

// json runs a command that prints JSON.
func (g *gcloud) json(into any, args ...string) {
	g.t.Helper()
	output := g.run(append(args, "--format=json", "--verbosity=error")...)
	if err := json.Unmarshal([]byte(output), into); err != nil {
		g.t.Fatalf("gcloud pubsub %q: %v\n%s", args, err, output)
	}
}

// resource is what this test looks at of the JSON of topics, subscriptions, snapshots and schemas.
type resource struct {
	Name, Topic, Type, State string
	Labels                   map[string]string
	AckDeadlineSeconds       int
	Detached                 bool
	ExpirationPolicy         *struct{ TTL string }
	MessageRetentionDuration string
	DeadLetterPolicy         struct{ MaxDeliveryAttempts int }
	RetryPolicy              struct{ MinimumBackoff string }
	PushConfig               struct{ PushEndpoint string }
}

func (g *gcloud) describe(collection, id string) resource {
	g.t.Helper()
	var r resource
	g.json(&r, collection, "describe", id)
	return r
}

// list gives the names in a collection.
func (g *gcloud) list(collection string) string {
	g.t.Helper()
	return strings.Join(strings.Fields(g.run(collection, "list", "--format=value(name)")), " ")
}

// received is a message that gcloud pulled.
type received struct {
	AckID   string
	Message struct {
		Data       string
		Attributes map[string]string
	}
}

func (g *gcloud) pull(id string, more ...string) []received {
	g.t.Helper()
	var got []received
	g.json(&got, append([]string{"subscriptions", "pull", id, "--limit=10"}, more...)...)
	return got
}

// pulled pulls and gives the texts.
func (g *gcloud) pulled(id string, more ...string) string {
	g.t.Helper()
	var texts []string
	for _, r := range g.pull(id, more...) {
		data, err := base64.StdEncoding.DecodeString(r.Message.Data)
		if err != nil {
			g.t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	return strings.Join(texts, " ")
}

// nothing fails when something is left. It asks curl, since gcloud waits for messages.
func (g *gcloud) nothing(id string) {
	g.t.Helper()
	c := &curl{base: "http://" + g.addr + "/v1/projects/" + g.name + "/"}
	c.nothing(g.t, id)
}

func (g *gcloud) want(what, got, want string) {
	g.t.Helper()
	if got != want {
		g.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestGcloud(t *testing.T) {
	if _, err := exec.LookPath("gcloud"); err != nil { // comes from no registry, so that CI may be without it
		t.Skip("this machine has no gcloud")
	}
	needs(t, "curl")
	addr := address(t)
	t.Parallel()
	g := &gcloud{t: t, addr: addr, name: project(t, "gcloud")}
	g.env = []string{
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://" + addr + "/", "CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true", "CLOUDSDK_CORE_PROJECT=" + g.name,
		"CLOUDSDK_CONFIG=" + t.TempDir(), "CLOUDSDK_CORE_DISABLE_PROMPTS=1", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK=true",
		"CLOUDSDK_CORE_DISABLE_USAGE_REPORTING=true",
	}
	for _, step := range []struct {
		name string
		do   func(*gcloud)
	}{
		{"topics", (*gcloud).topics}, {"subscriptions", (*gcloud).subscriptions}, {"messages", (*gcloud).messages}, {"seek", (*gcloud).seek}, {"snapshots", (*gcloud).snapshots}, {"schemas", (*gcloud).schemas},
		{"permissions", (*gcloud).permissions}, {"detach", (*gcloud).detach}, {"delete", (*gcloud).delete},
	} {
		if !t.Run(step.name, func(t *testing.T) { inner := *g; inner.t = t; step.do(&inner) }) {
			return
		}
	}
}

func (g *gcloud) full(collection, id string) string {
	return "projects/" + g.name + "/" + collection + "/" + id
}

func (g *gcloud) topics() {
	g.run("topics", "create", "orders", "--labels=team=sales")
	g.run("topics", "create", "dead")
	g.refused("Resource already exists in the project (resource=orders).", "topics", "create", "orders")
	g.run("topics", "update", "orders", "--update-labels=a=b", "--remove-labels=team", "--message-retention-duration=1d")
	got := g.describe("topics", "orders")
	g.want("name", got.Name, g.full("topics", "orders"))
	g.want("retention", got.MessageRetentionDuration, "86400s")
	if len(got.Labels) != 1 || got.Labels["a"] != "b" {
		g.t.Errorf("labels %v", got.Labels)
	}
	g.run("topics", "update", "orders", "--clear-message-retention-duration")
	g.want("retention after it was cleared", g.describe("topics", "orders").MessageRetentionDuration, "")
	g.want("topics", g.list("topics"), g.full("topics", "dead")+" "+g.full("topics", "orders"))
	g.refused("Resource not found (resource=missing).", "topics", "describe", "missing")
}

func (g *gcloud) subscriptions() {
	g.run("subscriptions", "create", "billing", "--topic=orders", "--ack-deadline=20", "--expiration-period=never", "--labels=x=y", "--retain-acked-messages")
	got := g.describe("subscriptions", "billing")
	if got.AckDeadlineSeconds != 20 || got.ExpirationPolicy == nil || got.ExpirationPolicy.TTL != "" || got.Labels["x"] != "y" {
		g.t.Errorf("created %+v", got)
	}
	g.run("subscriptions", "update", "billing", "--ack-deadline=30", "--update-labels=z=w", "--expiration-period=40d", "--message-retention-duration=2d",
		"--dead-letter-topic=dead", "--max-delivery-attempts=7", "--min-retry-delay=1s", "--max-retry-delay=100s")
	got = g.describe("subscriptions", "billing")
	if got.AckDeadlineSeconds != 30 || got.ExpirationPolicy.TTL != "3456000s" || got.MessageRetentionDuration != "172800s" || len(got.Labels) != 2 ||
		got.DeadLetterPolicy.MaxDeliveryAttempts != 7 || got.RetryPolicy.MinimumBackoff != "1s" {
		g.t.Errorf("updated %+v", got)
	}
	g.run("subscriptions", "update", "billing", "--clear-dead-letter-policy", "--clear-retry-policy", "--clear-labels")
	g.run("subscriptions", "modify-push-config", "billing", "--push-endpoint=http://localhost:1/push")
	g.want("endpoint", g.describe("subscriptions", "billing").PushConfig.PushEndpoint, "http://localhost:1/push")
	g.run("subscriptions", "modify-push-config", "billing", "--push-endpoint=")
	g.want("subscriptions", g.list("subscriptions"), g.full("subscriptions", "billing"))
	attached := g.run("topics", "list-subscriptions", "orders")
	if !strings.Contains(attached, g.full("subscriptions", "billing")) {
		g.t.Errorf("attached: %s", attached)
	}
	g.refused("Resource not found (resource=missing).", "subscriptions", "create", "more", "--topic=missing")
}

func (g *gcloud) messages() {
	g.run("topics", "publish", "orders", "--message=first", "--attribute=color=red,size=xl")
	got := g.pull("billing")
	if len(got) != 1 || got[0].Message.Attributes["color"] != "red" || got[0].Message.Data != base64.StdEncoding.EncodeToString([]byte("first")) {
		g.t.Fatalf("pulled %+v", got)
	}
	g.run("subscriptions", "modify-message-ack-deadline", "billing", "--ack-ids="+got[0].AckID, "--ack-deadline=0")
	got = g.pull("billing")
	if len(got) != 1 {
		g.t.Fatalf("pulled %+v", got)
	}
	g.run("subscriptions", "ack", "billing", "--ack-ids="+got[0].AckID)
	g.run("topics", "publish", "orders", "--message=second")
	g.want("pulled", g.pulled("billing", "--auto-ack"), "second")
	g.nothing("billing")
}

func (g *gcloud) seek() {
	g.run("subscriptions", "seek", "billing", "--time="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	g.want("pulled after a seek to the past", g.pulled("billing", "--auto-ack"), "first second")
	g.run("subscriptions", "seek", "billing", "--time="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	g.nothing("billing")
}

func (g *gcloud) snapshots() {
	g.run("topics", "publish", "orders", "--message=third")
	g.run("snapshots", "create", "frozen", "--subscription=billing", "--labels=a=b")
	g.want("labels", g.describe("snapshots", "frozen").Labels["a"], "b")
	g.want("snapshots", g.list("snapshots"), g.full("snapshots", "frozen"))
	g.want("pulled", g.pulled("billing", "--auto-ack"), "third")
	g.run("subscriptions", "seek", "billing", "--snapshot=frozen")
	g.want("pulled after a seek to the snapshot", g.pulled("billing", "--auto-ack"), "third")
	g.run("snapshots", "delete", "frozen")
	g.want("snapshots", g.list("snapshots"), "")
}

func (g *gcloud) schemas() {
	const definition = `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}`
	g.run("schemas", "validate-schema", "--type=avro", "--definition="+definition)
	g.run("schemas", "create", "order", "--type=avro", "--definition="+definition)
	g.want("type", g.describe("schemas", "order").Type, "AVRO")
	g.run("schemas", "validate-message", "--message-encoding=json", `--message={"id": "1"}`, "--schema-name=order")
	g.run("topics", "create", "checked", "--schema=order", "--message-encoding=json")
	g.run("topics", "publish", "checked", `--message={"id": "1"}`)
	g.refused("INVALID_ARGUMENT", "topics", "publish", "checked", "--message=nothing of the kind")
	file := filepath.Join(g.t.TempDir(), "order.avsc")
	optional := strings.Replace(definition, "}]}", `}, {"name": "note", "type": ["null", "string"], "default": null}]}`, 1)
	if err := os.WriteFile(file, []byte(optional), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.run("schemas", "commit", "order", "--type=avro", "--definition-file="+file)
	revisions := strings.Fields(g.run("schemas", "list-revisions", "order", "--format=value(revisionId)"))
	if len(revisions) != 2 {
		g.t.Fatalf("revisions %v", revisions)
	}
	g.run("schemas", "rollback", "order", "--revision-id="+revisions[1])
	g.run("schemas", "delete-revision", "order@"+revisions[1])
	g.want("schemas", g.list("schemas"), "order") // gcloud shortens this one
	g.run("topics", "delete", "checked")
	g.run("schemas", "delete", "order")
	g.refused("NOT_FOUND", "schemas", "describe", "order")
}

func (g *gcloud) permissions() {
	g.run("topics", "add-iam-policy-binding", "orders", "--member=user:a@example.com", "--role=roles/pubsub.publisher")
	g.want("members", strings.TrimSpace(g.run("topics", "get-iam-policy", "orders", "--format=value(bindings[0].members[0])")), "user:a@example.com")
	g.run("topics", "remove-iam-policy-binding", "orders", "--member=user:a@example.com", "--role=roles/pubsub.publisher")
	g.want("members", strings.TrimSpace(g.run("topics", "get-iam-policy", "orders", "--format=value(bindings)")), "")
	g.run("subscriptions", "add-iam-policy-binding", "billing", "--member=user:a@example.com", "--role=roles/pubsub.subscriber")
}

func (g *gcloud) detach() {
	g.run("topics", "detach-subscription", "billing")
	if got := g.describe("subscriptions", "billing"); !got.Detached {
		g.t.Errorf("after it was detached: %+v", got)
	}
}

func (g *gcloud) delete() {
	g.run("subscriptions", "delete", "billing")
	g.run("topics", "delete", "orders", "dead")
	g.want("topics", g.list("topics"), "")
	g.want("subscriptions", g.list("subscriptions"), "")
	g.refused("Resource not found (resource=orders).", "topics", "delete", "orders")
}
