package rest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// read decodes a JSON text into a message of the type of empty.
func read(text string, empty proto.Message) (proto.Message, error) {
	var p plans
	encoded, err := decode(nil, []byte(text), p.of(empty.ProtoReflect().Descriptor()))
	if err != nil {
		return nil, err
	}
	into := empty.ProtoReflect().New().Interface()
	return into, proto.Unmarshal(encoded, into)
}

func TestTexts(t *testing.T) {
	for text, want := range map[string]string{
		`{"topic":"t"}`:                       "topic:'t'",
		` { "topic" : "t" } `:                 "topic:'t'",
		``:                                    "",
		" \n":                                 "",
		`{}`:                                  "",
		`{"topic":null,"messages":null}`:      "",
		`{"topic":"\u0041\n\ud83d\ude00\/"}`:  `topic:'A\n😀/'`,
		`{"messages":[]}`:                     "",
		`{"messages":[{"data":"aGk="}]}`:      "messages{data:'hi'}",
		`{"messages":[{"data":"aGk"}]}`:       "messages{data:'hi'}",
		`{"messages":[{"data":"-_8="}]}`:      `messages{data:'\xfb\xff'}`,
		`{"messages":[{"data":"+\/8"}]}`:      `messages{data:'\xfb\xff'}`,
		`{"messages":[{"ordering_key":"k"}]}`: "messages{ordering_key:'k'}",
		`{"messages":[{"orderingKey":"k"}]}`:  "messages{ordering_key:'k'}",
		`{"messages":[{"attributes":{"a":"b","":""}}]}`:           "messages{attributes{key:'a' value:'b'} attributes{key:'' value:''}}",
		`{"messages":[{"publishTime":"2020-01-02T03:04:05.5Z"}]}`: "messages{publish_time{seconds:1577934245 nanos:500000000}}",
	} {
		wanted := new(pubsubpb.PublishRequest)
		if err := prototext.Unmarshal([]byte(want), wanted); err != nil {
			t.Fatal(err)
		}
		got, err := read(text, wanted)
		if err != nil || !proto.Equal(got, wanted) {
			t.Errorf("%s\n got %v, %v\nwant %v", text, got, err, wanted)
		}
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]string{
		`{"ackDeadlineSeconds":20}`:                                              "ack_deadline_seconds:20",
		`{"ackDeadlineSeconds":"20"}`:                                            "ack_deadline_seconds:20",
		`{"ack_deadline_seconds":2.0e1}`:                                         "ack_deadline_seconds:20",
		`{"ackDeadlineSeconds":-0}`:                                              "",
		`{"ackDeadlineSeconds":1200e-2}`:                                         "ack_deadline_seconds:12",
		`{"enableMessageOrdering":true,"detached":false}`:                        "enable_message_ordering:true",
		`{"messageRetentionDuration":"600s"}`:                                    "message_retention_duration{seconds:600}",
		`{"messageRetentionDuration":"3600.500s"}`:                               "message_retention_duration{seconds:3600 nanos:500000000}",
		`{"cloudStorageConfig":{"maxBytes":"1000","textConfig":{}}}`:             "cloud_storage_config{max_bytes:1000 text_config{}}",
		`{"cloudStorageConfig":{"maxBytes":1000}}`:                               "cloud_storage_config{max_bytes:1000}",
		`{"state":"ACTIVE"}`:                                                     "state:ACTIVE",
		`{"state":2}`:                                                            "state:RESOURCE_ERROR",
		`{"state":99}`:                                                           "state:99",
		`{"expirationPolicy":{}}`:                                                "expiration_policy{}",
		`{"pushConfig":{"oidcToken":null,"noWrapper":{}}}`:                       "push_config{no_wrapper{}}",
		`{"labels":{"a":"b"},"messageTransforms":[{"disabled":true},{}]}`:        "labels{key:'a' value:'b'} message_transforms{disabled:true} message_transforms{}",
		`{"deadLetterPolicy":{"deadLetterTopic":"t","max_delivery_attempts":7}}`: "dead_letter_policy{dead_letter_topic:'t' max_delivery_attempts:7}",
	} {
		wanted := new(pubsubpb.Subscription)
		if err := prototext.Unmarshal([]byte(want), wanted); err != nil {
			t.Fatal(err)
		}
		got, err := read(text, wanted)
		if err != nil || !proto.Equal(got, wanted) {
			t.Errorf("%s\n got %v, %v\nwant %v", text, got, err, wanted)
		}
	}
}

