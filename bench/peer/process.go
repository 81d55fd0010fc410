// Package peer runs the servers of a benchmark, each as a process of its own: the no-op servers that are the yardsticks, NATS
// JetStream, Google's emulator, and Posthaste itself.
package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	stopMax       = 20 * time.Second // from being asked to end until being killed
	startMax      = 60 * time.Second
	outputTailMax = 4 << 10
)

// Process is a running server. Its methods may be called by one goroutine at a time.
type Process struct {
	Name    string
	Address string // host:port
	Pid     int
	Started time.Time

	command *exec.Cmd
	output  *tail
	exited  chan struct{} // closed once the process was waited for
	failure error         // of the process; valid once exited is closed
}

// start runs the command. The kernel kills the process should this one die first, so that nothing is left behind.
func start(name string, command *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, command: command, output: &tail{}, exited: make(chan struct{})}
	if command.Stdout == nil {
		command.Stdout = p.output
	}
	command.Stderr = p.output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // an interrupt from the terminal is ours alone
	p.Started = time.Now()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.Pid = command.Process.Pid
	go func() { // ends with the process, which Stop ends
		p.failure = command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Stop asks the process to end, waits, and kills it when it does not.
func (p *Process) Stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself: %w: %s", p.Name, p.ending(), p.output)
	default:
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	timer := time.NewTimer(stopMax)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not end within %v and was killed", p.Name, stopMax)
}

// Kill ends the process without a warning, as a crash would, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.exited
	return nil
}

func (p *Process) ending() error {
	if p.failure == nil {
		return errors.New("exit status 0")
	}
	return p.failure
}

// poll calls ready every interval until it says yes, the process ends, or startMax has passed.
func (p *Process) poll(ctx context.Context, interval time.Duration, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for !ready(ctx) {
		select {
		case <-ticker.C:
		case <-p.exited:
			return fmt.Errorf("%s ended while starting: %w: %s", p.Name, p.ending(), p.output)
		case <-ctx.Done():
			return fmt.Errorf("%s is not serving after %v: %w: %s", p.Name, time.Since(p.Started).Round(time.Millisecond),
				context.Cause(ctx), p.output)
		}
	}
	return nil
}

// freeAddress picks a loopback port that nothing listens on at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	address := listener.Addr().String()
	return address, listener.Close()
}

// tail keeps the end of what a process printed, for error messages. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - outputTailMax; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return "it printed nothing"
	}
	return "it printed: " + strings.TrimSpace(string(t.text))
}

// ChildArgument is the first argument of a process that is to be one of this package's own servers: see Child.
const ChildArgument = "serve-as-peer"

// listeningPrefix begins the line by which an own server says where it listens.
const listeningPrefix = "listening "

// startChild runs the executable of this process again as one of the own servers, and waits for its address.
func startChild(name string, arguments ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	command := exec.Command(self, append([]string{ChildArgument}, arguments...)...)
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer reader.Close()
	command.Stdout = writer
	p, err := start(name, command)
	if err := errors.Join(err, writer.Close()); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(io.LimitReader(reader, outputTailMax)).ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), listeningPrefix)
	if err != nil || !found {
		return nil, errors.Join(fmt.Errorf("start %s: it said no address but %q: %s", name, line, p.output), p.Stop())
	}
	p.Address = address
	return p, nil
}

// Child runs one of the own servers if the arguments of the process say so, until SIGTERM. handled is false when they do not.
func Child(ctx context.Context, arguments []string, stdout io.Writer) (handled bool, err error) {
	if len(arguments) < 2 || arguments[0] != ChildArgument {
		return false, nil
	}
	switch kind := arguments[1]; kind {
	case noopGenerated, noopRaw:
		return true, serveNoop(ctx, kind, stdout)
	case jetStreamKind:
		return true, serveJetStream(ctx, arguments[2:], stdout)
	default:
		return true, fmt.Errorf("no server %q", kind)
	}
}
