package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/bench/load"
)

// TestMain lets this test's executable be started again as one of the own servers.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	handled, err := Child(ctx, os.Args[1:], os.Stdout)
	stop()
	if !handled {
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func stopped(t *testing.T, p *Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(p.Pid, 0); err == nil {
		t.Errorf("%s is still there", p.Name)
	}
}

func TestNoopServersAnswerWithOneIDAMessage(t *testing.T) {
	for name, start := range map[string]func() (*Process, error){"generated": StartNoopGenerated, "raw": StartNoopRaw} {
		t.Run(name, func(t *testing.T) {
			p, err := start()
			if err != nil {
				t.Fatal(err)
			}
			defer stopped(t, p)
			client, err := load.Dial(p.Address, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for _, messages := range []int{1, 100, 1000} { // Publish fails on another number of ids
				untilCounted(func(window time.Duration) bool {
					result, err := client.Publish(t.Context(), load.PublishWork{Topics: []string{"projects/p/topics/t"}, InFlight: 2,
						Shape: load.Shape{MessagesPerCall: messages, DataBytes: 100, Attribute: true}, Duration: window})
					if err != nil {
						t.Fatalf("%d messages a call: %v", messages, err)
					}
					return result.Messages > 0
				}, func() { t.Errorf("%d messages a call: none was answered", messages) })
			}
		})
	}
}

// untilCounted works in windows that get longer until something counts in one: a machine may be too busy for a short one.
func untilCounted(work func(window time.Duration) bool, never func()) {
	for window := 50 * time.Millisecond; !work(window); window *= 2 {
		if window > time.Minute {
			never()
			return
		}
	}
}

func TestJetStreamIsLoadedInEveryWay(t *testing.T) {
	p, err := StartJetStream(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, p)
	for _, receive := range []Receive{ReceiveNever, ReceiveAfter, ReceiveDuring} {
		var result *JetStreamResult
		untilCounted(func(window time.Duration) bool {
			var err error
			result, err = LoadJetStream(t.Context(), p.Address, JetStreamWork{DataBytes: 100, Connections: 2, PendingMax: 64,
				Duration: window, Receive: receive})
			if err != nil {
				t.Fatalf("receive %d: %v", receive, err)
			}
			return result.Published > 0
		}, func() { t.Fatalf("receive %d: nothing was published", receive) })
		if result.PublishPerSecond() <= 0 {
			t.Errorf("receive %d: %+v", receive, result)
		}
		if receive != ReceiveNever && (result.Consumed < result.Published || result.ConsumePerSecond() <= 0) {
			t.Errorf("receive %d: published %d, consumed %d", receive, result.Published, result.Consumed)
		}
	}
}

func TestAServerThatDoesNotComeUpIsAnErrorWithItsWords(t *testing.T) {
	script := filepath.Join(t.TempDir(), "broker")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho the data directory is foreign >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err := Posthaste{Binary: script, Data: t.TempDir()}.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "foreign") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	if _, err := StartEmulator(t.Context(), "no-such.jar"); err == nil {
		t.Error("a jar that is not there was started")
	}
	if _, err := StartJetStream("/dev/null/nowhere", false); err == nil {
		t.Error("JetStream started without a place for its files")
	}
}

func TestStopTellsThatAProcessHadEndedByItself(t *testing.T) {
	p, err := start("short", exec.Command("sh", "-c", "echo last words; exit 1"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "last words") {
		t.Errorf("got %v", err)
	}
}

func TestOtherArgumentsAreNoChild(t *testing.T) {
	for _, arguments := range [][]string{nil, {ChildArgument}, {"--only", "T1"}} {
		if handled, err := Child(t.Context(), arguments, os.Stdout); handled || err != nil {
			t.Errorf("%q: handled %v, %v", arguments, handled, err)
		}
	}
	if handled, err := Child(t.Context(), []string{ChildArgument, "nonsense"}, os.Stdout); !handled || err == nil {
		t.Error("an unknown server was started")
	}
}

func TestOnlyTheEndOfTheOutputIsKept(t *testing.T) {
	var output tail
	for i := range 3000 {
		fmt.Fprintf(&output, "line %d\n", i)
	}
	if text := output.String(); len(text) > outputTailMax+100 || !strings.HasSuffix(text, "line 2999") {
		t.Errorf("%d bytes, ending %q", len(text), text[len(text)-20:])
	}
}
