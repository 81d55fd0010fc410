package clients

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// curl plays the story over HTTP and JSON, by the program that people copy examples for.
type curl struct {
	base string // http://HOST:PORT/v1/projects/PROJECT/
	name string // projects/PROJECT/
}

// reply is what these tests look at of all answers.
type reply struct {
	resource
	MessageIDs       []string
	ReceivedMessages []struct {
		received
		DeliveryAttempt int
	}
	Topics, Subscriptions, Snapshots, Schemas json.RawMessage
	Bindings                                  []struct{ Role string }
	Permissions                               []string
	RevisionID                                string
	Error                                     struct {
		Code            int
		Message, Status string
	}
}

// call sends a request with a body, unless that is nil, and gives the answer and its status code.
func (c *curl) call(t *testing.T, method, path string, body any) (reply, int) {
	t.Helper()
	args := []string{"--silent", "--show-error", "--request", method, "--write-out", "\n%{http_code}", c.base + path}
	if body != nil {
		content, err := json.Marshal(body)
		must(t, err)
		file := t.TempDir() + "/body"
		must(t, os.WriteFile(file, content, 0o600))
		args = append(args, "--header", "Content-Type: application/json", "--data-binary", "@"+file)
	}
	output, err := run(t, patience, "", nil, "curl", args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, output)
	}
	content, number, _ := strings.Cut(strings.TrimSpace(output), "\n}\n")
	if number == "" { // an answer on one line
		at := strings.LastIndexByte(content, '\n')
		content, number = content[:at], content[at+1:]
	} else {
		content += "}"
	}
	code, err := strconv.Atoi(strings.TrimSpace(number))
	var r reply
	if err == nil {
		err = json.Unmarshal([]byte(content), &r)
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, output)
	}
	return r, code
}

// do is a call that must succeed.
func (c *curl) do(t *testing.T, method, path string, body any) reply {
	t.Helper()
	r, code := c.call(t, method, path, body)
	if code != http.StatusOK {
		t.Fatalf("%s %s: %d %+v", method, path, code, r.Error)
	}
	return r
}

// refused is a call that must fail, over HTTP and by its status.
func (c *curl) refused(t *testing.T, code int, status, method, path string, body any) {
	t.Helper()
	if r, got := c.call(t, method, path, body); got != code || r.Error.Code != code || r.Error.Status != status {
		t.Fatalf("%s %s: %d %+v, want %d %s", method, path, got, r.Error, code, status)
	}
}

type fields = map[string]any

func (c *curl) pair(t *testing.T, name string, more fields) {
	t.Helper()
	c.do(t, "PUT", "topics/"+name, nil)
	s := fields{"topic": c.name + "topics/" + name}
	for key, value := range more {
		s[key] = value
	}
	c.do(t, "PUT", "subscriptions/"+name, s)
}

func message(text string, more fields) fields {
	m := fields{"data": base64.StdEncoding.EncodeToString([]byte(text))}
	for key, value := range more {
		m[key] = value
	}
	return m
}

func (c *curl) send(t *testing.T, name string, texts ...string) {
	t.Helper()
	var all []fields
	for _, text := range texts {
		all = append(all, message(text, nil))
	}
	c.do(t, "POST", "topics/"+name+":publish", fields{"messages": all})
}

func (c *curl) pull(t *testing.T, name string, n int) []received {
	t.Helper()
	var got []received
	for end := time.Now().Add(patience); len(got) < n; {
		if time.Now().After(end) {
			t.Fatalf("only %d of %d messages came", len(got), n)
		}
		for _, r := range c.do(t, "POST", "subscriptions/"+name+":pull", fields{"maxMessages": n - len(got)}).ReceivedMessages {
			got = append(got, r.received)
		}
	}
	return got
}

func (c *curl) nothing(t *testing.T, name string) {
	t.Helper()
	if r := c.do(t, "POST", "subscriptions/"+name+":pull", fields{"maxMessages": 10, "returnImmediately": true}); len(r.ReceivedMessages) > 0 {
		t.Fatalf("left: %+v", r.ReceivedMessages)
	}
}

func ackIDs(got []received) []string {
	var all []string
	for _, r := range got {
		all = append(all, r.AckID)
	}
	return all
}

func (c *curl) ack(t *testing.T, name string, got []received) {
	t.Helper()
	c.do(t, "POST", "subscriptions/"+name+":acknowledge", fields{"ackIds": ackIDs(got)})
}

func (c *curl) nack(t *testing.T, name string, got []received) {
	t.Helper()
	c.do(t, "POST", "subscriptions/"+name+":modifyAckDeadline", fields{"ackIds": ackIDs(got), "ackDeadlineSeconds": 0})
}

