package check

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A script is a history that a person can write: one event a line,
//
//	MILLISECONDS PROCESS OPERATION PHASE NAME=VALUE...
//
// with defaults for all that a case does not care about: topic t, subscription s, message ids and hashes made from the payload, leases of
// 10 s. "subscribe s" opens every script, and a drain after 900 s closes it, unless the script does so itself.
func script(t *testing.T, text string) []Event {
	t.Helper()
	var events []Event
	if !strings.Contains(text, " subscribe ok") {
		text = "0 admin subscribe ok\n" + text
	}
	if !strings.Contains(text, " drain ") {
		text += "\n900000 admin drain ok"
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 4 {
			t.Fatalf("line %q: too short", lines.Text())
		}
		e := Event{TimeNS: milliseconds(t, fields[0]), Process: fields[1], Op: Op(fields[2]), Phase: Phase(fields[3])}
		for _, field := range fields[4:] {
			name, value, _ := strings.Cut(field, "=")
			set(t, &e, name, value)
		}
		complete(&e)
		events = append(events, e)
	}
	return events
}

func milliseconds(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("milliseconds: %v", err)
	}
	return n * 1e6
}

func set(t *testing.T, e *Event, name, value string) {
	t.Helper()
	config := func() *Config {
		if e.Config == nil {
			e.Config = new(Config)
		}
		return e.Config
	}
	limits := func() *Limits {
		if e.Limits == nil {
			e.Limits = new(Limits)
		}
		return e.Limits
	}
	switch name {
	case "topic":
		e.Topic = value
	case "sub":
		e.Subscription = value
	case "msg":
		e.Payload = value
	case "key":
		e.Key = value
	case "class":
		e.Class = value
	case "id":
		e.MessageID = value
	case "sha":
		e.SHA256 = value
	case "ack":
		e.AckID = value
	case "call":
		e.Call = milliseconds(t, value)
	case "bytes":
		e.Bytes = milliseconds(t, value) / 1e6
	case "pt":
		e.PublishTimeNS = milliseconds(t, value)
	case "lease":
		e.DeadlineNS = milliseconds(t, value)
	case "attempt":
		e.Attempt = int(milliseconds(t, value) / 1e6)
	case "ordered":
		config().Ordered = true
	case "once":
		config().ExactlyOnce = true
	case "retention":
		config().RetentionNS = milliseconds(t, value)
	case "retained":
		config().Retained = true
	case "backoff":
		config().Backoff = true
	case "only":
		config().Class = value
	case "letters":
		config().DeadLetterTopic, config().AttemptsMax = value, 5
	case "messages":
		limits().Messages = milliseconds(t, value) / 1e6
	case "room":
		limits().Bytes = milliseconds(t, value) / 1e6
	default:
		t.Fatalf("field %q is not known", name)
	}
}

// complete fills in what the script left out.
func complete(e *Event) {
	if e.Topic == "" && (e.Op == OpPublish || e.Op == OpSubscribe) {
		e.Topic = "t"
	}
	if e.Subscription == "" {
		e.Subscription = "s"
	}
	if e.Op == OpPublish || e.Op == OpReceive {
		if e.SHA256 == "" {
			e.SHA256 = "hash of " + e.Payload
		}
		if e.MessageID == "" && (e.Op == OpReceive || e.Phase == PhaseOK) {
			e.MessageID = "id of " + e.Payload
		}
	}
	if e.Op == OpPublish && e.Call == 0 {
		h := fnv.New32a()
		fmt.Fprint(h, e.Payload)
		e.Call = int64(h.Sum32())
	}
	if e.Op == OpReceive && e.DeadlineNS == 0 {
		e.DeadlineNS = 10_000e6
	}
	if e.Op == OpReceive && e.PublishTimeNS == 0 {
		e.PublishTimeNS = 1
	}
}

// verdict is a case: the rules that a script breaks, and no others.
type verdict struct {
	name   string
	script string
	broken []string
}

func (v verdict) check(t *testing.T) {
	t.Helper()
	report := Judge(NewHistory(script(t, v.script)), Options{})
	var broken []string
	for _, found := range append(report.Voids, report.Violations...) {
		if !slices.Contains(broken, found.Rule) {
			broken = append(broken, found.Rule)
		}
	}
	if !slices.Equal(broken, v.broken) {
		var b strings.Builder
		if err := report.Write(&b); err != nil {
			t.Fatal(err)
		}
		t.Errorf("broken rules %q, want %q\n%s", broken, v.broken, b.String())
	}
}

func judgeAll(t *testing.T, cases []verdict) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

// Pieces that many scripts begin with.
const (
	publishA = `
		10 p publish invoke msg=a
		20 p publish ok msg=a`
	publishB = `
		30 p publish invoke msg=b
		40 p publish ok msg=b`
	openStream = `
		5 st stream invoke`
	receiveA = `
		50 st receive ok msg=a ack=a1`
	ackA = `
		60 st ack invoke ack=a1
		70 st ack ok ack=a1`
)
