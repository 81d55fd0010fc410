package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// TestMain makes the test binary a worker when a pool starts it as one.
func TestMain(m *testing.M) {
	ServeIfAsked()
	os.Exit(m.Run())
}

func newPool(t testing.TB) *Pool {
	t.Helper()
	p := NewPool()
	t.Cleanup(func() { p.Close() })
	return p
}

func function(code string) []*pubsubpb.MessageTransform {
	return []*pubsubpb.MessageTransform{{Transform: &pubsubpb.MessageTransform_JavascriptUdf{
		JavascriptUdf: &pubsubpb.JavaScriptUDF{FunctionName: "f", Code: code},
	}}}
}

func inputs(t testing.TB, texts ...string) []transform.Input {
	t.Helper()
	var in []transform.Input
	for _, text := range texts {
		m, err := proto.Marshal(&pubsubpb.PubsubMessage{Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, transform.Input{Message: m, ID: 1<<63 + 7, Time: 1})
	}
	return in
}

// told writes outcomes in a line.
func told(out []transform.Outcome) string {
	var all []string
	for _, o := range out {
		switch {
		case o.Failure != "":
			all = append(all, "!"+o.Failure)
		case o.Dropped:
			all = append(all, "dropped")
		case o.Message == nil:
			all = append(all, "skipped")
		default:
			all = append(all, string(wire.Data(o.Message)))
		}
	}
	return strings.Join(all, ",")
}

func TestAPoolRunsChains(t *testing.T) {
	p := newPool(t)
	code := "function f(m, d) { if (m.data === 'drop') return null; if (m.data === 'bad') throw 'x'; return {data: m.data + d.message_id} }"
	const id = "9223372036854775815"
	for _, whole := range []bool{false, true} {
		c := transform.NewChain(function(code), whole)
		out, err := p.Run(t.Context(), c, inputs(t, "a", "drop", "bad", "b"))
		want := "a" + id + ",dropped,!message transform 0: the function threw x at f (code:"
		last := ",b" + id
		if whole {
			last = ",skipped"
		}
		if got := told(out); err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, last) {
			t.Errorf("whole %v: %s, %v; want %s...%s", whole, got, err, want, last)
		}
	}
	var texts []string
	for i := range 3*chunkMessagesMax + 5 {
		texts = append(texts, fmt.Sprint("m", i, " "))
	}
	out, err := p.Run(t.Context(), transform.NewChain(function(code), true), inputs(t, texts...))
	if want := strings.Join(texts, id+",") + id; err != nil || told(out) != want {
		t.Errorf("many messages became %s, %v", told(out), err)
	}
}

func TestLargeMessagesTravel(t *testing.T) {
	p := newPool(t)
	c := transform.NewChain(function("function f(m) { m.data += '!'; return m }"), false)
	large := strings.Repeat("x", 5_000_000)
	out, err := p.Run(t.Context(), c, inputs(t, large, large, large, large))
	if err != nil || len(out) != 4 {
		t.Fatal(len(out), err)
	}
	for i, o := range out {
		if o.Failure != "" || string(wire.Data(o.Message)) != large+"!" {
			t.Errorf("message %d: %d bytes, %q", i, len(o.Message), o.Failure)
		}
	}
}

func TestKillersCostTheirProcessOnly(t *testing.T) {
	p := newPool(t)
	for name, code := range map[string]string{
		"a loop in a built-in":   "Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)",
		"a string that doubles":  "let s = 'x'; for (;;) s += s",
		"a list of long strings": "const a = []; for (;;) a.push('x'.repeat(1000000) + a.length)",
		"a list that nests":      "let a = []; for (;;) a = [a, a, a, a, a, a, a, a]",
		"text that nests":        "let s = '['; for (let i = 0; i < 23; i++) s += s; JSON.parse(s)",
		"a regular expression":   `/^(?=(a+)+$)(a+)+$/.test('a'.repeat(40) + 'b')`,
	} {
		t.Run(name, func(t *testing.T) {
			c := transform.NewChain(function("function f(m) { if (m.data === 'kill') { "+code+" } return m }"), false)
			begin := time.Now()
			out, err := p.Run(t.Context(), c, inputs(t, "a", "kill", "b"))
			if got := told(out); err != nil || !strings.HasPrefix(got, "a,!") || !strings.HasSuffix(got, ",b") {
				t.Errorf("%s, %v", got, err)
			} else {
				t.Logf("%v: %s", time.Since(begin).Round(time.Millisecond), got)
			}
		})
	}
	index, fault, err := p.Check(t.Context(), append(function("function f(m) { return m }"), function("function f(m) {} Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)")...))
	if err != nil || index != 1 || fault == "" {
		t.Errorf("a killer's definition: transform %d, %q, %v", index, fault, err)
	}
}

