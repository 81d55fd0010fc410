package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

func TestPullPrintsAndAcknowledges(t *testing.T) {
	f := newFake(t)
	f.give("hello")
	f.give("two\nlines", func(m *pubsubpb.PubsubMessage) {
		m.Attributes = map[string]string{"b": "2", "a": "1"}
		m.OrderingKey = "k"
	})
	f.give("\xff", func(m *pubsubpb.PubsubMessage) { m.OrderingKey = "only" })
	f.run(t, "", "pull", "s", "--auto-ack").want(t, 0, "1 2026-01-02T03:04:05.678Z hello\n", "")
	if !slices.Equal(f.confirmed(), []string{"ack-1"}) {
		t.Errorf("acknowledged %v", f.confirmed())
	}
	f.run(t, "", "pull", "s", "--max", "10").want(t, 0,
		"2 2026-01-02T03:04:05.678Z {a=1,b=2 key:k} \"two\\nlines\"\n3 2026-01-02T03:04:05.678Z {key:only} \"\\xff\"\n", "")
	if len(f.confirmed()) != 1 {
		t.Errorf("without --auto-ack, acknowledged %v", f.confirmed())
	}
}

func TestPullAsJSONLines(t *testing.T) {
	f := newFake(t)
	f.give("a")
	f.give("b", func(m *pubsubpb.PubsubMessage) { m.Attributes = map[string]string{"x": "y"} })
	f.run(t, "", "pull", "s", "--max", "2", "--output", "json").want(t, 0,
		`{"ackId":"ack-1","message":{"data":"YQ==","messageId":"1","publishTime":"2026-01-02T03:04:05.678Z"}}
{"ackId":"ack-2","message":{"data":"Yg==","attributes":{"x":"y"},"messageId":"2","publishTime":"2026-01-02T03:04:05.678Z"}}
`, "")
}

func TestPullOfAnEmptySubscriptionEndsInTime(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "pull", "s", "--timeout", "50ms").want(t, 0, "", "")
	f.run(t, "", "pull", "s", "--follow", "--timeout", "50ms").want(t, 0, "", "")
}

func TestPullTakesManyCallsForManyMessages(t *testing.T) {
	f := newFake(t)
	for range 5 {
		f.give("x")
	}
	got := f.run(t, "", "pull", "s", "--max", "5", "--auto-ack")
	if strings.Count(got.out, "\n") != 5 || len(f.confirmed()) != 5 {
		t.Errorf("printed %q, acknowledged %v", got.out, f.confirmed())
	}
}

func TestFollowEndsAfterEnough(t *testing.T) {
	f := newFake(t)
	for range 5 {
		f.give("x")
	}
	got := f.run(t, "", "pull", "s", "--follow", "--auto-ack", "--max", "3")
	if got.code != 0 || strings.Count(got.out, "\n") != 3 {
		t.Errorf("%+v", got)
	}
	if !slices.Contains(f.confirmed(), "ack-3") || slices.Contains(f.confirmed(), "ack-4") {
		t.Errorf("acknowledged %v: what is printed, and no more", f.confirmed())
	}
}

func TestFollowGoesOnUntilInterrupted(t *testing.T) {
	f := newFake(t)
	f.give("x")
	f.give("y")
	f.give("z")
	f.breakStreams = 1
	ctx, cancel := context.WithCancel(t.Context())
	var errs strings.Builder
	a := &app{in: strings.NewReader(""), out: io.Discard, errs: &errs, lookupEnv: lookupIn(map[string]string{"POSTHASTE_ADDR": f.address})}
	ended := make(chan int, 1)
	go func() { ended <- a.execute(ctx, []string{"pull", "s", "--follow", "--auto-ack"}) }()
	select { // z comes over the second stream, whose acknowledgement arrives; those of the first may be lost with it
	case <-f.ackedEvent:
	case <-time.After(patience):
		t.Error("nothing was acknowledged")
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("code %d: being interrupted is how it ends", code)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.streams < 2 || !strings.Contains(errs.String(), "follow projects/posthaste/subscriptions/s: UNAVAILABLE: The broker is shutting down.; trying again") {
		t.Errorf("%d streams, said %q", f.streams, errs.String())
	}
}

func TestFollowOfAServerThatIsNotThereFails(t *testing.T) {
	got := runIn(t, nil, "", "pull", "s", "--follow", "--addr", "127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.errs, "UNAVAILABLE: no server at 127.0.0.1:1") {
		t.Errorf("%+v", got)
	}
}
