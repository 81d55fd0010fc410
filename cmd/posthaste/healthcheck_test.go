package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthAsksWhetherCallsAreTaken(t *testing.T) {
	r := startServe(t, t.TempDir(), nil, "--listen", "127.0.0.1:0")
	runIn(t, nil, "", "health", "--addr", r.address).want(t, 0, "ready\n", "")
	runIn(t, map[string]string{"PUBSUB_EMULATOR_HOST": r.address}, "", "health", "--output", "json").want(t, 0, "{\"state\":\"ready\"}\n", "")
	_, port, _ := strings.Cut(r.address, ":")
	for _, listen := range []string{r.address, ":" + port, "0.0.0.0:" + port, "[::]:" + port} {
		runIn(t, map[string]string{"POSTHASTE_LISTEN": listen}, "", "health").want(t, 0, "ready\n", "")
	}
	runIn(t, map[string]string{"POSTHASTE_LISTEN": "127.0.0.1:1"}, "", "health", "--addr", r.address).want(t, 0, "ready\n", "")
}

func TestHealthFailsWithoutAServerAndWhileItStarts(t *testing.T) {
	got := runIn(t, nil, "", "health", "--addr", "127.0.0.1:1")
	if got.code != 1 || !strings.HasPrefix(got.errs, "posthaste: no server at 127.0.0.1:1: ") || strings.Contains(got.errs, "readyz") {
		t.Errorf("%+v", got)
	}
	if got := runIn(t, nil, "", "health", "--addr", "no address"); got.code != 2 {
		t.Errorf("%+v", got)
	}
	starting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "starting\n")
	}))
	defer starting.Close()
	address := strings.TrimPrefix(starting.URL, "http://")
	runIn(t, nil, "", "health", "--addr", address).want(t, 1, "", "posthaste: "+address+" takes no calls: starting\n")
}
