package blackbox

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestResetNeedsDev(t *testing.T) {
	t.Parallel()
	s := own(t, "--dev") // first: a server that was given from outside is not to be wiped
	common(t).refused(t, "POST", "/reset", "", 404, "NOT_FOUND", "")
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	schema := "projects/" + s.project + "/schemas/sss"
	s.good(t, "POST", "/v1/projects/"+s.project+"/schemas?schemaId=sss",
		`{"type":"AVRO","definition":"{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"f\",\"type\":\"string\"}]}"}`)
	s.good(t, "PUT", "/v1/projects/"+s.project+"/snapshots/sss", `{"subscription":"`+sub+`"}`)
	if response, text := s.rest(t, "POST", "/reset", ""); response.StatusCode != 200 {
		t.Fatalf("reset: %d %s", response.StatusCode, text)
	}
	for _, path := range []string{topic, sub, schema, "projects/" + s.project + "/snapshots/sss"} {
		s.refused(t, "GET", "/v1/"+path, "", 404, "NOT_FOUND", "")
	}
	s.restart(t, true)
	s.refused(t, "GET", "/v1/"+topic, "", 404, "NOT_FOUND", "")
	_, sub = s.pair(t, "x")
	if left := s.pullNow(t, sub); len(left) != 0 {
		t.Errorf("messages from before: %v", left)
	}
}

func TestPullOverRESTWaitsForMessages(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")

	// One that leaves first: it must not hold the message that comes later.
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/v1/"+sub+":pull", strings.NewReader(`{"maxMessages":1}`))
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()

	pulled := make(chan object)
	go func() {
		defer close(pulled)
		response, text := s.rest(t, "POST", "/v1/"+sub+":pull", `{"maxMessages":1}`)
		if response.StatusCode != 200 {
			t.Errorf("pull: %d %s", response.StatusCode, text)
		}
		pulled <- object{"text": text}
	}()
	leave()
	<-left
	s.publish(t, topic, "late")
	answer := <-pulled
	if text := fmt.Sprint(answer["text"]); !strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("late"))) {
		t.Errorf("pulled %s", text)
	}
}

func TestSlowClientsDoNotHurtAnHonestOne(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	for i := range 400 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		begin := []string{
			"", "G", "POST /v1/" + topic + ":publish HTTP/1.1\r\nHost: x\r\n",
			"POST /v1/" + topic + ":publish HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n{",
		}[i%4]
		if _, err := conn.Write([]byte(begin)); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		s.good(t, "POST", "/v1/"+topic+":publish", `{"messages":[{"data":"eA=="}]}`)
	}
	s.pull(t, sub, 20)
}

func TestLargeRequestsOverREST(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	publish := func(bytes int) string {
		return `{"messages":[{"data":"` + base64.StdEncoding.EncodeToString(make([]byte, bytes)) + `"}]}`
	}
	s.good(t, "POST", "/v1/"+topic+":publish", publish(9_999_000))
	answer := s.good(t, "POST", "/v1/"+sub+":pull", `{"maxMessages":1}`)
	data, err := base64.StdEncoding.DecodeString(fmt.Sprint(at(answer, "receivedMessages", 0, "message", "data")))
	if err != nil || len(data) != 9_999_000 {
		t.Errorf("%d bytes came back, %v", len(data), err)
	}
	s.refused(t, "POST", "/v1/"+topic+":publish", publish(10_000_001), 400, "INVALID_ARGUMENT", "")
	s.refused(t, "POST", "/v1/"+topic+":publish", publish(16<<20), 400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes.")
	headers := strings.Repeat("x", 100<<10)
	if response, _ := s.rest(t, "GET", "/v1/"+topic, "", "X-Large", headers); response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("100 KiB of headers: %d", response.StatusCode)
	}
}
