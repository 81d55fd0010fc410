package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// served is a serve command that runs on a data directory of its own.
type served struct {
	outcome chan outcome
	address string
	stop    context.CancelFunc
	log     *bytes.Buffer // to be read after the end
}

// startServe runs the serve command until it announces itself, or ends.
func startServe(t *testing.T, data string, env map[string]string, args ...string) *served {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	log := new(bytes.Buffer)
	announced := &firstLine{got: make(chan string, 1)}
	a := &app{in: strings.NewReader(""), out: announced, errs: log, lookupEnv: lookupIn(env)}
	s := &served{outcome: make(chan outcome, 1), stop: stop, log: log}
	go func() {
		code := a.execute(ctx, append([]string{"serve", "--data", data, "--segment-size", "16MiB", "--tail-memory", "1MiB"}, args...))
		s.outcome <- outcome{code: code, errs: log.String()}
	}()
	select {
	case line := <-announced.got:
		_, s.address, _ = strings.Cut(strings.TrimSpace(line), "PUBSUB_EMULATOR_HOST=")
		t.Cleanup(func() { s.end(t) })
	case ended := <-s.outcome:
		s.outcome <- ended
	case <-time.After(patience):
		t.Fatal("serve neither announced itself nor ended")
	}
	return s
}

// end stops the server and says how it ended.
func (s *served) end(t *testing.T) outcome {
	t.Helper()
	s.stop()
	select {
	case ended := <-s.outcome:
		s.outcome <- ended
		return ended
	case <-time.After(patience):
		t.Fatal("serve does not end")
		return outcome{}
	}
}

// firstLine is a writer whose first line a test waits for.
type firstLine struct{ got chan string }

