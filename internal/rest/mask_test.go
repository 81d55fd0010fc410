package rest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// list is an answer with every kind of value: messages in a list and alone, a map, a list of texts, a well-known type.
func list() *pubsubpb.ListTopicsResponse {
	return &pubsubpb.ListTopicsResponse{NextPageToken: "more", Topics: []*pubsubpb.Topic{
		{Name: "a", KmsKeyName: "k", Labels: map[string]string{"one": "1", "two": "2"}, MessageRetentionDuration: durationpb.New(600e9)},
		{Name: "b", MessageStoragePolicy: &pubsubpb.MessageStoragePolicy{AllowedPersistenceRegions: []string{"r"}, EnforceInTransit: true}},
	}}
}

func pick(t *testing.T, answer proto.Message, query string, header http.Header) (proto.Message, error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := partial(answer.ProtoReflect().Descriptor(), values, header)
	if err != nil {
		return nil, err
	}
	return wanted.of(answer), nil
}

func TestAMaskSelectsPartsOfAnAnswer(t *testing.T) {
	const first = `"labels":{"one":"1","two":"2"},"messageRetentionDuration":"600s"`
	const second = `"messageStoragePolicy":{"allowedPersistenceRegions":["r"],"enforceInTransit":true}`
	all := `{"topics":[{"name":"a","kmsKeyName":"k",` + first + `},{"name":"b",` + second + `}],"nextPageToken":"more"}`
	names := `{"topics":[{"name":"a"},{"name":"b"}]}`
	for mask, want := range map[string]string{
		"":                                    all,
		"*":                                   all,
		"*,topics/name":                       all,
		"topics/name,*":                       all,
		"topics/*,*":                          all,
		"nextPageToken":                       `{"nextPageToken":"more"}`,
		"next_page_token":                     `{"nextPageToken":"more"}`,
		"topics/name":                         names,
		"topics.name":                         names,
		"topics(name)":                        names,
		"topics/*/enforceInTransit":           `{"topics":[{},{"messageStoragePolicy":{"enforceInTransit":true}}]}`,
		"*/name":                              names,
		" topics ( name ) ":                   names,
		"topics(name,kmsKeyName)":             `{"topics":[{"name":"a","kmsKeyName":"k"},{"name":"b"}]}`,
		"topics/name,topics/kms_key_name":     `{"topics":[{"name":"a","kmsKeyName":"k"},{"name":"b"}]}`,
		"topics/name,nextPageToken":           `{"topics":[{"name":"a"},{"name":"b"}],"nextPageToken":"more"}`,
		"topics(labels)":                      `{"topics":[{"labels":{"one":"1","two":"2"}},{}]}`,
		"topics/labels/one":                   `{"topics":[{"labels":{"one":"1"}},{}]}`,
		"topics/labels/three":                 `{"topics":[{},{}]}`,
		"topics/labels/*":                     `{"topics":[{"labels":{"one":"1","two":"2"}},{}]}`,
		"topics/labels(one,*)":                `{"topics":[{"labels":{"one":"1","two":"2"}},{}]}`,
		"topics/labels/one,topics/labels":     `{"topics":[{"labels":{"one":"1","two":"2"}},{}]}`,
		"topics/labels/one,topics/labels/two": `{"topics":[{"labels":{"one":"1","two":"2"}},{}]}`,
		"topics(messageRetentionDuration)":    `{"topics":[{"messageRetentionDuration":"600s"},{}]}`,
		"topics/messageStoragePolicy(allowedPersistenceRegions)":        `{"topics":[{},{"messageStoragePolicy":{"allowedPersistenceRegions":["r"]}}]}`,
		"topics(name,message_storage_policy/allowedPersistenceRegions)": `{"topics":[{"name":"a"},{"name":"b","messageStoragePolicy":{"allowedPersistenceRegions":["r"]}}]}`,
	} {
		answer := list()
		got, err := pick(t, answer, url.Values{"fields": {mask}}.Encode(), nil)
		if err != nil {
			t.Errorf("%q: %v", mask, err)
			continue
		}
		wanted := new(pubsubpb.ListTopicsResponse)
		if err := protojson.Unmarshal([]byte(want), wanted); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, wanted) {
			t.Errorf("%q\n got %v\nwant %v", mask, got, wanted)
		}
		if !proto.Equal(answer, list()) {
			t.Errorf("%q has changed the handler's answer", mask)
		}
	}
}

func TestAMaskComesInTheQueryOrInAHeader(t *testing.T) {
	for _, test := range []struct{ query, header, want string }{
		{"fields=nextPageToken", "", "nextPageToken"},
		{"$fields=nextPageToken", "", "nextPageToken"},
		{"fields=nextPageToken&fields=topics/name", "", "nextPageToken,topics/name"},
		{"", "topics/name", "topics/name"},
		{"fields=nextPageToken", "topics/name", "nextPageToken"},
		{"fields=", "", "*"},
		{"fields=,", "", "*"},
	} {
		header := make(http.Header)
		if test.header != "" {
			header.Set("X-Goog-FieldMask", test.header)
		}
		got, err := pick(t, list(), test.query, header)
		want, wantErr := pick(t, list(), "fields="+test.want, nil)
		if err != nil || wantErr != nil || !proto.Equal(got, want) {
			t.Errorf("%q and %q select %v, %v, want %v", test.query, test.header, got, err, want)
		}
	}
}

