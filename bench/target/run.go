package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/posthaste-io/posthaste/bench/host"
	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/peer"
	"github.com/posthaste-io/posthaste/bench/report"
)

// target is one thing to measure. It asks for what it compares itself with by run.need.
type target struct {
	id      string
	measure func(*run, context.Context) error
}

// targets in the order in which they are measured: start-up and idle memory first, on a machine that is still quiet.
func targets() []target {
	return []target{
		{"T8", (*run).idle},
		{"sync", (*run).syncTime},
		{"N", (*run).noopGenerated},
		{"raw", (*run).noopRaw},
		{"n", (*run).noopSingle},
		{"T1", (*run).publishBatches},
		{"T2", (*run).publishSingle},
		{"T6", (*run).publishManyTopics},
		{"T3", (*run).endToEnd},
		{"T4", (*run).fanOut},
		{"T5", (*run).paced},
		{"T7", (*run).cpu},
		{"T9", (*run).memory},
		{"T10", (*run).backlog},
		{"T11", (*run).ordered},
		{"T12", (*run).exactlyOnce},
		{"T13", (*run).manyTopics},
		{"rollback", (*run).rollback},
		{"poison", (*run).poison},
		{"push", (*run).push},
		{"rest", (*run).publishREST},
		{"jetstream", (*run).jetStream},
		{"emulator", (*run).emulator},
	}
}

// IDs are the ids of everything that can be measured.
func IDs() []string {
	var ids []string
	for _, t := range targets() {
		ids = append(ids, t.id)
	}
	return ids
}

// run is one run of the benchmark. One goroutine drives it; servers are processes and live as long as a target needs them.
type run struct {
	options Options
	scratch string // a directory of this run under options.Data
	binary  string // of the broker, once built
	report  report.Report
	done    map[string]error
	results map[string]*result // what others compare themselves with
	disk    *load.Histogram    // its sync times; nil before they were measured
}

// targetMax bounds one target beyond its duration: a server that hangs must not hang the run.
const targetMax = 15 * time.Minute

// Run measures what the options ask for. The report holds whatever could be measured, also when the error is not nil.
func Run(ctx context.Context, options Options) (_ *report.Report, err error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	r := &run{options: options, done: map[string]error{}, results: map[string]*result{}}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.scratch)) }()
	var failed error
	for _, t := range targets() {
		if !options.wants(t.id) {
			continue
		}
		if err := r.need(ctx, t.id); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", t.id, err))
		}
		if ctx.Err() != nil {
			return &r.report, context.Cause(ctx)
		}
	}
	r.sort()
	return &r.report, failed
}

// prepare makes the scratch directory and looks at the machine.
func (r *run) prepare() error {
	if err := os.MkdirAll(r.options.Data, 0o755); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	kind, err := host.FileSystem(r.options.Data)
	if err != nil {
		return err
	}
	if host.IsMemory(kind) && !r.options.AllowMemory {
		return fmt.Errorf("%s is on %s, which keeps files in memory: give --data a directory on a disk", r.options.Data, kind)
	}
	if r.scratch, err = os.MkdirTemp(r.options.Data, "bench-"); err != nil {
		return fmt.Errorf("make the scratch directory: %w", err)
	}
	absolute, err := filepath.Abs(r.scratch)
	if err != nil {
		return errors.Join(fmt.Errorf("scratch directory: %w", err), os.RemoveAll(r.scratch))
	}
	r.scratch = absolute
	o := r.options
	r.report.Machine = []string{
		fmt.Sprintf("%d CPUs, %s, data on %s (%s)", runtime.NumCPU(), runtime.Version(), kind, r.options.Data),
		fmt.Sprintf("generator on the same CPUs: %d connections a server, %v a figure, %d rounds; 1 KiB messages are incompressible and have one attribute",
			o.Connections, o.duration(), o.Rounds),
	}
	return nil
}

// need measures a target unless that was done before.
func (r *run) need(ctx context.Context, id string) error {
	if err, done := r.done[id]; done {
		return err
	}
	for _, t := range targets() {
		if t.id != id {
			continue
		}
		ctx, cancel := context.WithTimeoutCause(ctx, targetMax+20*r.options.memoryDuration(), errors.New("the target took too long"))
		defer cancel()
		err := t.measure(r, ctx)
		r.done[id] = err
		if err != nil {
			r.progress("%s failed: %v", id, err)
		}
		return err
	}
	return fmt.Errorf("bug: no target %q", id)
}

