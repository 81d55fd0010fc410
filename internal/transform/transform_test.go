package transform

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/limit"
)

func function(code string) *pubsubpb.MessageTransform {
	return named("f", code)
}

func named(name, code string) *pubsubpb.MessageTransform {
	return &pubsubpb.MessageTransform{Transform: &pubsubpb.MessageTransform_JavascriptUdf{
		JavascriptUdf: &pubsubpb.JavaScriptUDF{FunctionName: name, Code: code},
	}}
}

func zlibStep(mode pubsubpb.Compression_CompressionMode) *pubsubpb.MessageTransform {
	return &pubsubpb.MessageTransform{Transform: &pubsubpb.MessageTransform_Compression{
		Compression: &pubsubpb.Compression{CompressionAlgorithm: pubsubpb.Compression_ZLIB, CompressionMode: mode},
	}}
}

func stored(t testing.TB, m *pubsubpb.PubsubMessage) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// result is one outcome in a form that is easily compared: a message, "dropped", or the failure.
func result(t testing.TB, o Outcome) (*pubsubpb.PubsubMessage, string) {
	t.Helper()
	switch {
	case o.Failure != "":
		return nil, o.Failure
	case o.Dropped:
		return nil, "dropped"
	}
	m := new(pubsubpb.PubsubMessage)
	if err := proto.Unmarshal(o.Message, m); err != nil {
		t.Fatal(err)
	}
	return m, ""
}

func runOne(t testing.TB, c *Chain, in *pubsubpb.PubsubMessage) (*pubsubpb.PubsubMessage, string) {
	t.Helper()
	out, err := NewLocal().Run(t.Context(), c, []Input{{Message: stored(t, in)}})
	if err != nil || len(out) != 1 {
		t.Fatal(out, err)
	}
	return result(t, out[0])
}

func TestWhatAFunctionMayReturn(t *testing.T) {
	in := &pubsubpb.PubsubMessage{Data: []byte("grüße 🌍"), Attributes: map[string]string{"a": "1", "b": "2"}, OrderingKey: "k"}
	same := map[string]string{"a": "1", "b": "2"}
	for _, c := range []struct {
		body       string
		data       string
		attributes map[string]string
		text       string // part of the failure, or "dropped"
	}{
		{"return m", "grüße 🌍", same, ""},
		{"m.data = m.data.toUpperCase(); return m", "GRÜSSE 🌍", same, ""},
		{"return {data: m.data + m.attributes.a}", "grüße 🌍1", nil, ""},
		{"return {data: 'x', attributes: {}}", "x", nil, ""},
		{"return {data: 'x', attributes: null}", "x", nil, ""},
		{"return {data: '', attributes: {only: 'this'}}", "", map[string]string{"only": "this"}, ""},
		{"m.attributes.c = String(m.data.length); delete m.attributes.a; return m", "grüße 🌍", map[string]string{"b": "2", "c": "8"}, ""},
		{"return {data: JSON.stringify({...m.attributes}), attributes: m.attributes, extra: 1}", `{"a":"1","b":"2"}`, same, ""},
		{"return Object.assign(Object.create(null), m)", "grüße 🌍", same, ""},

		{"return null", "", nil, "dropped"},
		{"return undefined", "", nil, "dropped"},
		{"", "", nil, "dropped"},

		{"throw new Error('no good')", "", nil, "the function threw Error: no good"},
		{"throw null", "", nil, "the function threw"},
		{"return m.nothing.here", "", nil, "the function threw TypeError"},
		{"return 1", "", nil, "must return a message, or null"},
		{"return 'text'", "", nil, "must return a message, or null"},
		{"return true", "", nil, "must return a message, or null"},
		{"return Symbol('x')", "", nil, "must return a message, or null"},
		{"return []", "", nil, `"data" is not a string`},
		{"return {}", "", nil, `"data" is not a string`},
		{"return {data: 7}", "", nil, `"data" is not a string`},
		{"return {data: null}", "", nil, `"data" is not a string`},
		{"return Promise.resolve(m)", "", nil, `"data" is not a string`},
		{"return {data: 'x', attributes: []}", "", nil, `"attributes" are not an object`},
		{"return {data: 'x', attributes: 'y'}", "", nil, `"attributes" are not an object`},
		{"return {data: 'x', attributes: {n: 1}}", "", nil, `attribute "n", which is not a string`},
		{"return {data: 'x', attributes: {googclient_x: '1'}}", "", nil, `must not start with "goog"`},
		{"return {data: 'x', attributes: {'': '1'}}", "", nil, "must have 1 to 256"},
		{"return {data: 'x', attributes: {['k'.repeat(257)]: '1'}}", "", nil, "must have 1 to 256"},
		{"return {data: 'x', attributes: {k: 'v'.repeat(1025)}}", "", nil, "the maximum is 1024"},
		{"const a = {}; for (let i = 0; i < 101; i++) a['k' + i] = ''; return {data: 'x', attributes: a}", "", nil, "101 attributes, but the maximum is 100"},
		{"return {data: ''}", "", nil, "neither data nor attributes"},
		{"return {data: 'x' + 'x'.repeat(10000).repeat(1000)}", "", nil, "10000001 characters"}, // at once, it takes long under the race detector
		{"return {data: 'ü'.repeat(6000).repeat(1000)}", "", nil, "the data has 12000000 bytes"},
		{"return {get data() { throw new Error('late') }}", "", nil, "late"},
		{"return new Proxy({}, {get() { throw new Error('proxy') }})", "", nil, "proxy"},
	} {
		got, text := runOne(t, NewChain([]*pubsubpb.MessageTransform{function("function f(m, d) {" + c.body + "}")}, false), in)
		if c.text != "" {
			if !strings.Contains(text, c.text) {
				t.Errorf("%s: %v, %q; want %q", c.body, got, text, c.text)
			}
			continue
		}
		want := &pubsubpb.PubsubMessage{Data: []byte(c.data), Attributes: c.attributes, OrderingKey: "k"}
		if c.data == "" {
			want.Data = nil
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s: %v, %q; want %v", c.body, got, text, want)
		}
	}
}