func TestCheckInAProcess(t *testing.T) {
	p := newPool(t)
	good := function("function f(m) { return m }")
	if _, fault, err := p.Check(t.Context(), good); err != nil || fault != "" {
		t.Errorf("a good one: %q, %v", fault, err)
	}
	for code, want := range map[string]string{
		"function f(":          "not valid JavaScript",
		"function g() {}":      `does not define the function "f"`,
		"while (true) {}":      "did not return within",
		"require('fs')":        "require is not defined",
		"const f = 1":          `does not define the function "f"`,
		"throw new Error('x')": "x",
	} {
		index, fault, err := p.Check(t.Context(), append(good, function(code)...))
		if err != nil || index != 1 || !strings.Contains(fault, want) {
			t.Errorf("%s: transform %d, %q, %v; want 1, %q", code, index, fault, err, want)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newPool(t)
	var all sync.WaitGroup
	for chain := range 4 {
		c := transform.NewChain(function(fmt.Sprintf("function f(m) { return {data: m.data + '-%d'} }", chain)), false)
		all.Go(func() {
			for i := range 50 {
				text := fmt.Sprint(i)
				if out, err := p.Run(context.Background(), c, inputs(t, text)); err != nil || told(out) != fmt.Sprintf("%s-%d", text, chain) {
					t.Errorf("%s became %s, %v", text, told(out), err)
				}
			}
		})
	}
	all.Wait()
}

func TestABinaryThatIsNoWorker(t *testing.T) {
	for _, command := range [][]string{{"/nonexistent"}, {"/bin/true"}, {"/bin/echo", "hello, this is no frame"}} {
		p := NewPool(command...)
		out, err := p.Run(t.Context(), transform.NewChain(function("function f(m) { return m }"), false), inputs(t, "a"))
		if err == nil && (len(out) != 1 || out[0].Failure == "") {
			t.Errorf("%q: %s", command, told(out))
		}
		p.Close()
	}
}

func TestWhoGivesUpWaitsNoLonger(t *testing.T) {
	p := newPool(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ctx, transform.NewChain(function("function f(m) { return m }"), false), inputs(t, "a")); err == nil {
		t.Error("a run went on for somebody who had given up")
	}
}

func TestFramesThatAreMalformed(t *testing.T) {
	s := &served{local: transform.NewLocal(), chains: make(map[uint64]*transform.Chain)}
	c := transform.NewChain(function("function f(m) { return m }"), false)
	good := appendRun(nil, c, c.Spec(), inputs(t, "a", "b"))
	if err := s.handle(good); err != nil {
		t.Fatal(err)
	}
	answer := s.answer[4:]
	if out, err := parseOutcomes(answer, 2); err != nil || told(out) != "a,b" {
		t.Fatalf("%s, %v", told(out), err)
	}
	for i := range good {
		if err := s.handle(good[:i]); err == nil {
			t.Errorf("a request cut off at %d of %d is served", i, len(good))
		}
	}
	for i := range answer {
		if out, err := parseOutcomes(answer[:i], 2); err == nil {
			t.Errorf("an answer cut off at %d of %d is %s", i, len(answer), told(out))
		}
	}
	if _, err := parseOutcomes(answer, 1); err == nil {
		t.Error("more outcomes than were asked for are taken")
	}
	if _, err := readFrame(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 1}), nil); err == nil {
		t.Error("a frame of 4 GiB is read")
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, count := range []int{1, chunkMessagesMax, 100} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			p := newPool(b)
			c := transform.NewChain(function("function f(m) { m.attributes.seen = 'yes'; return m }"), true)
			texts := make([]string, count)
			for i := range texts {
				texts[i] = strings.Repeat("x", 1024)
			}
			in := inputs(b, texts...)
			for n := 0; n < b.N; n += count {
				if _, err := p.Run(context.Background(), c, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
