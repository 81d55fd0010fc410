package blackbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// object is a JSON object as a client without generated code sees it.
type object = map[string]any

// rest makes an HTTP call. The body is sent as it is; path begins with the version.
func (s *server) rest(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(limited(t), method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return response, string(text)
}

// good makes a call that succeeds and returns its answer.
func (s *server) good(t *testing.T, method, path, body string) object {
	t.Helper()
	response, text := s.rest(t, method, path, body)
	var answer object
	if err := json.Unmarshal([]byte(text), &answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s, %v", method, path, response.StatusCode, text, err)
	}
	return answer
}

// refused makes a call that fails, and checks code, status and text; an empty text is any.
func (s *server) refused(t *testing.T, method, path, body string, code int, status, text string) object {
	t.Helper()
	response, raw := s.rest(t, method, path, body)
	var answer struct {
		Error struct {
			Code    int
			Message string
			Status  string
			Details []object
		}
	}
	err := json.Unmarshal([]byte(raw), &answer)
	e := answer.Error
	if err != nil || response.StatusCode != code || e.Code != code || e.Status != status || text != "" && e.Message != text {
		t.Errorf("%s %s %s\nanswered %d %s %v\nwant %d %s %q", method, path, body, response.StatusCode, raw, err, code, status, text)
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/json; charset=UTF-8" {
		t.Errorf("%s %s: content type %q", method, path, kind)
	}
	if len(e.Details) == 0 {
		return nil
	}
	return e.Details[0]
}

// at follows keys and positions into an answer; nil when the way ends.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o, _ := v.(object)
			v = o[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

func want(t *testing.T, answer object, value any, path ...any) {
	t.Helper()
	if got := at(answer, path...); fmt.Sprint(got) != fmt.Sprint(value) {
		t.Errorf("%v is %v, want %v in %v", path, got, value, answer)
	}
}

// The way of somebody with curl.
func TestRESTWalk(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := "/v1/"+s.topicName("ttt"), "/v1/"+s.subName("sss")
	want(t, s.good(t, "PUT", topic, ""), s.topicName("ttt"), "name")
	created := s.good(t, "PUT", sub, `{"topic":"`+s.topicName("ttt")+`","ack_deadline_seconds":"20"}`)
	want(t, created, 20, "ackDeadlineSeconds")
	want(t, created, "604800s", "messageRetentionDuration")

	ids := s.good(t, "POST", topic+":publish", `{"messages":[{"data":"aGVsbG8=","attributes":{"a":"b"}},{"attributes":{"c":"d"}}]}`)
	if n := len(at(ids, "messageIds").([]any)); n != 2 {
		t.Errorf("%d message ids", n)
	}
	pulled := s.good(t, "POST", sub+":pull", `{"maxMessages":10}`)
	want(t, pulled, "aGVsbG8=", "receivedMessages", 0, "message", "data")
	want(t, pulled, "b", "receivedMessages", 0, "message", "attributes", "a")
	want(t, pulled, at(ids, "messageIds", 0), "receivedMessages", 0, "message", "messageId")
	for i := range 2 {
		ack := fmt.Sprint(at(pulled, "receivedMessages", i, "ackId"))
		if answer := s.good(t, "POST", sub+":acknowledge", `{"ackIds":["`+ack+`"]}`); len(answer) != 0 {
			t.Errorf("acknowledge answers %v", answer)
		}
	}
	if answer := s.good(t, "POST", sub+":pull", `{"maxMessages":10,"returnImmediately":true}`); len(answer) != 0 {
		t.Errorf("pull of nothing answers %v", answer)
	}
	s.good(t, "DELETE", sub, "")
	s.good(t, "DELETE", topic, "")
	s.refused(t, "GET", topic, "", 404, "NOT_FOUND", "Resource not found (resource=ttt).")
}

func TestRESTServesEveryResourceCall(t *testing.T) {
	t.Parallel()
	s := common(t)
	project := "/v1/projects/" + s.project
	topic, sub := project+"/topics/ttt", project+"/subscriptions/sss"
	s.good(t, "PUT", topic, `{"labels":{"a":"b"}}`)
	s.good(t, "PUT", project+"/topics/uuu", `{}`)
	want(t, s.good(t, "GET", topic, ""), "b", "labels", "a")
	want(t, s.good(t, "PATCH", topic, `{"topic":{"labels":{"c":"d"}},"updateMask":"labels"}`), "d", "labels", "c")
	first := s.good(t, "GET", project+"/topics?pageSize=1", "")
	want(t, first, s.topicName("ttt"), "topics", 0, "name")
	second := s.good(t, "GET", project+"/topics?page_size=1&page_token="+fmt.Sprint(at(first, "nextPageToken")), "")
	want(t, second, s.topicName("uuu"), "topics", 0, "name")
	want(t, second, nil, "nextPageToken")

	s.good(t, "PUT", sub, `{"topic":"`+s.topicName("ttt")+`"}`)
	want(t, s.good(t, "GET", sub, ""), s.topicName("ttt"), "topic")
	want(t, s.good(t, "GET", topic+"/subscriptions", ""), s.subName("sss"), "subscriptions", 0)
	want(t, s.good(t, "GET", project+"/subscriptions", ""), s.subName("sss"), "subscriptions", 0, "name")
	s.good(t, "POST", sub+":modifyPushConfig", `{"pushConfig":{}}`)
	changed := s.good(t, "PATCH", sub, `{"subscription":{"ackDeadlineSeconds":77},"updateMask":"ackDeadlineSeconds"}`)
	want(t, changed, 77, "ackDeadlineSeconds")

	s.good(t, "POST", topic+":publish", `{"messages":[{"data":"eA"}]}`)
	ack := fmt.Sprint(at(s.good(t, "POST", sub+":pull", `{"maxMessages":1}`), "receivedMessages", 0, "ackId"))
	s.good(t, "POST", sub+":modifyAckDeadline", `{"ackIds":["`+ack+`"],"ackDeadlineSeconds":0}`)
	ack = fmt.Sprint(at(s.good(t, "POST", sub+":pull", `{"maxMessages":1}`), "receivedMessages", 0, "ackId"))
	s.good(t, "POST", sub+":acknowledge", `{"ackIds":["`+ack+`"]}`)
	s.good(t, "DELETE", sub, "")
	s.good(t, "DELETE", topic, "")
}

// Terraform's provider leaves the name out of the resource and puts the mask into the query.
func TestTerraformUpdates(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	changed := s.good(t, "PATCH", "/v1/"+topic+"?updateMask=labels%2CmessageRetentionDuration&alt=json",
		`{"topic":{"labels":{"a":"b"},"messageRetentionDuration":"86400s"}}`)
	want(t, changed, topic, "name")
	want(t, changed, "86400s", "messageRetentionDuration")
	changed = s.good(t, "PATCH", "/v1/"+sub+"?updateMask=ackDeadlineSeconds%2CretryPolicy",
		`{"subscription":{"ackDeadlineSeconds":30,"retryPolicy":{"minimumBackoff":"1.500s"}}}`)
	want(t, changed, 30, "ackDeadlineSeconds")
	want(t, changed, "1.500s", "retryPolicy", "minimumBackoff")
	s.refused(t, "PATCH", "/v1/"+topic, `{"topic":{}}`, 400, "INVALID_ARGUMENT",
		"The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.")
}

func TestRESTErrors(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	const cannotFind = `Invalid JSON payload received. Unknown name "noSuchField": Cannot find field.`
	detail := s.refused(t, "PUT", "/v1/"+s.topicName("new"), `{"noSuchField":1}`, 400, "INVALID_ARGUMENT", cannotFind)
	want(t, detail, "type.googleapis.com/google.rpc.BadRequest", "@type")
	want(t, detail, cannotFind, "fieldViolations", 0, "description")
	for _, test := range []struct {
		call, body string
		code       int
		status     string
		text       string
	}{
		{"PUT /v1/" + topic, "", 409, "ALREADY_EXISTS", "Resource already exists in the project (resource=t-x)."},
		{"GET /v1/" + s.topicName("none"), "", 404, "NOT_FOUND", "Resource not found (resource=none)."},
		{"PUT /v1/" + s.topicName("1"), "", 400, "INVALID_ARGUMENT", ""},
		{"POST /v1/" + topic + ":publish", `{"messages":[{}]}`, 400, "INVALID_ARGUMENT", ""},
		{"POST /v1/" + topic + ":publish", `{"messages":[{"data":"*"}]}`, 400, "INVALID_ARGUMENT", `Invalid value at 'messages[0].data' (TYPE_BYTES), Base64 decoding failed for "*"`},
		{"POST /v1/" + topic + ":publish", `{"messages":[`, 400, "INVALID_ARGUMENT", ""},
		{"POST /v1/" + topic + ":publish", `[]`, 400, "INVALID_ARGUMENT", ""},
		{"POST /v1/" + sub + ":pull", `{"maxMessages":"1h"}`, 400, "INVALID_ARGUMENT", `Invalid value at 'max_messages' (TYPE_INT32), "1h"`},
		{"GET /v1/" + topic + "?foo=1", "", 400, "INVALID_ARGUMENT", `Invalid JSON payload received. Unknown name "foo": Cannot bind query parameter. Field 'foo' could not be found in request message.`},
		{"GET /v1/projects/p/topics?pageSize=x", "", 400, "INVALID_ARGUMENT", `Invalid value at 'page_size' (TYPE_INT32), "x"`},
		{"GET /v1/" + topic + "?%zz", "", 400, "INVALID_ARGUMENT", ""},
		{"GET /v1/" + topic, `{"x":1}`, 400, "INVALID_ARGUMENT", ""},
		{"PUT //v1/" + topic, "", 404, "NOT_FOUND", "Not found: there is no method PUT //v1/" + topic + "."},
		{"GET /v1/x/../" + topic, "", 404, "NOT_FOUND", ""},
		{"GET /v1beta1/" + topic, "", 404, "NOT_FOUND", ""},
		{"GET /v1/" + topic + ":publish", "", 405, "UNIMPLEMENTED", ""},
		{"POST /v1/" + topic + ":nothing", "{}", 404, "NOT_FOUND", ""},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		s.refused(t, method, path, test.body, test.code, test.status, test.text)
	}
}

func TestPathWinsOverTheBodysName(t *testing.T) {
	t.Parallel()
	s := common(t)
	want(t, s.good(t, "PUT", "/v1/"+s.topicName("here"), `{"name":"projects/p/topics/elsewhere"}`), s.topicName("here"), "name")
}

func TestSystemParametersAreNoFields(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "ttt")
	for _, query := range []string{"alt=json", "$alt=json", "%24alt=json;enum-encoding=int", "$.xgafv=2", "key=k", "quotaUser=u", "access_token=a", "callback=c", "uploadType=media", "prettyPrint=true"} {
		s.good(t, "GET", "/v1/"+topic+"?"+strings.ReplaceAll(query, ";", "%3B"), "")
	}
	_, pretty := s.rest(t, "GET", "/v1/"+topic, "")
	_, compact := s.rest(t, "GET", "/v1/"+topic+"?prettyPrint=false", "")
	if !strings.HasPrefix(pretty, "{\n  \"name\": \"") || !strings.HasPrefix(compact, `{"name":"`) {
		t.Errorf("pretty:\n%s\ncompact:\n%s", pretty, compact)
	}
}

func TestOneStoreForBothForms(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	data := []byte{0, 0xfb, 0xff, 'x'}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		s.good(t, "POST", "/v1/"+topic+":publish", `{"messages":[{"data":"`+encoding.EncodeToString(data)+`","orderingKey":"é"}]}`)
	}
	for _, m := range s.pull(t, sub, 4) {
		if !bytes.Equal(m.Message.Data, data) || m.Message.OrderingKey != "é" {
			t.Errorf("got %v", m.Message)
		}
	}
	s.publish(t, topic, "over gRPC")
	pulled := s.good(t, "POST", "/v1/"+sub+":pull", `{"maxMessages":1}`)
	want(t, pulled, base64.StdEncoding.EncodeToString([]byte("over gRPC")), "receivedMessages", 0, "message", "data")
	var received pb.ReceivedMessage
	received.AckId = fmt.Sprint(at(pulled, "receivedMessages", 0, "ackId"))
	s.ack(t, sub, &received)
}
