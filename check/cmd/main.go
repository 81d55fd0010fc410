// Command cmd judges a history file: go run ./check/cmd FILE. It ends with status 0 when every rule holds, 1 when one is broken or the
// run proves nothing, and 2 when the file cannot be read.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/posthaste-io/posthaste/check"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings as arguments.
func run(args []string, stdout, stderr io.Writer) int {
	var o check.Options
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: check [flags] HISTORY\nJudges a history of JSON lines; - reads standard input.")
		flags.PrintDefaults()
	}
	flags.DurationVar(&o.Slack, "slack", 0, "how long a message or a call may be under way (default 500ms)")
	flags.DurationVar(&o.RedeliverWithin, "redeliver-within", 0, "how soon after its deadline a message must come again (default 1s)")
	flags.DurationVar(&o.AckSettle, "ack-settle", 0, "how soon an unanswered acknowledgement must have its effect (default 1s)")
	flags.DurationVar(&o.AliveWithin, "alive-within", 0, "how soon after a fault work must go on (default 10s)")
	flags.IntVar(&o.Faults, "faults", 0, "how many faults the run must contain")
	flags.Float64Var(&o.Bitten, "bitten", 0, "share of faults that must have hit something (default 0.5)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return 2
	}
	events, err := read(flags.Arg(0))
	if err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 2
	}
	report := check.Judge(check.NewHistory(events), o)
	if err := report.Write(stdout); err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 2
	}
	if !report.OK() {
		return 1
	}
	return 0
}

func read(name string) ([]check.Event, error) {
	if name == "-" {
		return check.Read(os.Stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // reading only: nothing to lose
	return check.Read(f)
}