func TestDataThatIsNoTextFails(t *testing.T) {
	_, text := runOne(t, NewChain([]*pubsubpb.MessageTransform{function("function f(m) { return m }")}, false), &pubsubpb.PubsubMessage{Data: []byte{0xff, 'a'}})
	if !strings.Contains(text, "not valid UTF-8") {
		t.Errorf("outcome %q", text)
	}
}

func TestAReservedAttributeMayStay(t *testing.T) {
	in := &pubsubpb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{"googclient_schemaname": "s"}}
	got, text := runOne(t, NewChain([]*pubsubpb.MessageTransform{function("function f(m) { return m }")}, false), in)
	if !proto.Equal(got, in) {
		t.Errorf("%v, %q; want %v", got, text, in)
	}
	_, text = runOne(t, NewChain([]*pubsubpb.MessageTransform{function("function f(m) { m.attributes.googclient_schemaname = 'other'; return m }")}, false), in)
	if !strings.Contains(text, "must not start with") {
		t.Errorf("changed: %q", text)
	}
}

func TestMetadata(t *testing.T) {
	c := NewChain([]*pubsubpb.MessageTransform{function("function f(m, d) { return {data: JSON.stringify(d)} }")}, false)
	in := stored(t, &pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: "key"})
	bare := stored(t, &pubsubpb.PubsubMessage{Data: []byte("x")})
	at := time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC).UnixNano()
	out, err := NewLocal().Run(t.Context(), c, []Input{{Message: in, ID: 18446744073709551615, Time: at}, {Message: bare}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`{"message_id":"18446744073709551615","publish_time":"2026-02-03T04:05:06Z","ordering_key":"key"}`,
		`{}`,
	} {
		if m, text := result(t, out[i]); string(m.GetData()) != want {
			t.Errorf("metadata %s, %q; want %s", m.GetData(), text, want)
		}
	}
}

