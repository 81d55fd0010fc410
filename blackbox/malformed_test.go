package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// blamed are the codes that a request may be answered with, however wrong it is: everything that tells the client that the mistake is its
// own. Clients repeat requests that are answered with INTERNAL or UNKNOWN.
var blamed = map[codes.Code]bool{
	codes.OK: true, codes.InvalidArgument: true, codes.NotFound: true, codes.AlreadyExists: true, codes.FailedPrecondition: true,
	codes.OutOfRange: true, codes.Aborted: true,
}

// encoded is a codec for requests that are bytes.
type encodedCodec struct{}

func (encodedCodec) Name() string { return "proto" }

func (encodedCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (encodedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = encodedCodec{}

// attacker sends what no generated client would.
type attacker struct {
	*server
	conn *grpc.ClientConn
	dice *rand.Rand
	// texts are what fields of text are given: the names of things that are there or missing, and what is none.
	texts []string
}

func (s *server) attacker(t *testing.T, seed uint64) *attacker {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encodedCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a test is over: nobody cares how its connection ends
	project := "projects/" + s.project
	s.pair(t, "x")
	return &attacker{server: s, conn: conn, dice: rand.New(rand.NewPCG(seed, 1)), texts: []string{
		"", "x", "abc", project, "projects/", project + "/topics/t-x", project + "/topics/new", project + "/topics/1", project + "/topics/goog",
		project + "/subscriptions/s-x", project + "/subscriptions/new", project + "/snapshots/new", project + "/schemas/new",
		project + "/schemas/new@01234567", project + "/schemas/new@", project + "/topics/" + strings.Repeat("x", 300), "_deleted-topic_",
		"é", "a\x00b", "\u202e", "%", "/", "labels", "push_config", "name", "*", "schema_settings.schema", "http://127.0.0.1:1/", "http://[", "a@b",
		`attributes:a`, `attributes.a = "\u0"`, strings.Repeat("(", 200), `{"type":"string"}`, `{"type":"record","name":"r","fields":[]}`,
		`syntax = "proto3"; message M { string a = 1; }`, `syntax = "proto3"; message M { M m = 1; } message N {}`, strings.Repeat("[", 10_000),
		"function f(m) { return m }", "pubsub.topics.get", "user:a@example.com", "0123", strings.Repeat("y", 70_000),
	}}
}

func (a *attacker) chance(of float64) bool { return a.dice.Float64() < of }

func oneOf[T any](a *attacker, values ...T) T { return values[a.dice.IntN(len(values))] }

func (a *attacker) text() string { return oneOf(a, a.texts...) }

// textFor is mostly a name of the right kind where a field wants one, so that the mistakes behind it are reached.
func (a *attacker) textFor(field protoreflect.FieldDescriptor) string {
	project := "projects/" + a.project
	topics := []string{project + "/topics/t-x", project + "/topics/missing", project + "/topics/1"}
	subs := []string{project + "/subscriptions/s-x", project + "/subscriptions/missing", project + "/subscriptions/goog"}
	snapshots := []string{project + "/snapshots/missing", project + "/snapshots/%"}
	schemas := []string{project + "/schemas/missing", project + "/schemas/missing@01234567"}
	names := map[protoreflect.Name][]string{
		"topic": topics, "dead_letter_topic": topics, "subscription": subs, "snapshot": snapshots, "schema": schemas, "project": {project}, "parent": {project},
		"resource": {topics[0], topics[1], subs[0], subs[1], snapshots[0], schemas[0]},
		"name":     {topics[1], topics[2], subs[1], subs[2], snapshots[0], snapshots[1], schemas[0], schemas[1]},
	}[field.Name()]
	switch field.ContainingMessage().Name() {
	case "Topic":
		if field.Name() == "name" {
			names = topics
		}
	case "Subscription":
		if field.Name() == "name" {
			names = subs
		}
	case "Snapshot", "CreateSnapshotRequest":
		if field.Name() == "name" {
			names = snapshots
		}
	}
	if names == nil || a.chance(0.2) {
		return a.text()
	}
	return oneOf(a, names...)
}

// invent fills a message with what may or may not make sense.
func (a *attacker) invent(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !a.chance(0.6) && !(field.Number() == 1 && a.chance(0.8)) { // the first field is most often a name
			continue
		}
		switch {
		case field.IsMap():
			for range a.dice.IntN(3) {
				m.Mutable(field).Map().Set(protoreflect.ValueOfString(a.text()).MapKey(), a.element(m, field.MapValue(), depth, func() protoreflect.Value { return m.Mutable(field).Map().NewValue() }))
			}
		case field.IsList():
			for range a.dice.IntN(4) {
				m.Mutable(field).List().Append(a.element(m, field, depth, func() protoreflect.Value { return m.Mutable(field).List().NewElement() }))
			}
		case field.Message() != nil:
			if depth > 0 {
				a.invent(m.Mutable(field).Message(), depth-1)
			}
		default:
			m.Set(field, a.element(m, field, depth, nil))
		}
	}
}

func (a *attacker) element(m protoreflect.Message, field protoreflect.FieldDescriptor, depth int, empty func() protoreflect.Value) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(a.textFor(field))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(a.text()))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(a.chance(0.5))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(oneOf[protoreflect.EnumNumber](a, 0, 1, 2, 3, -1, 99))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(oneOf[int32](a, 0, 1, 5, 10, 600, 601, -1, math.MaxInt32, math.MinInt32))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(oneOf[int64](a, 0, 1, 600, 86400, -1, 1<<40, math.MaxInt64, math.MinInt64))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(oneOf(a, 0, 1, math.NaN(), math.Inf(1)))
	case protoreflect.MessageKind:
		v := empty()
		if depth > 0 {
			a.invent(v.Message(), depth-1)
		}
		return v
	default:
		panic(fmt.Sprintf("%s of %s: give it values", field.Kind(), m.Descriptor().FullName()))
	}
}

