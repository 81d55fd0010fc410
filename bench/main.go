// Command bench measures Posthaste against its targets, with yardsticks and, if wanted, NATS JetStream and Google's emulator beside it
// in the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/posthaste-io/posthaste/bench/peer"
	"github.com/posthaste-io/posthaste/bench/report"
	"github.com/posthaste-io/posthaste/bench/target"
)

// garbagePercent lets the generator collect garbage rarely: its memory is small, its CPU time is what the server lacks.
const garbagePercent = 800

func main() {
	debug.SetGCPercent(garbagePercent)
	signal.Ignore(syscall.SIGPIPE) // a reader that has left must not keep servers' files from being removed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const helpText = `Measure Posthaste against its targets.

Usage:
  go run ./bench [flags] [-- arguments of "posthaste serve"]

Every target is measured on a fresh broker, built from this module, on an empty directory under --data. Yardsticks run in the same
run: N is a gRPC server with generated code that does nothing, raw and n are the same without decoding, for calls of 100 messages and
of one. Servers are processes of their own; the generator shares the CPUs with them.

Examples:
  go run ./bench                                          everything, with JetStream beside it
  go run ./bench --only T1,T3 --seconds 5                 two targets, shorter
  go run ./bench --only N,raw,n,sync                      the yardsticks alone, without a broker
  go run ./bench --addr 127.0.0.1:8085 --pid 4711         a broker that is running
  go run ./bench --emulator-jar emulator.jar              Google's emulator beside it, on the java of the path
  go run ./bench --output json > run.json
  go run ./bench --data /mnt/disk/bench -- --sync=interval

Flags:
`

func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) error {
	if handled, err := peer.Child(ctx, arguments, stdout); handled {
		return err
	}
	options, out, err := parse(arguments, stderr)
	if err != nil {
		return err
	}
	options.Progress = stderr
	stopProfile, err := profile(out.profile)
	if err != nil {
		return err
	}
	result, err := target.Run(ctx, options)
	err = errors.Join(err, stopProfile())
	if result == nil {
		return err
	}
	return errors.Join(write(result, out.format, stdout), err)
}

// profile samples the generator's own CPU time into a file; an empty name does nothing.
func profile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU profile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

func write(result *report.Report, format string, stdout io.Writer) error {
	if format == "json" {
		return result.WriteJSON(stdout)
	}
	return result.WriteText(stdout)
}

// outputs say where results go.
type outputs struct {
	format  string // table or json
	profile string // file of the generator's CPU profile; empty = none
}

// parse reads the command line; everything after -- is for the broker.
func parse(arguments []string, stderr io.Writer) (options target.Options, out outputs, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, helpText)
		flags.PrintDefaults()
	}
	var only string
	var seconds, settleSeconds int
	flags.StringVar(&options.Address, "addr", "", "measure the broker at `host:port` instead of starting one")
	flags.IntVar(&options.Pid, "pid", 0, "the process `id` of the broker at --addr, for its CPU time and memory")
	flags.StringVar(&options.Binary, "binary", "", "start this broker `file` instead of building one")
	flags.StringVar(&options.Data, "data", ".cache/bench", "`directory` for the files of servers, on a disk; they are removed at the end")
	flags.BoolVar(&options.AllowMemory, "allow-tmpfs", false, "accept a --data that is kept in memory, where nothing is durable")
	flags.BoolVar(&options.JetStream, "jetstream", true, "measure NATS JetStream beside it")
	flags.StringVar(&options.EmulatorJar, "emulator-jar", "", "measure Google's emulator beside it, from this jar `file`")
	flags.StringVar(&only, "only", "", "measure only these `ids` and what they are compared with: "+strings.Join(target.IDs(), ","))
	flags.IntVar(&seconds, "seconds", 0, "`seconds` for each figure (default 10, and 60 for T9)")
	flags.IntVar(&options.Rounds, "rounds", target.RoundsDefault, "split a figure that has a yardstick into `n` turns with it")
	flags.IntVar(&options.Connections, "connections", target.ConnectionsDefault, "`n` connections to each server")
	flags.IntVar(&options.InFlight, "in-flight", target.InFlightDefault, "`n` calls of 100 messages at a time")
	flags.IntVar(&options.Pairs, "pairs", target.PairsDefault, "`n` topics with a subscription each in T13")
	flags.IntVar(&options.Backlog, "backlog", target.BacklogDefault, "`n` messages in T10, in thousands")
	flags.IntVar(&settleSeconds, "settle", int(target.SettleMaxDefault/time.Second), "wait at most so many `seconds` for memory to settle in T13")
	flags.StringVar(&out.profile, "cpuprofile", "", "write the generator's own CPU profile to this `file`")
	flags.StringVar(&out.format, "output", "table", "`format` of the result: table or json")
	if err := flags.Parse(arguments); err != nil {
		return options, out, err
	}
	options.ServeArguments = flags.Args()
	if out.format != "table" && out.format != "json" {
		return options, out, fmt.Errorf("--output %s: choose table or json", out.format)
	}
	if only != "" {
		options.Only = strings.Split(only, ",")
	}
	if seconds < 0 || settleSeconds < 0 {
		return options, out, errors.New("--seconds and --settle: must not be negative")
	}
	if options.Pid != 0 && options.Address == "" {
		return options, out, errors.New("--pid is for a broker at --addr")
	}
	options.Duration = time.Duration(seconds) * time.Second
	options.SettleMax = time.Duration(settleSeconds) * time.Second
	return options, out, nil
}
