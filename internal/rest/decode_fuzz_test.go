package rest

import (
	"bytes"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// FuzzPublishBody holds the reader of published messages against the official one: the same verdict, and the same message.
func FuzzPublishBody(f *testing.F) {
	for _, text := range []string{
		`{"topic":"t","messages":[{"data":"aGk=","attributes":{"a":"b"},"orderingKey":"k"},{"data":"-_8"}]}`,
		`{"messages":[{"message_id":"1","publishTime":"2020-01-02T03:04:05.5Z","data":"aG\/k"}]}`,
		`{"messages":[{"attributes":{"a":"b","a":"c"}}]}`,
		`{"topic":"\ud83d\ude00\u00e9","messages":null}`,
		`{"topic":"\ud83d"}`, `{"topic":1}`, `{"messages":{}}`, `{"messages":[null]}`, `{"topic":"a","topic":"b"}`, `{"x":[{"y":-1.5e3}]}`,
		"{\"topic\":\"\x80\"}", `{"messages":[{"data":"aGk=`, `{"messages":[{"data":"a"}]}`, `{"messages":[{"data":"aGk=\n"}]}`, `[]`, `null`, `{},`,
	} {
		f.Add([]byte(text))
	}
	var p plans
	request := p.of(new(pubsubpb.PublishRequest).ProtoReflect().Descriptor())
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(bytes.TrimSpace(text)) == 0 {
			return // a missing body is an empty request over HTTP
		}
		same(t, request, text, new(pubsubpb.PublishRequest))
	})
}

// FuzzResourceBody does the same for the richest resource: numbers, durations, enumerations and alternatives.
func FuzzResourceBody(f *testing.F) {
	for _, text := range []string{
		`{"name":"n","ackDeadlineSeconds":"20","labels":{"a":"b"},"retryPolicy":{"minimumBackoff":"1.5s"}}`,
		`{"cloudStorageConfig":{"maxBytes":"1e3","avroConfig":{},"state":"ACTIVE","maxDuration":"60s"}}`,
		`{"ackDeadlineSeconds":1.20e1,"state":2,"enableMessageOrdering":true,"expirationPolicy":{"ttl":null}}`,
		`{"bigqueryConfig":{"useTopicSchema":false},"pushConfig":{"noWrapper":{"writeMetadata":true},"pubsubWrapper":null}}`,
		`{"ackDeadlineSeconds":2147483648}`, `{"ackDeadlineSeconds":"-0.0e5"}`, `{"ackDeadlineSeconds":0e999}`, `{"ackDeadlineSeconds":" 1"}`,
		`{"messageTransforms":[{"javascriptUdf":{"functionName":"f","code":"\"\\"}},{}]}`,
	} {
		f.Add([]byte(text))
	}
	var p plans
	resource := p.of(new(pubsubpb.Subscription).ProtoReflect().Descriptor())
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(bytes.TrimSpace(text)) == 0 {
			return
		}
		same(t, resource, text, new(pubsubpb.Subscription))
	})
}

func same(t *testing.T, p *plan, text []byte, want proto.Message) {
	t.Helper()
	wantErr := protojson.Unmarshal(text, want)
	encoded, err := decode(nil, text, p)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q\n     our verdict: %v\nofficial verdict: %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	got := want.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(encoded, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("%q\n got %v, %v\nwant %v", text, got, err, want)
	}
}