func (f *firstLine) Write(line []byte) (int, error) {
	select {
	case f.got <- string(line):
	default:
	}
	return len(line), nil
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "resources.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestServeHasWhatIsDeclaredBeforeItTakesCalls(t *testing.T) {
	data := t.TempDir()
	env := map[string]string{"PUBSUB_PROJECT1": "other,news:reader:pushed+web#8080,news", "PUBSUB_PROJECT2": "p,orders:extra"}
	s := startServe(t, data, env, "--listen", "127.0.0.1:0", "--project", "p", "--resources", file(t, declared))
	const want = `topics:
- name: projects/other/topics/news
- name: projects/p/topics/events
  labels:
    team: sales
- name: projects/p/topics/orders
subscriptions:
- name: projects/other/subscriptions/pushed
  topic: projects/other/topics/news
  pushConfig:
    pushEndpoint: http://web:8080
- name: projects/other/subscriptions/reader
  topic: projects/other/topics/news
- name: projects/p/subscriptions/billing
  topic: projects/p/topics/orders
  ackDeadlineSeconds: 30
- name: projects/p/subscriptions/extra
  topic: projects/p/topics/orders
`
	exported := runIn(t, nil, "", "export", "--addr", s.address, "p", "other")
	exported.want(t, 0, want, "")

	// What was changed since is what the file says again after a restart, but what only a variable names stays.
	runIn(t, nil, "", "topic", "update", "projects/p/topics/events", "--addr", s.address, "--label", "team=none")
	runIn(t, nil, "", "topic", "update", "projects/other/topics/news", "--addr", s.address, "--label", "kept=yes")
	s.end(t)
	s = startServe(t, data, env, "--listen", "127.0.0.1:0", "--project", "p", "--resources", file(t, declared))
	again := runIn(t, nil, "", "export", "--addr", s.address, "p", "other")
	again.want(t, 0, strings.Replace(want, "topics/news\n", "topics/news\n  labels:\n    kept: yes\n", 1), "")
	if got := s.end(t); !strings.Contains(got.errs, `labels {\"team\":\"none\"} -> {\"team\":\"sales\"}`) {
		t.Errorf("the log does not tell of the update:\n%s", got.errs)
	}

	// An empty broker becomes the same by way of the file that was exported.
	empty := startServe(t, t.TempDir(), nil, "--listen", "127.0.0.1:0")
	if got := runIn(t, nil, exported.out, "apply", "--addr", empty.address, "-f", "-"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	runIn(t, nil, "", "export", "--addr", empty.address, "p", "other").want(t, 0, want, "")
}

func TestSchemasAreDeclaredWithTheTopicsThatUseThem(t *testing.T) {
	const text = `schemas:
- name: projects/p/schemas/order
  type: AVRO
  definition: |
    {"type": "record", "name": "Order",
     "fields": [{"name": "id", "type": "string"}]}
topics:
- name: projects/p/topics/orders
  schemaSettings:
    schema: projects/p/schemas/order
    encoding: JSON
`
	data := t.TempDir()
	s := startServe(t, data, nil, "--listen", "127.0.0.1:0", "--resources", file(t, text))
	runIn(t, nil, "", "export", "p", "--addr", s.address).want(t, 0, text, "")
	runIn(t, nil, text, "apply", "-f", "-", "--addr", s.address).want(t, 0, "unchanged projects/p/schemas/order\nunchanged projects/p/topics/orders\n", "")
	changed := strings.Replace(text, `}]}`, `}, {"name": "note", "type": "string", "default": ""}]}`, 1)
	got := runIn(t, nil, changed, "apply", "-f", "-", "--addr", s.address)
	if got.code != 0 || !strings.HasPrefix(got.out, "updated projects/p/schemas/order: definition ") {
		t.Errorf("%+v", got)
	}
	runIn(t, nil, "", "export", "p", "--addr", s.address).want(t, 0, changed, "")
	if got := runIn(t, nil, "topics: []\nproject: p\n", "apply", "-f", "-", "--prune", "--addr", s.address); got.code != 0 {
		t.Errorf("%+v", got)
	}
	runIn(t, nil, "", "export", "p", "--addr", s.address).want(t, 0, "", "")
}

func TestServeKeepsAndNamesWhatItCannotChange(t *testing.T) {
	data := t.TempDir()
	s := startServe(t, data, nil, "--listen", "127.0.0.1:0", "--project", "p", "--resources", file(t, declared))
	s.end(t)
	s = startServe(t, data, nil, "--listen", "127.0.0.1:0", "--project", "p", "--resources", file(t, strings.Replace(declared, "topic: orders,", "topic: orders, filter: 'attributes:a',", 1)))
	runIn(t, nil, "", "export", "--addr", s.address, "p")
	got := s.end(t)
	if got.code != 0 || !strings.Contains(got.errs, "level=WARN") || !strings.Contains(got.errs, `filter (unset) -> \"attributes:a\" (cannot be changed)`) {
		t.Errorf("%+v", got)
	}
}

func TestServeEndsWhereADeclarationIsWrongOrRefused(t *testing.T) {
	for _, c := range []struct {
		name, resources, want string
		env                   map[string]string
		code                  int
	}{
		{"mistake in the file", "topics: [{name: orders, lables: {}}]", `:1: unknown field "lables"`, nil, 2},
		{"mistake in a variable", "", `PUBSUB_PROJECT1: "" is no project id`, map[string]string{"PUBSUB_PROJECT1": ",x"}, 2},
		{"refused by the broker", "subscriptions: [{name: billing, topic: missing}]",
			"resources at the start: create projects/posthaste/subscriptions/billing: NOT_FOUND: Resource not found (resource=missing).", nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServe(t, t.TempDir(), c.env, "--listen", "127.0.0.1:0", "--resources", file(t, c.resources))
			if s.address != "" {
				t.Fatal("it serves")
			}
			if got := <-s.outcome; got.code != c.code || !strings.Contains(got.errs, c.want) {
				t.Errorf("%+v", got)
			}
		})
	}
	runIn(t, nil, "", "serve", "--resources", "missing.yaml").want(t, 2, "", "posthaste: read resources: open missing.yaml: no such file or directory\n")
}
