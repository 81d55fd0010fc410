package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// data lists the data of all published messages, in the order of the calls.
func (f *fake) data() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var all []string
	for _, r := range f.published {
		for _, m := range r.Messages {
			all = append(all, string(m.Data))
		}
	}
	return all
}

func TestPublishArguments(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "t")
	f.run(t, "ignored", "publish", "t", "hello", "world", "--attribute", "a=1", "--attribute", "b=", "--ordering-key", "k").
		want(t, 0, "1\n2\n", "")
	if len(f.published) != 1 {
		t.Fatalf("%d calls", len(f.published))
	}
	for i, m := range f.published[0].Messages {
		if string(m.Data) != []string{"hello", "world"}[i] || m.OrderingKey != "k" || len(m.Attributes) != 2 || m.Attributes["a"] != "1" {
			t.Errorf("message %d: %v", i, m)
		}
	}
	f.run(t, "", "publish", "t", "x", "--output", "json").want(t, 0, `{"messageId":"3"}`+"\n", "")
	f.run(t, "", "publish", "t", "", "--attribute", "only=attributes").want(t, 0, "4\n", "")
	f.run(t, "", "publish", "nowhere", "x").
		want(t, 1, "", "posthaste: publish to projects/p/topics/nowhere: NOT_FOUND: Resource not found (resource=t).\n")
}

func TestPublishFiles(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "t")
	name := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(name, []byte("two\nlines\x00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(t, "", "publish", "t", "first", "--file", name, "--file", name).want(t, 0, "1\n2\n3\n", "")
	if got := f.data(); fmt.Sprintf("%q", got) != `["first" "two\nlines\x00\n" "two\nlines\x00\n"]` {
		t.Errorf("published %q", got)
	}
	got := f.run(t, "", "publish", "t", "--file", "/no/such/file")
	got.want(t, 1, "", "posthaste: read a message: open /no/such/file: no such file or directory\n")
}

func TestPublishLinesInLargeBatchesInOrder(t *testing.T) {
	f := newFake(t)
	f.run(t, "", "topic", "create", "t")
	const count = 2500
	var input strings.Builder
	for i := range count {
		fmt.Fprintf(&input, "line %d\n\n", i) // empty lines are skipped
	}
	input.WriteString("last, without an end")
	f.run(t, input.String(), "publish", "t", "--ordering-key", "k", "--quiet").want(t, 0, "published 2501 messages\n", "")
	got := f.data()
	for i := range count {
		if got[i] != fmt.Sprintf("line %d", i) {
			t.Fatalf("message %d is %q", i, got[i])
		}
	}
	if got[count] != "last, without an end" || len(f.published) > 10 {
		t.Errorf("last message %q, %d calls", got[count], len(f.published))
	}
	unordered := f.run(t, input.String(), "publish", "t")
	if ids := strings.Fields(unordered.out); unordered.code != 0 || len(ids) != count+1 {
		t.Errorf("code %d, %d ids", unordered.code, len(ids))
	}
	for i, r := range f.published {
		if len(r.Messages) > limit.PublishMessagesMax {
			t.Errorf("call %d has %d messages", i, len(r.Messages))
		}
	}
	f.run(t, "x\n", "publish", "t", "--quiet", "--output", "json").want(t, 0, `{"published":1}`+"\n", "")
	f.run(t, "", "publish", "t", "--quiet").want(t, 0, "published 0 messages\n", "")
	f.run(t, "x\n", "publish", "t", "--quiet").want(t, 0, "published 1 message\n", "")
}

func TestInterruptedPublishEndsThoughTheInputWaits(t *testing.T) {
	f := newFake(t)
	reader, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	a := &app{in: reader, out: io.Discard, errs: io.Discard, lookupEnv: lookupIn(map[string]string{"POSTHASTE_ADDR": f.address})}
	ended := make(chan int, 1)
	go func() { ended <- a.execute(ctx, []string{"publish", "t"}) }()
	if _, err := io.WriteString(writer, "\n"); err != nil { // taken, so the command reads
		t.Fatal(err)
	}
	cancel()
	select {
	case code := <-ended:
		if code != exitFailure {
			t.Errorf("code %d", code)
		}
	case <-time.After(patience):
		t.Fatal("the command waits for its input")
	}
}

// failsAfter is a server whose Publish fails after some calls.
type failsAfter struct {
	*fake
	calls int
}

func (f *failsAfter) Publish(ctx context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	if f.calls--; f.calls < 0 {
		return nil, errors.New("broken")
	}
	return f.fake.Publish(ctx, r)
}

func TestFailedPublishTellsHowFarItCame(t *testing.T) {
	f := newFake(t)
	f.topics["projects/p/topics/t"] = &pubsubpb.Topic{}
	address := serveFake(t, &failsAfter{fake: f, calls: 1})
	got := runIn(t, map[string]string{"POSTHASTE_ADDR": address, "PUBSUB_PROJECT_ID": "p"}, strings.Repeat("x\n", 1500),
		"publish", "t", "--quiet", "--ordering-key", "k")
	got.want(t, 1, "", "posthaste: publish to projects/p/topics/t after 1000 messages: UNKNOWN: broken\n")
}
