package clients

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// story is the order of the steps, which every client plays on a project of its own.
var story = []string{
	"create", "publish", "receive", "pull", "update", "filter", "seek", "snapshot", "schema", "dead letter", "exactly once", "permissions", "delete",
}

// What the steps have in common. The programs in other languages use the same figures.
const (
	messages = 1000
	keys     = 10
	patience = 30 * time.Second
)

var install = flag.Bool("install", false, "install clients from their registries into .cache/clients; without it, those that are not there are skipped")

// inCI says that nothing may be skipped.
func inCI() bool { return os.Getenv("CI") != "" }

var broker struct {
	once sync.Once
	*process.Broker
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if b := broker.Broker; b != nil {
		if err := b.Kill(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		if log := b.Log.(*process.Log); code != 0 || log.Alarm() != "" {
			fmt.Fprintf(os.Stderr, "output of the server:\n%s\nalarm: %q\n", log, log.Alarm())
			code = max(code, 1)
		}
		_ = os.RemoveAll(b.Data) // the temporary directory's own housekeeping takes what is left
		process.Remove()
	}
	os.Exit(code)
}

// address starts the broker that all clients share and gives its host:port.
func address(t *testing.T) string {
	t.Helper()
	broker.once.Do(func() {
		dir, err := os.MkdirTemp("", "posthaste-clients-")
		if err != nil {
			broker.err = err
			return
		}
		addr, err := process.FreeAddr()
		if err != nil {
			broker.err = err
			return
		}
		b := &process.Broker{Addr: addr, Data: dir, Log: new(process.Log)}
		if broker.err = b.Build(); broker.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if broker.err = b.Start(ctx); broker.err == nil {
			broker.Broker = b
		}
	})
	if broker.err != nil {
		t.Fatalf("start the server: %v", broker.err)
	}
	return broker.Addr
}

// project is a project id for one client.
func project(t *testing.T, client string) string {
	t.Helper()
	return fmt.Sprintf("%s-%d", client, time.Now().UnixNano())
}

// needs skips a test, in words that cannot be overlooked, where a program is missing. In CI that is a failure.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "this machine has no %s", program)
		}
	}
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	if inCI() {
		t.Fatalf("%s, and in CI nothing is skipped", text)
	}
	fmt.Fprintf(os.Stderr, "\nNOT TESTED: %s: %s\n\n", t.Name(), text)
	t.Skip(text)
}

// run runs a program to its end and gives its output. The environment is added to that of the test.
func run(t *testing.T, limit time.Duration, dir string, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end within %s", limit)
	}
	return string(out), err
}

// here is this package's directory, and cache the place for what is installed.
func here(t *testing.T) (here, cache string) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return here, filepath.Join(here, "..", "..", ".cache", "clients")
}

// judge makes a test of each line that a program of ours printed: "ok STEP" or "FAIL STEP: why".
func judge(t *testing.T, output string, err error) {
	t.Helper()
	told := make(map[string]string)
	for line := range strings.SplitSeq(output, "\n") {
		if step, good := strings.CutPrefix(line, "ok "); good {
			told[step] = "ok"
		} else if rest, bad := strings.CutPrefix(line, "FAIL "); bad {
			step, why, _ := strings.Cut(rest, ": ")
			told[step] = why
		}
	}
	for _, step := range story {
		verdict, reached := told[step]
		if !reached {
			break
		}
		t.Run(step, func(t *testing.T) {
			if verdict != "ok" {
				t.Error(verdict)
			}
		})
	}
	if err != nil || len(told) != len(story) {
		t.Errorf("%d of %d steps were played: %v\n%s", len(told), len(story), err, output)
	}
}