func TestStepsFollowOneAnother(t *testing.T) {
	off := function("function f(m) { return null }")
	off.Disabled = true
	infer := &pubsubpb.MessageTransform{Transform: &pubsubpb.MessageTransform_AiInference{AiInference: &pubsubpb.AIInference{}}}
	c := NewChain([]*pubsubpb.MessageTransform{
		named("first", "function first(m) { m.data += '1'; return m }"), off, infer,
		named("second", "const second = (m) => ({data: m.data + '2', attributes: {seen: 'yes'}})"),
		zlibStep(pubsubpb.Compression_COMPRESS), zlibStep(pubsubpb.Compression_DECOMPRESS),
		named("third", "var third = function (m) { if (m.data === 'drop12') return null; m.data += m.attributes.seen; return m }"),
	}, false)
	if got, text := runOne(t, c, &pubsubpb.PubsubMessage{Data: []byte("x")}); string(got.GetData()) != "x12yes" {
		t.Errorf("%v, %q", got, text)
	}
	if _, text := runOne(t, c, &pubsubpb.PubsubMessage{Data: []byte("drop")}); text != "dropped" {
		t.Errorf("outcome %q, want dropped", text)
	}
	if c := NewChain([]*pubsubpb.MessageTransform{off, infer}, true); c != nil {
		t.Errorf("transforms that do nothing make a chain of %d steps", len(c.steps))
	}
}

func TestCompression(t *testing.T) {
	text := strings.Repeat("posthaste ", 1000)
	in := &pubsubpb.PubsubMessage{Data: []byte(text), Attributes: map[string]string{"a": "b"}, OrderingKey: "k"}
	small, failure := runOne(t, NewChain([]*pubsubpb.MessageTransform{zlibStep(pubsubpb.Compression_COMPRESS)}, false), in)
	if failure != "" || len(small.Data) > 200 || small.Data[0] != 0x78 || small.OrderingKey != "k" || small.Attributes["a"] != "b" {
		t.Fatalf("compressed to %d bytes: %q", len(small.GetData()), failure)
	}
	back, failure := runOne(t, NewChain([]*pubsubpb.MessageTransform{zlibStep(pubsubpb.Compression_DECOMPRESS)}, false), small)
	if !proto.Equal(back, in) {
		t.Errorf("decompressed to %.50v, %q", back, failure)
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	pack := func(size int) []byte {
		m := message{data: make([]byte, size)}
		compress(&m, &pubsubpb.Compression{CompressionMode: pubsubpb.Compression_COMPRESS})
		return m.data
	}
	c := NewChain([]*pubsubpb.MessageTransform{zlibStep(pubsubpb.Compression_DECOMPRESS)}, false)
	whole := pack(1000)
	for name, tc := range map[string]struct {
		data []byte
		text string
	}{
		"as large as a message may be": {pack(limit.PublishRequestBytesMax), ""},
		"one byte more":                {pack(limit.PublishRequestBytesMax + 1), "has more than 10000000 bytes"},
		"a bomb":                       {pack(200_000_000), "has more than 10000000 bytes"},
		"not compressed":               {[]byte("plain"), "cannot be decompressed"},
		"cut off":                      {whole[:len(whole)-1], "cannot be decompressed"},
		"damaged":                      {append(bytes.Clone(whole[:len(whole)-1]), whole[len(whole)-1]+1), "cannot be decompressed"},
	} {
		if _, text := runOne(t, c, &pubsubpb.PubsubMessage{Data: tc.data}); tc.text == "" && text != "" || !strings.Contains(text, tc.text) {
			t.Errorf("%s: %q, want %q", name, text, tc.text)
		}
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	good := named("good", "function good(m) { return m }")
	for name, c := range map[string]struct {
		bad  *pubsubpb.MessageTransform
		text string
	}{
		"a syntax error":              {function("function f(m) { return"), "not valid JavaScript"},
		"no function":                 {function("function g(m) { return m }"), `does not define the function "f"`},
		"a value":                     {function("const f = 1"), `does not define the function "f"`},
		"code that throws":            {function("function f(m) { return m } throw new Error('top')"), "top"},
		"code that does not end":      {function("function f(m) { return m } while (true) {}"), "did not return within 500ms"},
		"a module":                    {function("import fs from 'fs'; function f(m) { return m }"), "not valid JavaScript"},
		"I/O":                         {function("const fs = require('fs'); function f(m) { return m }"), "require is not defined"},
		"a name that is code":         {named("f};g(", "function f(m) { return m }"), "is not the name of a function"},
		"a way out of its own bounds": {function("}; function f(m) { return m } ; {"), "not valid JavaScript"},
	} {
		index, fault, err := NewLocal().Check(t.Context(), []*pubsubpb.MessageTransform{good, c.bad})
		if err != nil || index != 1 || !strings.Contains(fault, c.text) {
			t.Errorf("%s: transform %d, %q, %v; want transform 1, %q", name, index, fault, err, c.text)
		}
	}
	if index, fault, err := NewLocal().Check(t.Context(), []*pubsubpb.MessageTransform{good, zlibStep(pubsubpb.Compression_COMPRESS)}); err != nil || fault != "" {
		t.Errorf("good ones: transform %d, %q, %v", index, fault, err)
	}
}

func TestNoWayOut(t *testing.T) {
	for _, name := range []string{"require", "process", "fetch", "setTimeout", "eval", "Function", "importScripts", "XMLHttpRequest",
		"f.constructor", "(function* () {}).constructor", "(async function () {}).constructor", "(async () => {}).constructor", "Object.getPrototypeOf(f).constructor"} {
		c := NewChain([]*pubsubpb.MessageTransform{function("function f(m) { let seen; try { seen = typeof " + name + " } catch (e) { seen = e.name } return {data: seen} }")}, false)
		if got, text := runOne(t, c, &pubsubpb.PubsubMessage{Data: []byte("x")}); string(got.GetData()) != "undefined" {
			t.Errorf("%s is a %s, %q", name, got.GetData(), text)
		}
	}
}

func TestKillersEnd(t *testing.T) {
	local := NewLocal()
	for name, c := range map[string]struct{ code, text string }{
		"an endless loop":        {"function f(m) { while (true) {} }", "did not return within 500ms"},
		"one that catches":       {"function f(m) { for (;;) try { for (;;) {} } catch (e) {} finally { for (;;) {} } }", "did not return within 500ms"},
		"endless recursion":      {"function f(m) { return f(m) }", "more than 1000 calls within one another"},
		"recursion that catches": {"function f(m) { try { return f(m) } catch (e) { return f(m) } }", "more than 1000 calls within one another"},
		"recursion by built-ins": {"function f(m) { return [1].map(() => f(m)) }", "more than 1000 calls within one another"},
		"a getter without end":   {"function f(m) { return {get data() { for (;;) {} }} }", "did not return within 500ms"},
		"a huge array":           {"function f(m) { return {data: new ArrayBuffer(2 ** 52).toString()} }", ""},
	} {
		chain := NewChain([]*pubsubpb.MessageTransform{function(c.code)}, false)
		begin := time.Now()
		out, err := local.Run(t.Context(), chain, []Input{{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte("x")})}})
		if err != nil || out[0].Failure == "" || !strings.Contains(out[0].Failure, c.text) {
			t.Errorf("%s: %+v, %v; want %q", name, out, err, c.text)
		}
		if took := time.Since(begin); took > 2*time.Minute { // a busy machine gives them their 500 ms of CPU time late
			t.Errorf("%s took %v", name, took)
		}
	}
	if got, text := runOne(t, NewChain([]*pubsubpb.MessageTransform{function("function f(m) { return m }")}, false), &pubsubpb.PubsubMessage{Data: []byte("x")}); text != "" {
		t.Errorf("after them: %v, %q", got, text)
	}
}

