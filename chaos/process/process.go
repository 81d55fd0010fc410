// Package process runs the real broker as a child process, for tests that treat it as its users do: over its ports and with signals.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// BinaryVariable names the environment variable that gives a ready binary to test, instead of one built from the source tree.
const BinaryVariable = "POSTHASTE_TEST_BINARY"

// readyPollEvery is how often Start and Ready look whether the broker is ready: short, since time to ready is measured with it.
const readyPollEvery = 2 * time.Millisecond

// built is the binary made for this test process.
var built = sync.OnceValues(build)

// Binary is the path of the broker's binary, which is built at the first call.
func Binary() (string, error) { return built() }

func build() (string, error) {
	if given := os.Getenv(BinaryVariable); given != "" {
		return filepath.Abs(given)
	}
	root, err := sourceTree()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "posthaste-binary-")
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	return buildInto(dir, root)
}

// buildInto builds the broker's binary in a directory.
func buildInto(dir, root string, flags ...string) (string, error) {
	made.Lock()
	made.dirs = append(made.dirs, dir)
	made.Unlock()
	binary := filepath.Join(dir, "posthaste")
	cmd := exec.Command("go", append(append([]string{"build", "-o", binary}, flags...), "./cmd/posthaste")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("process: go build: %w\n%s", err, out)
	}
	return binary, nil
}

// made are the directories of binaries that were built.
var made struct {
	sync.Mutex
	dirs []string
}

// Remove deletes what was built. A test's main calls it last.
func Remove() {
	made.Lock()
	defer made.Unlock()
	for _, dir := range made.dirs {
		_ = os.RemoveAll(dir) // a leftover in the temporary directory harms nobody
	}
	made.dirs = nil
}

// given are the addresses that FreeAddr gave, or found taken.
var given sync.Map

// FreeAddr is a loopback address whose port nobody listens on. The port lies below those that the system gives to outgoing connections, so
// that it is still free after a broker on it was killed. It is given to nobody else in this process: a broker may be down for a moment.
func FreeAddr() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if _, taken := given.LoadOrStore(addr, true); taken {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return "", fmt.Errorf("process: %w", err)
		}
		return addr, nil
	}
	return "", errors.New("process: no free port was found")
}

// Broker is a broker with a data directory and an address, which it keeps from one start to the next. It is for one goroutine.
type Broker struct {
	Addr string   // host:port it listens on
	Data string   // its data directory
	Args []string // further arguments of serve
	Env  []string // added to the environment
	Log  io.Writer
	// Clock, if there is one, is the broker's time, and Disk, if there is one instead, its disk. For either it needs a binary of its own:
	// BinaryVariable is not asked then.
	Clock *Clock
	Disk  *Disk

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // what Wait returned, readable after done
}

// Start launches the process and waits until it is ready. A broker that ends before that is an error.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.Launch(); err != nil {
		return err
	}
	return b.Ready(ctx)
}

// Build makes the binary that the broker runs, unless it is there. Who gives a start a deadline calls it before: building is not starting.
func (b *Broker) Build() error {
	_, _, err := b.binary()
	return err
}

// binary is what the broker runs, and with which environment besides the test's.
func (b *Broker) binary() (path string, env []string, err error) {
	switch {
	case b.Clock != nil:
		path, err = movable()
		env = append(env, "POSTHASTE_TEST_CLOCK="+b.Clock.name)
	case b.Disk != nil:
		path, err = stalling()
		env = append(env, "POSTHASTE_TEST_DISK="+b.Disk.name)
	default:
		path, err = Binary()
	}
	return path, append(env, b.Env...), err
}

// Launch starts the process and does not wait.
func (b *Broker) Launch() error {
	path, env, err := b.binary()
	if err != nil {
		return err
	}
	args := append([]string{"serve", "--listen", b.Addr, "--data", b.Data}, b.Args...)
	b.cmd = exec.Command(path, args...)
	b.cmd.Env = append(os.Environ(), env...)
	b.cmd.Stdout, b.cmd.Stderr = b.Log, b.Log
	b.cmd.SysProcAttr = dieWithParent()
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("process: start: %w", err)
	}
	b.done = make(chan struct{})
	go func() {
		b.err = b.cmd.Wait()
		close(b.done)
	}()
	return nil
}

// Ready waits until GET /readyz answers 200.
func (b *Broker) Ready(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	tick := time.NewTicker(readyPollEvery)
	defer tick.Stop()
	for {
		if response, err := client.Get("http://" + b.Addr + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-b.done:
			return fmt.Errorf("process: ended before it was ready: %w", b.exit())
		case <-ctx.Done():
			return fmt.Errorf("process: not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// exit is the process's end as an error, a success too.
func (b *Broker) exit() error {
	if b.err == nil {
		return errors.New("exit status 0")
	}
	return b.err
}

// Done is closed when the process has ended.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Pid is the process's number.
func (b *Broker) Pid() int { return b.cmd.Process.Pid }

// Kill ends the process as a crash would, with SIGKILL, and waits for its end.
func (b *Broker) Kill() error {
	if err := b.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process: kill: %w", err)
	}
	<-b.done
	return nil
}

// Pause stops the process where it stands, with SIGSTOP, until Resume. Kill ends a paused process too.
func (b *Broker) Pause() error {
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("process: pause: %w", err)
	}
	return nil
}

// Resume lets a paused process go on, with SIGCONT.
func (b *Broker) Resume() error {
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("process: resume: %w", err)
	}
	return nil
}

// Stop asks the process to end, with SIGTERM, and returns how it ended: nil means status 0.
func (b *Broker) Stop(ctx context.Context) error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process: terminate: %w", err)
	}
	return b.Wait(ctx)
}

// Wait waits for the process to end by itself and returns how: nil means status 0.
func (b *Broker) Wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("process: still running: %w", ctx.Err())
	}
}