func textsOf(t *testing.T, got []received) []string {
	t.Helper()
	var all []string
	for _, r := range got {
		data, err := base64.StdEncoding.DecodeString(r.Message.Data)
		must(t, err)
		all = append(all, string(data))
	}
	slices.Sort(all)
	return all
}

func TestCurl(t *testing.T) {
	needs(t, "curl")
	addr := address(t)
	t.Parallel()
	name := "projects/" + project(t, "curl") + "/"
	c := &curl{base: "http://" + addr + "/v1/" + name, name: name}
	steps := map[string]func(*testing.T){
		"create": c.create, "publish": c.publish, "receive": c.receive, "pull": c.pullStep, "update": c.update, "filter": c.filter, "seek": c.seek,
		"snapshot": c.snapshot, "schema": c.schema, "dead letter": c.deadLetter, "exactly once": c.exactlyOnce, "permissions": c.permissions,
		"delete": c.delete,
	}
	for _, step := range story {
		if !t.Run(step, steps[step]) {
			return
		}
	}
}

func (c *curl) create(t *testing.T) {
	topic := c.do(t, "PUT", "topics/orders", fields{"labels": fields{"team": "sales"}})
	if topic.Name != c.name+"topics/orders" || topic.Labels["team"] != "sales" {
		t.Errorf("created %+v", topic)
	}
	made := c.do(t, "PUT", "subscriptions/orders", fields{"topic": topic.Name, "enableMessageOrdering": true, "ackDeadlineSeconds": 20})
	if made.AckDeadlineSeconds != 20 || made.Topic != topic.Name {
		t.Errorf("created %+v", made)
	}
	c.refused(t, http.StatusConflict, "ALREADY_EXISTS", "PUT", "topics/orders", nil)
	c.refused(t, http.StatusBadRequest, "INVALID_ARGUMENT", "PUT", "topics/more", fields{"lables": fields{}})
	if listed := c.do(t, "GET", "topics?pageSize=10", nil); !strings.Contains(string(listed.Topics), topic.Name) {
		t.Errorf("listed %s", listed.Topics)
	}
	if attached := c.do(t, "GET", "topics/orders/subscriptions", nil); !strings.Contains(string(attached.Subscriptions), made.Name) {
		t.Errorf("attached %s", attached.Subscriptions)
	}
}

func (c *curl) publish(t *testing.T) {
	different := make(map[string]bool)
	for key := range keys { // a request has one key at most
		var all []fields
		for n := key; n < messages; n += keys {
			m := message(fmt.Sprintf("message %d", n), fields{"attributes": fields{"number": strconv.Itoa(n), "color": "red"}})
			if key != 7 {
				m["orderingKey"] = "key-" + strconv.Itoa(key)
			}
			all = append(all, m)
		}
		for _, id := range c.do(t, "POST", "topics/orders:publish", fields{"messages": all}).MessageIDs {
			different[id] = true
		}
	}
	if len(different) != messages {
		t.Errorf("%d different ids", len(different))
	}
}

// receive pulls, since a stream has no form in HTTP and JSON.
func (c *curl) receive(t *testing.T) {
	nacked, acked, last := make(map[int]bool), make(map[int]int), make(map[int]int)
	for end := time.Now().Add(patience); len(acked) < messages; {
		if time.Now().After(end) {
			t.Fatalf("only %d messages came", len(acked))
		}
		var done, back []received
		for _, r := range c.do(t, "POST", "subscriptions/orders:pull", fields{"maxMessages": 500}).ReceivedMessages {
			number, err := strconv.Atoi(r.Message.Attributes["number"])
			must(t, err)
			if number%50 == 7 && !nacked[number] {
				nacked[number] = true
				back = append(back, r.received)
				continue
			}
			acked[number]++
			if before, some := last[number%keys]; some && number%keys != 7 && number <= before {
				t.Errorf("message %d after %d", number, before)
			}
			last[number%keys] = number
			done = append(done, r.received)
		}
		if len(done) > 0 {
			c.ack(t, "orders", done)
		}
		if len(back) > 0 {
			c.nack(t, "orders", back)
		}
	}
	for number, times := range acked {
		if times != 1 {
			t.Errorf("message %d was acknowledged %d times", number, times)
		}
	}
	if len(nacked) != messages/50 {
		t.Errorf("%d were given back", len(nacked))
	}
	c.nothing(t, "orders")
}

