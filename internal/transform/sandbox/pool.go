package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// Pool runs chains in processes of their own. They are started when they are needed, and stay. It implements transform.Runner.
type Pool struct {
	command []string
	turns   chan *worker // one for each process that may be; nil: it is not started
	size    int
	local   *transform.Local // for what runs no function
}

// workersMax bounds the processes of a pool.
const workersMax = 8

// NewPool makes a pool whose processes run the command, which must call Serve; without one it is this binary with Argument. There are as
// many as processors, up to workersMax.
func NewPool(command ...string) *Pool {
	size := min(runtime.GOMAXPROCS(0), workersMax)
	p := &Pool{command: command, turns: make(chan *worker, size), size: size, local: transform.NewLocal()}
	for range size {
		p.turns <- nil
	}
	return p
}

// Run implements transform.Runner.
func (p *Pool) Run(ctx context.Context, c *transform.Chain, in []transform.Input) ([]transform.Outcome, error) {
	if !c.Scripted() {
		return p.local.Run(ctx, c, in)
	}
	spec := c.Spec()
	out := make([]transform.Outcome, 0, len(in))
	for alone := 0; len(out) < len(in); {
		rest := in[len(out):]
		count := min(len(rest), chunkMessagesMax)
		if alone > 0 {
			alone, count = alone-1, 1
		}
		part, err := p.chunk(ctx, c, spec, rest[:count])
		if errors.Is(err, errDied) && count > 1 {
			alone = count // one of them is to blame; by itself it harms no other
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
		if c.Whole && failed(part) {
			return append(out, make([]transform.Outcome, len(in)-len(out))...), nil
		}
	}
	return out, nil
}

func failed(out []transform.Outcome) bool {
	for i := range out {
		if out[i].Failure != "" {
			return true
		}
	}
	return false
}

// chunk transforms some messages, at least the first of them. errDied: their process ended.
func (p *Pool) chunk(ctx context.Context, c *transform.Chain, spec []byte, in []transform.Input) (out []transform.Outcome, err error) {
	err = p.ask(ctx, len(in)*len(c.Steps()), func(dst []byte) []byte { return appendRun(dst, c, spec, in) }, func(answer []byte) error {
		out, err = parseOutcomes(answer, len(in))
		return err
	})
	if errors.Is(err, errDied) && len(in) == 1 {
		return []transform.Outcome{{Failure: brokeOut}}, nil
	}
	return out, err
}

const brokeOut = "the function broke its sandbox: it took too much memory, or could not be stopped"

// Check implements transform.Runner.
func (p *Pool) Check(ctx context.Context, transforms []*pubsubpb.MessageTransform) (index int, fault string, err error) {
	for i, t := range transforms {
		if t.GetJavascriptUdf() == nil {
			continue
		}
		spec := transform.Spec(transforms[i : i+1])
		err := p.ask(ctx, 1, func(dst []byte) []byte { return appendBytes(append(dst, opCheck), spec) }, func(answer []byte) error {
			f := fields{rest: answer}
			if fault = string(f.bytes()); f.bad {
				return errFrame
			}
			return nil
		})
		if errors.Is(err, errDied) {
			return i, brokeOut, nil
		}
		if err != nil || fault != "" {
			return i, fault, err
		}
	}
	return 0, "", nil
}

// errDied says that a process ended before it answered.
var errDied = errors.New("the transform worker ended")

// ask gives one request to a process and reads its answer, which take must not keep. steps says how long that may last.
func (p *Pool) ask(ctx context.Context, steps int, request func(dst []byte) []byte, take func(answer []byte) error) error {
	var w *worker
	select {
	case w = <-p.turns:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { p.turns <- w }()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w == nil {
		var err error
		if w, err = startWorker(p.command); err != nil {
			w = nil
			return err
		}
	}
	answer, err := w.exchange(request, time.Duration(2*steps)*limit.TransformTimeMax+answerGrace)
	if err == nil {
		err = take(answer)
	}
	if err != nil {
		w.end()
		w = nil
		return fmt.Errorf("%w: %w", errDied, err)
	}
	return nil
}

// answerGrace is how long a process may take beyond its functions: it may have to be loaded first, on a busy machine.
const answerGrace = 30 * time.Second

// Close implements transform.Runner: it ends the processes.
func (p *Pool) Close() error {
	for range p.size {
		if w := <-p.turns; w != nil {
			w.end()
		}
	}
	return nil
}

// worker is a process.
type worker struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	request []byte
}

func startWorker(command []string) (*worker, error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("start a transform worker: %w", err)
		}
		command = []string{self, Argument}
	}
	process := exec.Command(command[0], command[1:]...)
	process.Env = []string{"GOMAXPROCS=2", "GOTRACEBACK=none"}
	in, err := process.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a transform worker: %w", err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a transform worker: %w", err)
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("start a transform worker: %w", err)
	}
	return &worker{process: process, in: in, out: bufio.NewReaderSize(out, 64<<10)}, nil
}

// exchange sends a request and waits for the answer. A process that takes too long is killed.
func (w *worker) exchange(request func(dst []byte) []byte, most time.Duration) ([]byte, error) {
	killer := time.AfterFunc(most, func() { _ = w.process.Process.Kill() }) // it may have ended by itself
	defer killer.Stop()
	w.request = request(append(w.request[:0], 0, 0, 0, 0))
	if err := sendFrame(w.in, w.request); err != nil {
		return nil, err
	}
	if cap(w.request) > requestBytesKept {
		w.request = nil
	}
	return readFrame(w.out, nil)
}

// requestBytesKept is how much memory a worker keeps for its next request.
const requestBytesKept = 1 << 20

// end kills the process and waits until it is gone. How it ended is known, or does not matter.
func (w *worker) end() {
	_ = w.process.Process.Kill()
	_ = w.process.Wait()
}
