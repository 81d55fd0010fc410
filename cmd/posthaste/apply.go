package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/client"
	"github.com/posthaste-io/posthaste/internal/declare"
	"github.com/posthaste-io/posthaste/internal/provision"
)

const applyLong = `Make a server have the topics, subscriptions and schemas that a YAML file declares, in the field names of the REST API.
A field that the file leaves out has its default. One line for each resource says what became of it: created, updated with
the fields that differed, unchanged, or a conflict, which is a difference in a field that no update can change; nothing
of a resource in conflict is changed. "posthaste export" writes such a file, "posthaste serve --resources" applies one at the start.

--dry-run changes nothing, says what would be done, and ends with code 5 if that is anything. --prune also deletes what the
server has besides, in the projects that the file names.`

const applyExample = `  posthaste apply -f resources.yaml
  posthaste apply -f resources.yaml --dry-run
  posthaste export | posthaste apply --addr other:8085 -f -`

func (a *app) applyCommand() *cobra.Command {
	var file string
	var dry, prune bool
	c := &cobra.Command{
		Use: "apply", Short: "Create and update what a file declares", Long: applyLong, Example: applyExample, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return usage("--file is missing")
			}
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				want, err := a.readResources(file, server.Project)
				if err != nil {
					return err
				}
				have, err := provision.To(server).List(ctx, want.Projects())
				if err != nil {
					return declaring(server, err)
				}
				return a.carryOut(ctx, server, declare.Plan(want, have, prune), dry)
			})
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the `FILE` to apply; - reads the standard input")
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	c.Flags().BoolVar(&prune, "prune", false, "delete what the file does not declare, in the projects that it names")
	return a.clientFlags(c)
}

func (a *app) readResources(file, project string) (*declare.Resources, error) {
	content, err := a.readUpTo(file, declare.BytesMax+1)
	if err != nil {
		return nil, &codedError{fmt.Errorf("read resources: %w", err), exitUsage}
	}
	declared, err := declare.Parse(file, content, project)
	if err != nil {
		return nil, &codedError{err, exitUsage}
	}
	return declared, nil
}

// readUpTo reads a file, or the standard input, but no more than most bytes.
func (a *app) readUpTo(file string, most int64) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(a.in, most))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// declaring tells of a failed call as the other commands do.
func declaring(server *client.Connection, err error) error {
	var call *provision.CallError
	if errors.As(err, &call) {
		return server.Failed(call.Err, "%s", call.About)
	}
	return err
}

// carryOut carries out a plan, or says what that would be, and goes on after a step that fails.
func (a *app) carryOut(ctx context.Context, server *client.Connection, steps []declare.Step, dry bool) error {
	differs, conflicts, failures := 0, 0, 0
	for i := range steps {
		step := &steps[i]
		switch step.Verb {
		case declare.Unchanged:
		case declare.Conflict:
			conflicts++
		default:
			differs++
		}
		var err error
		if !dry {
			err = declaring(server, provision.To(server).CarryOut(ctx, step))
		}
		if err != nil {
			failures++
			fmt.Fprintf(a.errs, "posthaste: %s\n", err)
			continue
		}
		if err := a.report(step.Text(dry), step.Object()); err != nil {
			return err
		}
	}
	switch {
	case failures > 0:
		return fmt.Errorf("%s failed; see above", count(failures, "resource"))
	case conflicts > 0:
		return fmt.Errorf("%s with what cannot be changed; delete it, or change the file", count(conflicts, "resource"))
	case dry && differs > 0:
		return &codedError{fmt.Errorf("%s would be changed", count(differs, "resource")), exitDiffers}
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (a *app) exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "export [PROJECT...]", Short: "Write the resources of projects as a file for apply",
		Long: `Write the schemas, topics and subscriptions of projects as the YAML file that "posthaste apply" and "posthaste serve
--resources" read, without the fields that have their default. Without a PROJECT it is that of --project. Messages, snapshots and
permissions are not part of it, nor are subscriptions that are detached or whose topic was deleted: a comment names those. With
--output json, the file is a line of JSON, which both read as well, and the standard error names what is not part of it.`,
		Example: "  posthaste export > resources.yaml\n  posthaste export shop archive",
		RunE: func(c *cobra.Command, projects []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				if len(projects) == 0 {
					projects = []string{server.Project}
				}
				have, err := provision.To(server).List(ctx, projects)
				if err != nil {
					return declaring(server, err)
				}
				return a.showDeclared(have)
			})
		},
	}
	return a.clientFlags(c)
}

// showDeclared prints resources as a file that apply reads.
func (a *app) showDeclared(r *declare.Resources) error {
	if a.output != outputJSON {
		text, err := declare.Format(r)
		if err != nil {
			return err
		}
		_, err = a.out.Write(text)
		return err
	}
	line, refused, err := declare.FormatJSON(r)
	if err != nil {
		return err
	}
	for _, why := range refused {
		fmt.Fprintf(a.errs, "posthaste: not exported: %s\n", why)
	}
	_, err = a.out.Write(line)
	return err
}
