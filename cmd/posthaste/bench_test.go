package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestBenchMeasuresPublishingAndCleansUp(t *testing.T) {
	f := newFake(t)
	got := f.run(t, "", "bench", "--only", "publish,single", "--duration", "100ms", "--batch", "10", "--in-flight", "2", "--bytes", "64")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[0], "publish ") || !strings.HasPrefix(lines[1], "single ") ||
		!strings.Contains(lines[0], " messages/s   publish p50 ") {
		t.Errorf("%+v", got)
	}
	if len(f.topics) != 0 {
		t.Errorf("topics left: %v", f.topics)
	}
	var r result
	for window := 50 * time.Millisecond; r.MessagesPerSecond == 0 && window < patience; window *= 4 { // a machine may be too busy for a short one
		got = f.run(t, "", "bench", "--only", "publish", "--duration", window.String(), "--output", "json")
		if err := json.Unmarshal([]byte(got.out), &r); err != nil {
			t.Fatalf("%+v: %v", got, err)
		}
	}
	if r.Work != "publish" || r.MessagesPerSecond <= 0 || r.PublishP99 <= 0 {
		t.Errorf("%+v: %+v", got, r)
	}
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	f := newFake(t)
	for args, want := range map[string]string{
		"--only fast":   `--only: "fast" is unknown; see posthaste bench --help`,
		"--batch 0":     "--batch: must be positive",
		"--duration 0s": "--duration: must be positive",
	} {
		f.run(t, "", append([]string{"bench"}, strings.Fields(args)...)...).want(t, 2, "", "posthaste: "+want+"\n")
	}
	got := runIn(t, nil, "", "bench", "--addr", "127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.errs, "UNAVAILABLE: no server at 127.0.0.1:1") {
		t.Errorf("%+v", got)
	}
}