func (c *curl) pullStep(t *testing.T) {
	c.pair(t, "pulled", nil)
	c.send(t, "pulled", "a", "b", "c", "d")
	first := c.pull(t, "pulled", 4)
	same(t, textsOf(t, first), []string{"a", "b", "c", "d"})
	c.ack(t, "pulled", first[:2])
	c.nack(t, "pulled", first[2:])
	again := c.pull(t, "pulled", 2)
	same(t, textsOf(t, again), textsOf(t, first[2:]))
	c.ack(t, "pulled", again)
	c.nothing(t, "pulled")
}

// update sends masks in the body, as most do, and as a query parameter in camelCase with a resource without a name, as Terraform does.
func (c *curl) update(t *testing.T) {
	changed := c.do(t, "PATCH", "subscriptions/pulled", fields{
		"subscription": fields{"ackDeadlineSeconds": 77, "labels": fields{"a": "b"}, "expirationPolicy": fields{}},
		"updateMask":   "ackDeadlineSeconds,labels,expirationPolicy",
	})
	if changed.AckDeadlineSeconds != 77 || changed.Labels["a"] != "b" || changed.ExpirationPolicy == nil || changed.ExpirationPolicy.TTL != "" {
		t.Errorf("updated %+v", changed)
	}
	topic := c.do(t, "PATCH", "topics/pulled?updateMask=labels,messageRetentionDuration",
		fields{"topic": fields{"labels": fields{"c": "d"}, "messageRetentionDuration": "3600s"}})
	if topic.MessageRetentionDuration != "3600s" || topic.Labels["c"] != "d" {
		t.Errorf("updated %+v", topic)
	}
	c.refused(t, http.StatusBadRequest, "INVALID_ARGUMENT", "PATCH", "subscriptions/pulled?updateMask=enableMessageOrdering", fields{"subscription": fields{}})
}

func (c *curl) filter(t *testing.T) {
	c.pair(t, "filtered", fields{"filter": `attributes.color = "red" AND NOT hasPrefix(attributes.size, "x")`})
	var all []fields
	for _, each := range [][2]string{{"red", "xl"}, {"blue", "s"}, {"red", "s"}} {
		all = append(all, message(each[0]+" "+each[1], fields{"attributes": fields{"color": each[0], "size": each[1]}}))
	}
	c.do(t, "POST", "topics/filtered:publish", fields{"messages": all})
	got := c.pull(t, "filtered", 1)
	same(t, textsOf(t, got), []string{"red s"})
	c.ack(t, "filtered", got)
	c.nothing(t, "filtered")
}

