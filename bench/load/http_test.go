package load

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func pushBody(number uint64) string {
	data := make([]byte, 100)
	stamp{number: number}.put(data)
	return fmt.Sprintf(`{"message":{"data":%q,"messageId":"1"},"subscription":"s"}`, base64.StdEncoding.EncodeToString(data))
}

func TestEndpointCountsMessages(t *testing.T) {
	e, err := OpenEndpoint()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	post := func(body string) int {
		response, err := http.Post(e.URL, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		return response.StatusCode
	}
	for _, number := range []uint64{0, 2, 2, 1} {
		if status := post(pushBody(number)); status != http.StatusNoContent {
			t.Errorf("message %d: status %d", number, status)
		}
	}
	for _, body := range []string{"", `{"message":{"attributes":{}}}`, `{"message":{"data":"AAAA"}}`, `{"message":{"data":"` + strings.Repeat("?", 100) + `"}}`} {
		if status := post(body); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", body, status)
		}
	}
	if unique, duplicates, _ := e.tracker.progress(); unique != 3 || duplicates != 1 || !e.tracker.complete(3) {
		t.Errorf("%d messages, %d duplicates", unique, duplicates)
	}
}

// restAnswer publishes for a moment to a server that gives this answer.
func restAnswer(t *testing.T, status int, answer string) (*PublishResult, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/projects/p/topics/t:publish" || r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	client, err := Dial(strings.TrimPrefix(server.URL, "http://"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // it was not used
	// Until something was answered: a machine may be too busy for a short window.
	for window := 50 * time.Millisecond; ; window *= 2 {
		result, err := client.PublishREST(t.Context(), PublishWork{Topics: []string{TopicName("p", "t")}, InFlight: 2,
			Shape: Shape{MessagesPerCall: 2, DataBytes: 32}, Warmup: 10 * time.Millisecond, Duration: window})
		if err != nil || result.Calls > 0 || window > time.Minute {
			return result, err
		}
	}
}

func TestPublishRESTCountsAnswers(t *testing.T) {
	result, err := restAnswer(t, http.StatusOK, `{"messageIds":["1","2"]}`)
	if err != nil {
		t.Fatal(err)
	}
	if result.Calls == 0 || result.Messages != 2*result.Calls || result.Latency.Count() != result.Calls {
		t.Errorf("%d messages in %d calls with %d times", result.Messages, result.Calls, result.Latency.Count())
	}
}

func TestPublishRESTFailsOnBadAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		answer string
	}{{http.StatusOK, `{"messageIds":["1"]}`}, {http.StatusServiceUnavailable, "no"}, {http.StatusOK, "{"}} {
		if _, err := restAnswer(t, c.status, c.answer); err == nil {
			t.Errorf("%d %s was accepted", c.status, c.answer)
		}
	}
}