// request is an invented request, and what it is on the wire. Nothing in it waits for messages.
func (a *attacker) request(t *testing.T, rpc protoreflect.MethodDescriptor) (proto.Message, []byte) {
	t.Helper()
	m := newMessage(rpc.Input())
	a.invent(m.ProtoReflect(), 4)
	if wait := rpc.Input().Fields().ByName("return_immediately"); wait != nil {
		m.ProtoReflect().Set(wait, protoreflect.ValueOfBool(true))
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

// spoil changes some bytes of an encoding.
func (a *attacker) spoil(b []byte) []byte {
	b = append([]byte(nil), b...)
	switch a.dice.IntN(4) {
	case 0:
		return b[:a.dice.IntN(len(b)+1)]
	case 1:
		return append(b, byte(a.dice.Uint32()), byte(a.dice.Uint32()), byte(a.dice.Uint32()))
	default:
		for range 1 + a.dice.IntN(3) {
			if len(b) > 0 {
				b[a.dice.IntN(len(b))] = byte(a.dice.Uint32())
			}
		}
		return b
	}
}

// call sends bytes as a request.
func (a *attacker) call(rpc protoreflect.MethodDescriptor, request []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if rpc.IsStreamingClient() {
		return a.converse(ctx, rpc, request)
	}
	if rpc.Name() == "Pull" { // bytes that were changed may ask it to wait, which it does until shortly before the deadline
		ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
	}
	var answer []byte
	return a.conn.Invoke(ctx, full(rpc), &request, &answer)
}

// converse opens a stream with a request, says no more, and reads to the end.
func (a *attacker) converse(ctx context.Context, rpc protoreflect.MethodDescriptor, request []byte) error {
	stream, err := a.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, full(rpc))
	if err == nil {
		err = stream.SendMsg(&request)
	}
	if err == nil || err == io.EOF {
		err = stream.CloseSend()
	}
	for err == nil {
		var answer []byte
		err = stream.RecvMsg(&answer)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// judge fails the test when the broker takes the blame for a request.
func judge(t *testing.T, what string, err error, request []byte) {
	t.Helper()
	if s := status.Convert(err); !blamed[s.Code()] || s.Code() != codes.OK && s.Message() == "" {
		t.Errorf("%s answers %v: %q to %.500q", what, s.Code(), s.Message(), request)
	}
}

// TestNoRequestMakesTheBrokerBlameItself throws invented requests, whole and spoilt, at every RPC over gRPC.
func TestNoRequestMakesTheBrokerBlameItself(t *testing.T) {
	t.Parallel()
	a := common(t).attacker(t, 1)
	for _, rpc := range surface(t) {
		for _, request := range [][]byte{nil, {0}, {0x0a}, {0x0a, 0x01, 0xff}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte("{}"), {0x0b}, {0x0c}, make([]byte, 300_000)} {
			judge(t, full(rpc), a.call(rpc, request), request)
		}
		for range 60 {
			_, request := a.request(t, rpc)
			judge(t, full(rpc), a.call(rpc, request), request)
			request = a.spoil(request)
			judge(t, full(rpc)+", spoilt,", a.call(rpc, request), request)
		}
	}
	a.stillServes(t)
}

// moment is a time in a text: the same refusal at another time has another.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// TestBothFormsRefuseAlike sends the same invented requests over gRPC and over HTTP: what one refuses, the other does, in the same words.
func TestBothFormsRefuseAlike(t *testing.T) {
	t.Parallel()
	a := common(t).attacker(t, 2)
	for _, rpc := range surface(t) {
		compared := 0
		for _, form := range httpForms(rpc) {
			for range 120 {
				m, request := a.request(t, rpc)
				path, body, fits := form.fill(m)
				if !fits {
					continue
				}
				over := status.Convert(a.call(rpc, request))
				if over.Code() == codes.OK {
					continue
				}
				code, message := a.web(t, form.verb, path, body)
				if want := moment.ReplaceAllString(over.Message(), "T"); code != over.Code() || moment.ReplaceAllString(message, "T") != want {
					t.Errorf("%s over gRPC: %v %q\n%s %.300s %.300s: %v %q", full(rpc), over.Code(), over.Message(), form.verb, path, body, code, message)
				}
				compared++
			}
		}
		if compared == 0 && len(httpForms(rpc)) > 0 && !harmless[string(rpc.Name())] {
			t.Errorf("%s: no request was refused, so that nothing was compared", full(rpc))
		}
	}
}

// harmless are RPCs that refuse nothing of what fits into their HTTP form.
var harmless = map[string]bool{"TestIamPermissions": true}

// web makes a call over HTTP and gives the code that its error names.
func (a *attacker) web(t *testing.T, verb, path, body string) (codes.Code, string) {
	t.Helper()
	response, text := a.rest(t, verb, path, body, "X-Server-Timeout", "3")
	var answer struct {
		Error struct{ Status, Message string }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%s %.300s: %d %.300s: %v", verb, path, response.StatusCode, text, err)
	}
	if response.StatusCode == http.StatusOK {
		return codes.OK, ""
	}
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + answer.Error.Status + `"`)); err != nil {
		t.Fatalf("%s %.300s: status %q", verb, path, answer.Error.Status)
	}
	return code, answer.Error.Message
}

// TestNoBodyMakesTheBrokerBlameItself throws what is no JSON, and JSON that is no request, at every HTTP form.
func TestNoBodyMakesTheBrokerBlameItself(t *testing.T) {
	t.Parallel()
	a := common(t).attacker(t, 3)
	bodies := []string{
		"", "{", "}", "[]", "null", `"x"`, "1", "{}x", `{"a":1}`, `{"name":1}`, `{"name":{}}`, `{"messages":{}}`, `{"messages":[null]}`, `{"messages":[[]]}`, `{"":""}`,
		`{"labels":{"a":1}}`, `{"updateMask":5}`, `{"updateMask":"a,,b"}`, `{"name":"\ud800"}`, "{\"name\":\"\xff\"}", `{"maxMessages":1e99}`,
		`{"maxMessages":9223372036854775808}`, `{"ackDeadlineSeconds":1.5}`, `{"messageRetentionDuration":"1h"}`, `{"messageRetentionDuration":"999999999999s"}`,
		`{"time":"tomorrow"}`, `{"time":"0000-00-00T00:00:00Z"}`, strings.Repeat(`{"topic":`, 5_000), strings.Repeat("[", 100_000), `{"policy":{"etag":"*"}}`,
	}
	for _, rpc := range surface(t) {
		for _, form := range httpForms(rpc) {
			found := variable.FindStringSubmatch(form.path)
			for _, id := range []string{"t-x", "s-x", "none", "1", "%00", "%ff", "%2F", "a%20b", strings.Repeat("x", 5_000)} {
				path := strings.Replace(form.path, found[0], strings.Replace(strings.Replace(found[2], "*", a.project, 1), "*", id, 1), 1)
				for _, query := range []string{"", "?pageSize=-1&pageToken=x", "?view=99", "?" + strings.Repeat("a", 1000)} {
					for range 2 {
						a.survivesBody(t, form.verb, path+query, oneOf(a, bodies...))
					}
				}
			}
			for _, body := range bodies {
				a.survivesBody(t, form.verb, strings.Replace(form.path, found[0], strings.ReplaceAll(found[2], "*", "xyz"), 1), body)
			}
		}
	}
	a.stillServes(t)
}

func (a *attacker) survivesBody(t *testing.T, verb, path, body string) {
	t.Helper()
	if code, message := a.web(t, verb, path, body); !blamed[code] || code != codes.OK && message == "" {
		t.Errorf("%s %.300s %.200q answers %v: %q", verb, path, body, code, message)
	}
}

// stillServes checks that nothing which was thrown at the broker did any harm.
func (a *attacker) stillServes(t *testing.T) {
	t.Helper()
	topic, sub := a.pair(t, "after")
	a.publish(t, topic, "hello")
	a.ack(t, sub, a.pull(t, sub, 1)...)
	if _, err := a.GetTopic(limited(t), &pb.GetTopicRequest{Topic: topic}); err != nil {
		t.Error(err)
	}
}