func (c *curl) seek(t *testing.T) {
	c.pair(t, "sought", fields{"retainAckedMessages": true})
	c.send(t, "sought", "a", "b", "c")
	c.ack(t, "sought", c.pull(t, "sought", 3))
	c.do(t, "POST", "subscriptions/sought:seek", fields{"time": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)})
	same(t, textsOf(t, c.pull(t, "sought", 3)), []string{"a", "b", "c"})
	c.do(t, "POST", "subscriptions/sought:seek", fields{"time": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	c.nothing(t, "sought")
}

func (c *curl) snapshot(t *testing.T) {
	c.pair(t, "frozen", nil)
	c.send(t, "frozen", "a", "b")
	made := c.do(t, "PUT", "snapshots/frozen", fields{"subscription": c.name + "subscriptions/frozen", "labels": fields{"a": "b"}})
	if made.Topic != c.name+"topics/frozen" || made.Labels["a"] != "b" {
		t.Errorf("created %+v", made)
	}
	c.ack(t, "frozen", c.pull(t, "frozen", 2))
	c.do(t, "POST", "subscriptions/frozen:seek", fields{"snapshot": made.Name})
	got := c.pull(t, "frozen", 2)
	same(t, textsOf(t, got), []string{"a", "b"})
	c.ack(t, "frozen", got)
	changed := c.do(t, "PATCH", "snapshots/frozen", fields{"snapshot": fields{"labels": fields{"c": "d"}}, "updateMask": "labels"})
	if len(changed.Labels) != 1 || changed.Labels["c"] != "d" {
		t.Errorf("updated %+v", changed)
	}
	c.do(t, "DELETE", "snapshots/frozen", nil)
	c.refused(t, http.StatusNotFound, "NOT_FOUND", "GET", "snapshots/frozen", nil)
}

func (c *curl) schema(t *testing.T) {
	definition := `{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}`
	made := c.do(t, "POST", "schemas?schemaId=order", fields{"type": "AVRO", "definition": definition})
	if made.Name != c.name+"schemas/order" || made.RevisionID == "" {
		t.Errorf("created %+v", made)
	}
	c.do(t, "PUT", "topics/checked", fields{"schemaSettings": fields{"schema": made.Name, "encoding": "JSON"}})
	c.do(t, "PUT", "subscriptions/checked", fields{"topic": c.name + "topics/checked"})
	c.send(t, "checked", `{"id": "17"}`)
	c.refused(t, http.StatusBadRequest, "INVALID_ARGUMENT", "POST", "topics/checked:publish", fields{"messages": []fields{message(`{"id": 17}`, nil)}})
	got := c.pull(t, "checked", 1)
	if encoding := got[0].Message.Attributes["googclient_schemaencoding"]; encoding != "JSON" {
		t.Errorf("encoding %q", encoding)
	}
	c.ack(t, "checked", got)
	if listed := c.do(t, "GET", "schemas?view=FULL", nil); !strings.Contains(string(listed.Schemas), made.Name) {
		t.Errorf("listed %s", listed.Schemas)
	}
	c.refused(t, http.StatusBadRequest, "INVALID_ARGUMENT", "POST", "schemas:validate", fields{"schema": fields{"type": "AVRO", "definition": "{"}})
	c.do(t, "DELETE", "topics/checked", nil)
	c.do(t, "DELETE", "schemas/order", nil)
	c.refused(t, http.StatusNotFound, "NOT_FOUND", "GET", "schemas/order", nil)
}

func (c *curl) deadLetter(t *testing.T) {
	c.pair(t, "dead", nil)
	c.pair(t, "alive", fields{"deadLetterPolicy": fields{"deadLetterTopic": c.name + "topics/dead", "maxDeliveryAttempts": 5}})
	c.send(t, "alive", "poison")
	for attempt := 1; attempt <= 5; attempt++ {
		r := c.do(t, "POST", "subscriptions/alive:pull", fields{"maxMessages": 1})
		if len(r.ReceivedMessages) != 1 || r.ReceivedMessages[0].DeliveryAttempt != attempt {
			t.Fatalf("attempt %d: %+v", attempt, r.ReceivedMessages)
		}
		c.nack(t, "alive", []received{r.ReceivedMessages[0].received})
	}
	moved := c.pull(t, "dead", 1)
	same(t, textsOf(t, moved), []string{"poison"})
	if a := moved[0].Message.Attributes; a["CloudPubSubDeadLetterSourceSubscription"] != "alive" || a["CloudPubSubDeadLetterSourceDeliveryCount"] != "5" {
		t.Errorf("attributes %v", a)
	}
	c.ack(t, "dead", moved)
	c.nothing(t, "alive")
}

func (c *curl) exactlyOnce(t *testing.T) {
	c.pair(t, "once", fields{"enableExactlyOnceDelivery": true})
	c.send(t, "once", "late")
	old := c.pull(t, "once", 1)
	c.nack(t, "once", old)
	fresh := c.pull(t, "once", 1)
	c.refused(t, http.StatusBadRequest, "INVALID_ARGUMENT", "POST", "subscriptions/once:acknowledge", fields{"ackIds": ackIDs(old)})
	c.ack(t, "once", fresh)
	c.nothing(t, "once")
}

func (c *curl) permissions(t *testing.T) {
	if before := c.do(t, "GET", "topics/orders:getIamPolicy", nil); len(before.Bindings) != 0 {
		t.Errorf("a new topic has %+v", before)
	}
	c.do(t, "POST", "topics/orders:setIamPolicy", fields{"policy": fields{
		"bindings": []fields{{"role": "roles/pubsub.publisher", "members": []string{"user:a@example.com"}}}}})
	if after := c.do(t, "GET", "topics/orders:getIamPolicy?options.requestedPolicyVersion=3", nil); len(after.Bindings) != 1 || after.Bindings[0].Role != "roles/pubsub.publisher" {
		t.Errorf("stored %+v", after)
	}
	held := c.do(t, "POST", "topics/orders:testIamPermissions", fields{"permissions": []string{"pubsub.topics.get", "pubsub.topics.publish"}})
	if len(held.Permissions) != 2 {
		t.Errorf("held %v", held.Permissions)
	}
}

func (c *curl) delete(t *testing.T) {
	for _, collection := range []string{"subscriptions", "topics"} {
		for _, name := range []string{"orders", "pulled", "filtered", "sought", "dead", "alive", "once"} {
			c.do(t, "DELETE", collection+"/"+name, nil)
		}
		c.refused(t, http.StatusNotFound, "NOT_FOUND", "GET", collection+"/orders", nil)
	}
}