func TestMasksComeInBothSpellings(t *testing.T) {
	for text, want := range map[string]string{
		`{"updateMask":"ackDeadlineSeconds,labels"}`:    "update_mask{paths:'ack_deadline_seconds' paths:'labels'}",
		`{"update_mask":"ack_deadline_seconds,labels"}`: "update_mask{paths:'ack_deadline_seconds' paths:'labels'}",
		`{"updateMask":"pushConfig.pushEndpoint, ,"}`:   "update_mask{paths:'push_config.push_endpoint'}",
		`{"updateMask":""}`:                             "update_mask{}",
	} {
		wanted := new(pubsubpb.UpdateSubscriptionRequest)
		if err := prototext.Unmarshal([]byte(want), wanted); err != nil {
			t.Fatal(err)
		}
		got, err := read(text, wanted)
		if err != nil || !proto.Equal(got, wanted) {
			t.Errorf("%s\n got %v, %v\nwant %v", text, got, err, wanted)
		}
	}
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"noSuchField":1}`:                                              `: Invalid JSON payload received. Unknown name "noSuchField": Cannot find field.`,
		`{"topic":{"x":[{}],"y":"\""},"z":null}`:                         `topic: Invalid JSON payload received. Unknown name "x" at 'topic': Cannot find field.|topic: Invalid JSON payload received. Unknown name "y" at 'topic': Cannot find field.|: Invalid JSON payload received. Unknown name "z": Cannot find field.`,
		`{"topic":{"messageTransforms":[{},{"javascriptUdf":{"x":1}}]}}`: `topic.message_transforms[1].javascript_udf: Invalid JSON payload received. Unknown name "x" at 'topic.message_transforms[1].javascript_udf': Cannot find field.`,
		`{"` + strings.Repeat("x", 1<<20) + `":1}`:                       `: Invalid JSON payload received. Unknown name "` + strings.Repeat("x", valueBytesShown) + `": Cannot find field.`,
		`{"topic":{"messageRetentionDuration":"1h"}}`:                    `topic.message_retention_duration: Invalid value at 'topic.message_retention_duration' (type.googleapis.com/google.protobuf.Duration), "1h"`,
		`{"topic":{"name":7}}`:                                           `topic.name: Invalid value at 'topic.name' (TYPE_STRING), "7"`,
		`{"topic":{"name":{}}}`:                                          `topic.name: Invalid value at 'topic.name' (TYPE_STRING), {}`,
		`{"topic":{"satisfiesPzs":"true"}}`:                              `topic.satisfies_pzs: Invalid value at 'topic.satisfies_pzs' (TYPE_BOOL), "true"`,
		`{"topic":{"state":"NO"}}`:                                       `topic.state: Invalid value at 'topic.state' (type.googleapis.com/google.pubsub.v1.Topic.State), "NO"`,
		`{"topic":[]}`:                                                   `topic: Invalid value at 'topic' (type.googleapis.com/google.pubsub.v1.Topic), []`,
		`{"topic":{"labels":{"a":"b","a":"c"}}}`:                         `topic.labels[1]: Invalid value at 'topic.labels[1]', the key is given twice`,
		`{"topic":{"labels":{"a":null}}}`:                                `topic.labels[0].value: Invalid value at 'topic.labels[0].value' (TYPE_STRING), "null"`,
		`{"topic":{"labels":[]}}`:                                        `topic.labels: Invalid value at 'topic.labels', an object is expected`,
		`{"topic":{"messageTransforms":{}}}`:                             `topic.message_transforms: Invalid value at 'topic.message_transforms', a list is expected`,
		`{"topic":{},"topic":{}}`:                                        `topic: Invalid value at 'topic', the field is given twice`,
		`{"updateMask":{}}`:                                              `update_mask: Invalid value at 'update_mask', a string of comma-separated paths is expected`,
		`{"updateMask":"x","update_mask":"x"}`:                           `update_mask: Invalid value at 'update_mask', the field is given twice`,
		`[]`:                                                             `: Invalid JSON payload received. The text must be an object.`,
		`null`:                                                           `: Invalid JSON payload received. The text must be an object.`,
		`{"topic":{"name":"x}`:                                           ": Invalid JSON payload received. Unexpected end of string. Expected a string.\n{\"topic\":{\"name\":\"x}\n                    ^",
		`{"topic":nul}`:                                                  ": Invalid JSON payload received. Unexpected token. Expected a value.\n{\"topic\":nul}\n         ^",
		`{} x`:                                                           ": Invalid JSON payload received. Unexpected token. Expected end of the text.\n{} x\n   ^",
		`{"topic" 1}`:                                                    ": Invalid JSON payload received. Unexpected token. Expected : between key:value pair.\n{\"topic\" 1}\n         ^",
		`{"topic":{}`:                                                    ": Invalid JSON payload received. Unexpected end of string. Expected , or } after key:value pair.\n{\"topic\":{}\n           ^",
		`{topic:1}`:                                                      ": Invalid JSON payload received. Unexpected token. Expected an object key or }.\n{topic:1}\n ^",
		"\x00":                                                           "",
		`{"x":` + strings.Repeat("[", depthMax+1):                        "",
		`{"topic":{"ingestionDataSourceSettings":{"awsKinesis":{},"cloudStorage":{}}}}`: `topic.ingestion_data_source_settings.cloud_storage: Invalid value at 'topic.ingestion_data_source_settings.cloud_storage', oneof field 'source' is already set`,
	} {
		_, err := read(text, new(pubsubpb.UpdateTopicRequest))
		bad, is := err.(*badRequest)
		if !is {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, v := range bad.violations {
			got = append(got, v.field+": "+v.description)
		}
		if want != "" && strings.Join(got, "|") != want {
			t.Errorf("%s\n got %s\nwant %s", text, strings.Join(got, "|"), want)
		}
	}
}

func TestManyUnknownNamesAreNotAllRepeated(t *testing.T) {
	_, err := read("{"+strings.Repeat(`"x":1,`, 10*unknownMax)+`"x":1}`, new(pubsubpb.Topic))
	if bad, is := err.(*badRequest); !is || len(bad.violations) != unknownMax {
		t.Errorf("got %v", err)
	}
}

func TestManyMapKeysAreCompared(t *testing.T) {
	var text strings.Builder
	for i := range 3 * mapKeysFew {
		text.WriteString(`"k` + strings.Repeat("x", i) + `":"v",`)
	}
	if _, err := read(`{"labels":{`+text.String()+`"other":"v"}}`, new(pubsubpb.Topic)); err != nil {
		t.Error(err)
	}
	for _, again := range []string{"k", "k" + strings.Repeat("x", 3*mapKeysFew-1)} {
		if _, err := read(`{"labels":{`+text.String()+`"`+again+`":"v"}}`, new(pubsubpb.Topic)); err == nil {
			t.Errorf("the key %s is taken twice", again)
		}
	}
}

func TestOfficialReadersFreeFormsAreRead(t *testing.T) {
	for _, text := range []string{`{"fields":{"a":{"nullValue":null}}}`, `{"a":[1,{"b":null}]}`} {
		got, err := read(text, new(structpb.Struct))
		want := new(structpb.Struct)
		if wantErr := protojson.Unmarshal([]byte(text), want); err != nil || wantErr != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

// plainByHand is what plain counts, a byte at a time.
func plainByHand(b []byte) (n int) {
	for n < len(b) && b[n] >= ' ' && b[n] < 0x80 && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

func TestPlainBytesAreCountedRight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(' ' + random.IntN(96))
			if random.IntN(8) == 0 {
				b[i] = byte(random.Uint32())
			}
		}
		if got, want := plain(b), plainByHand(b); got != want {
			t.Fatalf("%q: %d, want %d", b, got, want)
		}
	}
}