func TestARuntimeGoesOnAfterAFailure(t *testing.T) {
	local := NewLocal()
	chain := NewChain([]*pubsubpb.MessageTransform{function("function f(m) { if (m.data === 'spin') for (;;) {} if (m.data === 'throw') throw 1; return m }")}, false)
	var in []Input
	for _, text := range []string{"a", "throw", "b", "spin", "c"} {
		in = append(in, Input{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte(text)})})
	}
	out, err := local.Run(t.Context(), chain, in)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a", "", "b", "", "c"} {
		if m, text := result(t, out[i]); string(m.GetData()) != want || (text == "") != (want != "") {
			t.Errorf("message %d became %v, %q; want %q", i, m, text, want)
		}
	}
	chain = &Chain{Number: chain.Number + 1000, Whole: true, steps: chain.steps}
	if out, err = local.Run(t.Context(), chain, in); err != nil || out[0].Message == nil || out[1].Failure == "" || out[2].Message != nil {
		t.Errorf("messages that count as a whole: %+v, %v", out, err)
	}
}

func TestVariablesAreNewForEachMessage(t *testing.T) {
	local := NewLocal()
	chain := NewChain([]*pubsubpb.MessageTransform{function("let n = 0; var seen = []; function f(m) { n++; seen.push(m.data); return {data: n + seen.join()} }")}, false)
	in := Input{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte("x")})}
	for range 3 {
		out, err := local.Run(t.Context(), chain, []Input{in, in})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out {
			if m, text := result(t, o); string(m.GetData()) != "1x" {
				t.Errorf("a message saw what came before: %s, %q", m.GetData(), text)
			}
		}
	}
}

