package check

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Options are the tolerances of a judgement. They exist since a client sees an event later than the broker does; the zero value of a
// field means the default that is named.
type Options struct {
	// Slack is how long a message or a call may be under way between client and broker: default 500 ms.
	Slack time.Duration
	// RedeliverWithin bounds the time from the end of a lease to the next delivery: default 1 s.
	RedeliverWithin time.Duration
	// AckSettle is how long an acknowledgement without an answer may take to have its effect: default 1 s.
	AckSettle time.Duration
	// AliveWithin bounds the time from a fault's end to the first accepted publish and the first delivery: default 10 s.
	AliveWithin time.Duration
	// Faults is how many faults the run must contain: default 0.
	Faults int
	// Bitten is the share of faults, 0 to 1, during which a client must have lost a call or a stream: default 0.5. Below 0 no fault need
	// hit anything, as when they are meant for a broker at rest.
	Bitten float64
}

func (o Options) withDefaults() Options {
	for _, field := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&o.Slack, 500 * time.Millisecond},
		{&o.RedeliverWithin, time.Second},
		{&o.AckSettle, time.Second},
		{&o.AliveWithin, 10 * time.Second},
	} {
		if *field.value == 0 {
			*field.value = field.unset
		}
	}
	if o.Bitten == 0 {
		o.Bitten = 0.5
	}
	return o
}

// Violation is one breach of a rule, with the events that show it.
type Violation struct {
	Rule   string
	Reason string
	Events []Event
}

// violation builds one without its rule, which Judge fills in.
func violation(reason string, events ...*Event) Violation {
	v := Violation{Reason: reason}
	for _, e := range events {
		if e != nil {
			v.Events = append(v.Events, *e)
		}
	}
	return v
}

// violationf is violation with a formatted reason and no events.
func violationf(format string, args ...any) Violation {
	return violation(fmt.Sprintf(format, args...))
}

// Rule finds the breaches of one promise.
type Rule struct {
	Name    string
	Promise string // one sentence
	Void    bool   // a breach says that the run proves nothing, not that the broker failed
	Judge   func(*History, Options) []Violation
}

// Rules are all there are, in the order in which a reader wants their verdicts.
func Rules() []Rule {
	return []Rule{
		{"history", "the history is well formed and ends with a finished drain", true, judgeHistory},
		{"faults", "the faults that were injected hit something", true, judgeFaults},
		{"lost", "every accepted message reaches every subscription that wants it, until it is acknowledged", false, judgeLost},
		{"phantom", "nothing is delivered that was not published, or whose publish was refused", false, judgePhantom},
		{"altered", "data, attributes and ordering key arrive as they were sent", false, judgeAltered},
		{"identity", "message ids are unique in a topic and the same for every delivery; ack ids are never used twice", false, judgeIdentity},
		{"publish time", "publish times never fall within a topic", false, judgePublishTime},
		{"isolation", "a subscription gets messages of its own topic and filter only", false, judgeIsolation},
		{"acked", "an acknowledged message does not come again", false, judgeAcked},
		{"early", "no message comes again before its deadline", false, judgeEarly},
		{"late", "a message that was not acknowledged comes again soon after its deadline", false, judgeLate},
		{"flow control", "a stream never holds more than its limits", false, judgeFlow},
		{"order", "messages of one ordering key arrive in the order in which they were accepted, redeliveries included", false, judgeOrder},
		{"exactly once", "at most one ack id of a message is valid, and a confirmed acknowledgement is final", false, judgeOnce},
		{"seek", "after a seek to a time, what was published before it does not come, and what is kept from then on does", false, judgeSeek},
		{"retention", "a message that has outlived its subscription's retention does not come", false, judgeRetention},
		{"attempts", "delivery attempts are counted, and a message becomes a dead letter after the last one, not before", false, judgeAttempts},
		{"alive", "publishing and delivery go on soon after a fault is healed", false, judgeAlive},
	}
}

// Report is the outcome of a judgement.
type Report struct {
	Publishes, Accepted, Refused, Unknown int
	Deliveries, Redeliveries              int
	Faults                                int
	Violations                            []Violation // of broken promises
	Voids                                 []Violation // of what a run must have to prove anything
	// Excused is how often a rule let something pass only because the history leaves open what the broker did: by what that was. A run
	// with many of these says little.
	Excused map[string]int
}

// OK says that the run proves what it set out to prove.
func (r *Report) OK() bool { return len(r.Violations) == 0 && len(r.Voids) == 0 }

// Broken names the rules that were broken, with the first reason of each.
func (r *Report) Broken() string {
	var reasons []string
	last := ""
	for _, v := range slices.Concat(r.Voids, r.Violations) {
		if v.Rule != last {
			last = v.Rule
			reasons = append(reasons, v.Rule+": "+v.Reason)
		}
	}
	return strings.Join(reasons, "; ")
}

// Judge applies every rule.
func Judge(h *History, o Options) *Report {
	o = o.withDefaults()
	r := &Report{Publishes: len(h.publishes), Faults: len(h.faults)}
	for _, p := range h.publishes {
		switch p.phase {
		case PhaseOK:
			r.Accepted++
		case PhaseFail:
			r.Refused++
		default:
			r.Unknown++
		}
	}
	for _, s := range h.subscriptions {
		r.Deliveries += len(s.deliveries)
		r.Redeliveries += len(s.deliveries) - len(s.messages)
	}
	for _, rule := range Rules() {
		found := rule.Judge(h, o)
		for i := range found {
			found[i].Rule = rule.Name
		}
		if rule.Void {
			r.Voids = append(r.Voids, found...)
		} else {
			r.Violations = append(r.Violations, found...)
		}
	}
	r.Excused = h.excused
	return r
}

// shownMax is how many breaches of one rule Write shows in full.
const shownMax = 5

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d publishes (%d accepted, %d refused, %d unknown), %d deliveries (%d of them again), %d faults\n",
		r.Publishes, r.Accepted, r.Refused, r.Unknown, r.Deliveries, r.Redeliveries, r.Faults)
	count := make(map[string]int)
	for _, v := range append(append([]Violation(nil), r.Voids...), r.Violations...) {
		if count[v.Rule]++; count[v.Rule] > shownMax {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", v.Rule, v.Reason)
		for i := range v.Events {
			line, err := json.Marshal(&v.Events[i])
			if err != nil {
				return fmt.Errorf("report: %w", err)
			}
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	for _, rule := range Rules() {
		verdict := "holds"
		if n := count[rule.Name]; n > 0 {
			verdict = fmt.Sprintf("BROKEN %d times", n)
		}
		fmt.Fprintf(&b, "%-13s %s: %s\n", rule.Name, verdict, rule.Promise)
	}
	for _, what := range slices.Sorted(maps.Keys(r.Excused)) {
		fmt.Fprintf(&b, "excused %d times: %s\n", r.Excused[what], what)
	}
	switch {
	case len(r.Violations) > 0:
		fmt.Fprintf(&b, "verdict: %d violations\n", len(r.Violations))
	case len(r.Voids) > 0:
		b.WriteString("verdict: void, this run proves nothing\n")
	default:
		b.WriteString("verdict: clean\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// judgeHistory reports what the index could not place, and a run without its end.
func judgeHistory(h *History, _ Options) []Violation {
	found := h.malformed
	if !h.drained {
		found = append(found, violationf("the run does not end with a finished drain"))
	}
	if len(h.publishes) == 0 {
		found = append(found, violationf("nothing was published"))
	}
	return found
}
