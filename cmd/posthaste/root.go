package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is one run of the program: its surroundings and the global flags.
type app struct {
	in        io.Reader
	out, errs io.Writer
	lookupEnv func(string) (string, bool)

	output  string // outputText or outputJSON
	addr    string // of the server, for client commands; empty looks at the environment
	project string // likewise
	started bool   // arguments were good and a command runs
}

// Forms of output.
const (
	outputText = "text"
	outputJSON = "json"
)

const rootLong = `Posthaste is a durable message broker for clients of Google Cloud Pub/Sub.

"posthaste serve" runs the broker. The other commands are clients, of this broker or of anything else that speaks
google.pubsub.v1 without TLS. They find the server by --addr, POSTHASTE_ADDR or PUBSUB_EMULATOR_HOST, and the project
by --project, PUBSUB_PROJECT_ID or GOOGLE_CLOUD_PROJECT. Topics, subscriptions, snapshots and schemas are named by a short id
or in full (projects/PROJECT/topics/ID).

Exit codes: 0 success; 1 failure; 2 wrong arguments or settings; 3 serve: the data directory is in use;
4 serve: the storage failed, restart to recover; 5 apply --dry-run: something would be changed; 130 ended by a
second signal.`

const rootExample = `  posthaste serve
  posthaste topic create orders
  posthaste subscription create billing --topic orders
  posthaste publish orders 'hello' --attribute color=red
  posthaste pull billing --auto-ack`

// execute runs the command that args name and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(fromEmulator(args))
	command, err := root.ExecuteContextC(ctx)
	if err != nil && !a.started {
		err = usage("%w; see %s --help", err, command.CommandPath())
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintf(a.errs, "posthaste: %s\n", line)
		}
	}
	return exitCode(err, a.started)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "posthaste", Short: "A durable message broker for Google Cloud Pub/Sub clients",
		Long: rootLong, Example: rootExample,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.output != outputText && a.output != outputJSON {
				return usage("--output: %q is unknown; allowed: text, json", a.output)
			}
			a.started = true
			return nil
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&a.output, "output", outputText, "`FORM` of the output: text or json")
	root.AddGroup(&cobra.Group{ID: "server", Title: "Server:"}, &cobra.Group{ID: "client", Title: "Clients:"})
	a.add(root, "server", a.serveCommand(), a.dumpCommand())
	a.add(root, "client", a.topicCommand(), a.subscriptionCommand(), a.schemaCommand(), a.snapshotCommand(), a.publishCommand(), a.pullCommand(), a.benchCommand())
	a.add(root, "client", a.applyCommand(), a.exportCommand(), a.healthCommand())
	root.AddCommand(a.versionCommand())
	a.completeNames(root)
	return root
}

// add puts commands into a group of the root's help.
func (a *app) add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// group makes a command that only holds others. A word that none of them knows is an error, not a call for help.
func (a *app) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return usage("unknown command %q for %q; see %s --help", args[0], c.CommandPath(), c.CommandPath()) // as cobra says it
		},
	}
	g.AddCommand(commands...)
	return g
}

// terminal reports whether w shows up on a screen, where progress makes sense.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
