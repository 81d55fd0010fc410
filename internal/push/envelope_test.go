package push

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// stored is a message as the broker stores it.
func stored(t testing.TB, m *pubsubpb.PubsubMessage) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pubsubpb.PublishRequest{Topic: "projects/p/topics/t", Messages: []*pubsubpb.PubsubMessage{m}})
	if err != nil {
		t.Fatal(err)
	}
	var p wire.Publish
	if err := p.Scan(raw); err != nil {
		t.Fatal(err)
	}
	message, _ := wire.Next(p.Body)
	return message
}

func testTarget(t testing.TB, change func(*delivery.PushTarget)) *target {
	t.Helper()
	config := &delivery.PushTarget{
		Subscription: "projects/p/subscriptions/s", AckDeadline: 10 * time.Second,
		Config: &pubsubpb.PushConfig{PushEndpoint: "https://user:secret@example.com/push?x=1"},
	}
	if change != nil {
		change(config)
	}
	to, err := newTarget(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// The envelope as encoding/json would write it.
type goldEnvelope struct {
	Message      goldMessage `json:"message"`
	Subscription string      `json:"subscription"`
	Attempt      int32       `json:"deliveryAttempt,omitempty"`
}

type goldMessage struct {
	Attributes   map[string]string `json:"attributes,omitempty"`
	Data         string            `json:"data,omitempty"`
	ID           string            `json:"messageId"`
	OtherID      string            `json:"message_id"`
	OrderingKey  string            `json:"orderingKey,omitempty"`
	PublishTime  string            `json:"publishTime"`
	OtherPublish string            `json:"publish_time"`
}

func TestEnvelopeSaysTheSameAsTheStandardEncoder(t *testing.T) {
	long := strings.Repeat(`a"\`+"\u2028\x01é", 25)
	for name, c := range map[string]struct {
		message *pubsubpb.PubsubMessage
		ordered bool
		attempt int32
		nanos   int64
		time    string
	}{
		"data":        {&pubsubpb.PubsubMessage{Data: []byte("\x00\xff")}, false, 0, 1e9, "1970-01-01T00:00:01Z"},
		"attributes":  {&pubsubpb.PubsubMessage{Attributes: map[string]string{"a": "1", "": "", long: long}}, false, 5, 1_740_000_000_749_000_000, "2025-02-19T21:20:00.749Z"},
		"ordered":     {&pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: long}, true, 1, 5e6, "1970-01-01T00:00:00.005Z"},
		"not ordered": {&pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: "k"}, false, 0, 100e6, "1970-01-01T00:00:00.100Z"},
		"no key":      {&pubsubpb.PubsubMessage{Data: []byte("x")}, true, 0, 0, "1970-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			delete(c.message.Attributes, "") // a message has no attribute without a name
			to := testTarget(t, func(p *delivery.PushTarget) { p.Ordered = c.ordered })
			d := &delivery.Delivery{Message: stored(t, c.message), ID: 1 << 60, Time: c.nanos, Attempt: c.attempt}
			body := appendEnvelope(nil, to, d)
			want := goldEnvelope{
				Subscription: "projects/p/subscriptions/s", Attempt: c.attempt,
				Message: goldMessage{
					Attributes: c.message.Attributes, Data: base64.StdEncoding.EncodeToString(c.message.Data),
					ID: "1152921504606846976", OtherID: "1152921504606846976", PublishTime: c.time, OtherPublish: c.time,
				},
			}
			if c.ordered {
				want.Message.OrderingKey = c.message.OrderingKey
			}
			var got goldEnvelope
			decoder := json.NewDecoder(strings.NewReader(string(body)))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&got); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s\nsays %+v\nwant %+v", body, got, want)
			}
			standard, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var a, b map[string]any
			if json.Unmarshal(body, &a) != nil || json.Unmarshal(standard, &b) != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%s\nthe standard encoder says\n%s", body, standard)
			}
		})
	}
}

func TestTheLastOfEqualAttributesCounts(t *testing.T) {
	entry := func(k, v string) string {
		return fmt.Sprintf("\x12%c\x0a%c%s\x12%c%s", 4+len(k)+len(v), len(k), k, len(v), v)
	}
	message := []byte(entry("a", "1") + entry("b", "2") + entry("a", "3"))
	body := appendEnvelope(nil, testTarget(t, nil), &delivery.Delivery{Message: message})
	if want := `{"message":{"attributes":{"a":"3","b":"2"},"messageId"`; !strings.HasPrefix(string(body), want) {
		t.Errorf("%s, want %s ...", body, want)
	}
}

func FuzzStringIsJSON(f *testing.F) {
	for _, seed := range []string{"", "plain", `"\/`, "\x00\x1f\x7f\n\r\t", "é\u2027\u2028\u2029\u202a", "\U0001f600", "\xe2\x80", "<&>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip()
		}
		got := appendString([]byte("x"), []byte(text))
		var back string
		if err := json.Unmarshal(got[1:], &back); err != nil || back != text || got[0] != 'x' {
			t.Errorf("%q became %s, which is %q, %v", text, got, back, err)
		}
	})
}

func TestEnvelopeFitsIntoWhatIsSetAsideForIt(t *testing.T) {
	to := testTarget(t, nil)
	for _, size := range []int{1, 100, 1000, 100_000} {
		d := &delivery.Delivery{Message: stored(t, &pubsubpb.PubsubMessage{Data: make([]byte, size), Attributes: map[string]string{"k": "v"}}), ID: 1 << 62, Time: 1}
		if n, most := len(appendEnvelope(nil, to, d)), envelopeBytes(to, d); n > most {
			t.Errorf("%d bytes of data: %d bytes, set aside %d", size, n, most)
		}
	}
}

func TestMetadataIsHeaders(t *testing.T) {
	unwrapped := func(p *delivery.PushTarget) {
		p.Ordered = true
		p.Config.Wrapper = &pubsubpb.PushConfig_NoWrapper_{NoWrapper: &pubsubpb.PushConfig_NoWrapper{WriteMetadata: true}}
	}
	from := http.Header{
		"X-Goog-Pubsub-Subscription-Name": {"projects/p/subscriptions/s"}, "X-Goog-Pubsub-Message-Id": {"7"},
		"X-Goog-Pubsub-Publish-Time": {"1970-01-01T00:00:01Z"},
	}
	key := http.Header{"X-Goog-Pubsub-Ordering-Key": {"k"}, "X-Goog-Ordering-Key": {"k"}}
	for name, c := range map[string]struct {
		message *pubsubpb.PubsubMessage
		more    http.Header // nil: undeliverable
	}{
		"nothing":           {&pubsubpb.PubsubMessage{Data: []byte("x")}, http.Header{}},
		"attributes":        {&pubsubpb.PubsubMessage{Attributes: map[string]string{"content-TYPE": "a/b", "x_1": "\tü "}}, http.Header{"Content-Type": {"a/b"}, "X_1": {"\tü "}}},
		"key":               {&pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: "k"}, key},
		"of the connection": {&pubsubpb.PubsubMessage{Attributes: map[string]string{"HOST": "h", "connection": "close", "Authorization": "me", "proxy": "p"}}, http.Header{}},
		"forged":            {&pubsubpb.PubsubMessage{Attributes: map[string]string{"x-goog-pubsub-message-id": "1", "x-goog-pubsub-ordering-key": "k", "x-goog-ordering-key": "k"}}, http.Header{}},
		"space in a name":   {&pubsubpb.PubsubMessage{Attributes: map[string]string{"a b": ""}}, nil},
		"name not ASCII":    {&pubsubpb.PubsubMessage{Attributes: map[string]string{"ü": ""}}, nil},
		"line in a value":   {&pubsubpb.PubsubMessage{Attributes: map[string]string{"a": "b\r\nHost: c"}}, nil},
		"DEL in a value":    {&pubsubpb.PubsubMessage{Attributes: map[string]string{"a": "\x7f"}}, nil},
		"line in the key":   {&pubsubpb.PubsubMessage{Data: []byte("x"), OrderingKey: "a\nb"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			to := testTarget(t, unwrapped)
			p := newPost(to, wire.AckID{}, &delivery.Delivery{Message: stored(t, c.message), ID: 7, Time: 1e9}, 0)
			if p.unspeakable != (c.more == nil) {
				t.Fatalf("undeliverable: %v", p.unspeakable)
			}
			if p.unspeakable {
				return
			}
			want := maps.Clone(from)
			maps.Copy(want, c.more)
			if !reflect.DeepEqual(p.header, want) {
				t.Errorf("headers %v\nwant %v", p.header, want)
			}
			if string(p.body) != string(c.message.Data) {
				t.Errorf("body %q", p.body)
			}
		})
	}
}

func TestRequestSaysWhoAsks(t *testing.T) {
	to := testTarget(t, nil)
	p := newPost(to, wire.AckID{}, &delivery.Delivery{Message: stored(t, &pubsubpb.PubsubMessage{Data: []byte("x")})}, 0)
	r := p.request("")
	if user, password, ok := r.BasicAuth(); !ok || user != "user" || password != "secret" {
		t.Error("the user of the endpoint's URL is not in the request")
	}
	if r.Host != "example.com" || r.URL.RequestURI() != "/push?x=1" || r.Header.Get("User-Agent") != "test" {
		t.Errorf("%+v", r)
	}
	if got := p.request("token").Header.Get("Authorization"); got != "Bearer token" {
		t.Errorf("authorization %q", got)
	}
	if _, _, ok := p.request("").BasicAuth(); !ok {
		t.Error("a token stayed in headers that requests share")
	}
}

func BenchmarkEnvelope(b *testing.B) {
	to := testTarget(b, nil)
	d := &delivery.Delivery{Message: stored(b, &pubsubpb.PubsubMessage{Data: make([]byte, 1024), Attributes: map[string]string{"key": "value"}}), ID: 1, Time: 1e9}
	body := make([]byte, 0, envelopeBytes(to, d))
	b.ReportAllocs()
	for b.Loop() {
		body = appendEnvelope(body[:0], to, d)
	}
}