func TestABadMaskIsRefused(t *testing.T) {
	for mask, want := range map[string]string{
		"name":                  "Cannot find matching fields for path 'name'",
		"topics/nom":            "Cannot find matching fields for path 'topics.nom'",
		"topics(name,nom)":      "Cannot find matching fields for path 'topics.nom'",
		"topics,topics/nom":     "Cannot find matching fields for path 'topics.nom'",
		"topics/name/first":     "Cannot find matching fields for path 'topics.name.first'",
		"topics/labels/one/two": "Cannot find matching fields for path 'topics.labels.one.two'",
		"topics/messageRetentionDuration/seconds": "Cannot find matching fields for path 'topics.messageRetentionDuration.seconds'",
		"*/nom":                        "Cannot find matching fields for path '*.nom'",
		"topics(name":                  "malformed at character 12",
		"topics(name))":                "malformed at character 13",
		"topics()":                     "malformed at character 8",
		"topics//name":                 "malformed at character 8",
		"topics/":                      "malformed at character 8",
		"topics name":                  "malformed at character 8",
		"nextPageToken,,topics":        "malformed at character 15",
		"(name)":                       "malformed at character 1",
		strings.Repeat("*/", 30) + "*": "malformed at character 41",
		strings.Repeat("*,", limit.RESTMaskBytesMax) + "*": "at most 8192 are allowed",
	} {
		if _, err := pick(t, list(), url.Values{"fields": {mask}}.Encode(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", mask, err, want)
		}
	}
}

func TestAMaskHoldsForGoodAnswersOnly(t *testing.T) {
	r := run(t, Options{})
	if response, text := r.call(t, "GET", "/v1/projects/p/topics/ttt?fields=name&prettyPrint=false", ""); response.StatusCode != 200 || text != `{"name":"projects/p/topics/ttt"}`+"\n" {
		t.Errorf("%s %s", response.Status, text)
	}
	response, text := r.call(t, "DELETE", "/v1/projects/p/topics/ttt?fields=name", "")
	if response.StatusCode != 400 || !strings.Contains(text, `"field": "name"`) || !strings.Contains(text, "Cannot find matching fields for path 'name'") || !strings.Contains(text, `"status": "INVALID_ARGUMENT"`) {
		t.Errorf("%s %s", response.Status, text)
	}
	if _, deleted := r.got.(*pubsubpb.DeleteTopicRequest); deleted {
		t.Error("the call ran although its mask is bad")
	}
	if response, text = r.call(t, "GET", "/v1/projects/p/subscriptions/sss?fields=name", ""); response.StatusCode != 501 || !strings.Contains(text, `"UNIMPLEMENTED"`) {
		t.Errorf("%s %s", response.Status, text)
	}
}

// FuzzMask checks that whatever a mask selects is in the answer, and that selecting again changes nothing.
func FuzzMask(f *testing.F) {
	for _, mask := range []string{"*", "topics/name", "topics(name,labels/one),nextPageToken", "*/*/enforceInTransit", "topics.labels(*,a)", "topics((name", "a/(b)", "topics /\tname"} {
		f.Add(mask)
	}
	f.Fuzz(func(t *testing.T, mask string) {
		query := url.Values{"fields": {mask}}.Encode()
		part, err := pick(t, list(), query, nil)
		if err != nil {
			return
		}
		if again, err := pick(t, part, query, nil); err != nil || !proto.Equal(again, part) {
			t.Errorf("%q selects %v, and of that %v, %v", mask, part, again, err)
		}
		// The encoding's rules merge the part into the whole. Lists would be joined, so each stands alone.
		all := list()
		for i, topic := range part.(*pubsubpb.ListTopicsResponse).Topics {
			merged := proto.Clone(all.Topics[i])
			for key := range topic.Labels {
				if topic.Labels[key] != all.Topics[i].Labels[key] {
					t.Errorf("%q makes labels up: %v", mask, topic.Labels)
				}
			}
			if topic.MessageStoragePolicy != nil {
				merged.(*pubsubpb.Topic).MessageStoragePolicy.AllowedPersistenceRegions = nil
				if len(topic.MessageStoragePolicy.AllowedPersistenceRegions) == 0 {
					topic.MessageStoragePolicy.AllowedPersistenceRegions = all.Topics[i].MessageStoragePolicy.AllowedPersistenceRegions
				}
			}
			proto.Merge(merged, topic)
			if !proto.Equal(merged, all.Topics[i]) {
				t.Errorf("%q selects %v of %v", mask, topic, all.Topics[i])
			}
		}
	})
}