func TestChainsShareNothing(t *testing.T) {
	local := NewLocal()
	in := []Input{{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte("x")})}}
	write := NewChain([]*pubsubpb.MessageTransform{function("function f(m) { leaked = 'secret'; String.prototype.leak = 'secret'; return m }")}, false)
	read := NewChain([]*pubsubpb.MessageTransform{function("function f(m) { return {data: typeof leaked + typeof ''.leak} }")}, false)
	if _, err := local.Run(t.Context(), write, in); err != nil {
		t.Fatal(err)
	}
	out, err := local.Run(t.Context(), read, in)
	if err != nil {
		t.Fatal(err)
	}
	if m, text := result(t, out[0]); string(m.GetData()) != "undefinedundefined" {
		t.Errorf("a chain sees %s of another, %q", m.GetData(), text)
	}
}

func TestManyAtOnce(t *testing.T) {
	local := NewLocal()
	var all sync.WaitGroup
	for chain := range 4 {
		c := NewChain([]*pubsubpb.MessageTransform{function(fmt.Sprintf("let own; function f(m) { own = m.data; for (let i = 0; i < 50; i++) own += ''; return {data: own + %d} }", chain))}, false)
		for worker := range 4 {
			all.Go(func() {
				for i := range 20 {
					text := fmt.Sprint(worker, " ", i, " ")
					out, err := local.Run(context.Background(), c, []Input{{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte(text)})}})
					if err != nil {
						t.Error(err)
						return
					}
					if m, failure := result(t, out[0]); string(m.GetData()) != text+fmt.Sprint(chain) {
						t.Errorf("%q became %s, %q", text, m.GetData(), failure)
					}
				}
			})
		}
	}
	all.Wait()
	if local.count > spareMax || local.count > 4*cap(local.turns) {
		t.Errorf("%d runtimes are kept", local.count)
	}
}

func TestWhoGivesUpGetsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	local := NewLocal()
	c := NewChain([]*pubsubpb.MessageTransform{function("function f(m) { return m }")}, false)
	if out, err := local.Run(ctx, c, []Input{{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte("x")})}}); err == nil {
		t.Errorf("got %+v", out)
	}
}

func TestAChainTravels(t *testing.T) {
	c := NewChain([]*pubsubpb.MessageTransform{function("function f(m) { return {data: 'there'} }")}, true)
	there, err := RestoreChain(c.Number, c.Spec(), c.Whole)
	if err != nil {
		t.Fatal(err)
	}
	if got, text := runOne(t, there, &pubsubpb.PubsubMessage{Data: []byte("x")}); string(got.GetData()) != "there" {
		t.Errorf("%v, %q", got, text)
	}
	if _, err := RestoreChain(1, []byte{0xff}, false); err == nil {
		t.Error("bytes that are no chain became one")
	}
}

func BenchmarkFunction(b *testing.B) {
	for name, code := range map[string]string{
		"Identity": "function f(m) { return m }",
		"JSON":     "function f(m) { const o = JSON.parse(m.data); o.seen = true; m.data = JSON.stringify(o); m.attributes.kind = o.kind; return m }",
	} {
		b.Run(name, func(b *testing.B) {
			local := NewLocal()
			c := NewChain([]*pubsubpb.MessageTransform{function(code)}, false)
			data := `{"kind":"reading","values":[` + strings.Repeat("1.5,", 230) + `2]}`
			in := make([]Input, 100)
			for i := range in {
				in[i] = Input{Message: stored(b, &pubsubpb.PubsubMessage{Data: []byte(data), Attributes: map[string]string{"a": "b"}}), ID: 7, Time: 7}
			}
			b.ReportAllocs()
			for n := 0; n < b.N; n += len(in) {
				if out, err := local.Run(context.Background(), c, in); err != nil || out[0].Failure != "" {
					b.Fatal(out[0], err)
				}
			}
		})
	}
}
