package sandbox

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// exitStuck is the status of a process that ended because a function could not be interrupted.
const exitStuck = 3

// chainsMax is how many chains a process remembers.
const chainsMax = 256

// ServeIfAsked makes this process a worker, and ends it, when a pool started it as one. main calls it before anything else.
func ServeIfAsked() {
	if len(os.Args) != 2 || os.Args[1] != Argument {
		return
	}
	if err := Serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Serve runs transforms for the process at the other end of the pipes, until that closes them. It lowers the limits of this process, and
// ends it when a function does not end: it is for a process of its own.
func Serve(in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // they are for the broker, which then closes the pipes
	if err := lowerLimits(); err != nil {
		return fmt.Errorf("transform worker: lower the limits: %w", err)
	}
	s := &served{local: transform.NewLocal(), chains: make(map[uint64]*transform.Chain)}
	go s.watch()
	return s.serve(in, out)
}

type served struct {
	local  *transform.Local
	chains map[uint64]*transform.Chain
	answer []byte

	// What runs now must have ended when both are over: a process that waits for a busy machine is not stuck.
	until    atomic.Int64 // Unix nanoseconds; 0: nothing runs
	untilCPU atomic.Int64 // CPU time of this process, in nanoseconds
}

// watch ends the process when a function does not end. It lives as long as the process.
func (s *served) watch() {
	for range time.Tick(limit.TransformTimeMax / 10) {
		if until := s.until.Load(); until != 0 && time.Now().UnixNano() > until && int64(transform.CPUTime()) > s.untilCPU.Load() {
			os.Exit(exitStuck)
		}
	}
}

func (s *served) serve(in io.Reader, out io.Writer) error {
	r := bufio.NewReaderSize(in, 64<<10)
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(r, frame); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("transform worker: %w", err)
		}
		if err := s.handle(frame); err != nil {
			return fmt.Errorf("transform worker: %w", err)
		}
		if err := sendFrame(out, s.answer); err != nil {
			return fmt.Errorf("transform worker: %w", err)
		}
	}
}

// handle serves one request.
func (s *served) handle(frame []byte) error {
	if len(frame) == 0 {
		return errFrame
	}
	f := fields{rest: frame[1:]}
	switch frame[0] {
	case opRun:
		return s.run(&f)
	case opCheck:
		return s.check(&f)
	}
	return errFrame
}

func (s *served) check(f *fields) error {
	c, err := transform.RestoreChain(0, f.bytes(), false)
	if err != nil || f.bad {
		return errors.Join(errFrame, err)
	}
	var fault string
	s.bounded(len(c.Steps()), func() {
		_, fault, err = s.local.Check(context.Background(), c.Steps())
	})
	s.answer = appendBytes(append(s.answer[:0], 0, 0, 0, 0), []byte(fault))
	return err
}

// bounded runs f, which must end in time for so many steps, and as much again as a step has.
func (s *served) bounded(steps int, f func()) {
	most := time.Duration(steps+1) * limit.TransformTimeMax
	s.untilCPU.Store(int64(transform.CPUTime() + most))
	s.until.Store(time.Now().Add(most).UnixNano())
	f()
	s.until.Store(0)
}

func (s *served) run(f *fields) error {
	number, whole, spec := f.number(), f.number() == 1, f.bytes()
	c := s.chains[number]
	if c == nil {
		var err error
		if c, err = transform.RestoreChain(number, spec, whole); err != nil {
			return err
		}
		if len(s.chains) >= chainsMax {
			clear(s.chains)
		}
		s.chains[number] = c
	}
	count := f.number()
	if f.bad || count == 0 || count > chunkMessagesMax {
		return errFrame
	}
	var body []byte
	done := uint64(0)
	for failed := false; done < count && len(body) < chunkBytesAim; done++ {
		in := []transform.Input{{Message: f.bytes(), ID: f.number(), Time: int64(f.number())}}
		if f.bad {
			return errFrame
		}
		out := make([]transform.Outcome, 1)
		if !failed {
			var err error
			s.bounded(len(c.Steps()), func() { out, err = s.local.Run(context.Background(), c, in) })
			if err != nil {
				return err
			}
		}
		failed = failed || whole && out[0].Failure != ""
		body = appendOutcome(body, &out[0])
	}
	s.answer = append(binary.AppendUvarint(append(s.answer[:0], 0, 0, 0, 0), done), body...)
	return nil
}