func (r *run) progress(format string, arguments ...any) {
	if r.options.Progress != nil {
		fmt.Fprintf(r.options.Progress, format+"\n", arguments...)
	}
}

// add puts a row into the report.
func (r *run) add(row report.Row) {
	r.report.Rows = append(r.report.Rows, row)
	r.progress("%s %s: %s", row.ID, row.Work, row.Measured)
}

// project is a fresh name, so that runs against one broker do not meet.
func project() string { return fmt.Sprintf("bench-%08x", rand.Uint32()) }

// server is a server to be loaded.
type server struct {
	name    string
	client  *load.Client
	pid     int // 0 = unknown
	process *peer.Process
	started time.Duration // from start to serving; 0 = unknown
	data    string        // directory to remove; empty = none
}

// connect dials and waits until the server answers.
func (r *run) connect(ctx context.Context, s *server, address string) error {
	client, err := load.Dial(address, r.options.Connections)
	if err != nil {
		return err
	}
	s.client = client
	return client.WaitServing(ctx)
}

// close ends the server if it is ours.
func (s *server) close() error {
	var err error
	if s.client != nil {
		err = s.client.Close()
	}
	if s.process != nil {
		err = errors.Join(err, s.process.Stop())
	}
	if s.data != "" {
		err = errors.Join(err, os.RemoveAll(s.data))
	}
	return err
}

// with starts a server by open, lets use work with it, and ends it.
func (r *run) with(ctx context.Context, open func(context.Context, *server) error, use func(*server) error) (err error) {
	s := &server{}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := open(ctx, s); err != nil {
		return err
	}
	return use(s)
}

// openBroker starts a fresh broker on an empty directory, or takes the one whose address was given.
func (r *run) openBroker(ctx context.Context, s *server) error {
	s.name = "posthaste"
	if r.options.Address != "" {
		s.name, s.pid = r.options.Address, r.options.Pid
		return r.connect(ctx, s, r.options.Address)
	}
	if err := r.build(ctx); err != nil {
		return err
	}
	data, err := os.MkdirTemp(r.scratch, "posthaste-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	s.data = data
	return r.startBroker(ctx, s)
}

// startBroker starts a broker on the server's directory and connects to it.
func (r *run) startBroker(ctx context.Context, s *server) (err error) {
	broker := peer.Posthaste{Binary: r.binary, Data: filepath.Join(s.data, "data"), Arguments: r.options.ServeArguments}
	if s.process, s.started, err = broker.Start(ctx); err != nil {
		return err
	}
	s.pid = s.process.Pid
	return r.connect(ctx, s, s.process.Address)
}

// crash kills a broker of ours and starts it again; s.started is how long that start took.
func (r *run) crash(ctx context.Context, s *server) error {
	err := errors.Join(s.client.Close(), s.process.Kill())
	s.client, s.process = nil, nil
	if err != nil {
		return err
	}
	return r.startBroker(ctx, s)
}

// build makes the binary once.
func (r *run) build(ctx context.Context) error {
	switch {
	case r.binary != "":
		return nil
	case r.options.Binary != "":
		r.binary = r.options.Binary
		return nil
	}
	if err, tried := r.done["build"]; tried {
		return err
	}
	r.progress("build posthaste")
	binary := filepath.Join(r.scratch, "posthaste")
	err := peer.BuildPosthaste(ctx, binary)
	r.done["build"] = err
	if err == nil {
		r.binary = binary
	}
	return err
}

func (r *run) openNoopGenerated(ctx context.Context, s *server) error {
	return r.openOwn(ctx, s, peer.StartNoopGenerated)
}

func (r *run) openNoopRaw(ctx context.Context, s *server) error {
	return r.openOwn(ctx, s, peer.StartNoopRaw)
}

func (r *run) openOwn(ctx context.Context, s *server, start func() (*peer.Process, error)) (err error) {
	if s.process, err = start(); err != nil {
		return err
	}
	s.name, s.pid = s.process.Name, s.process.Pid
	return r.connect(ctx, s, s.process.Address)
}
