package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/client"
)

// Where client commands turn when nothing else is said.
const (
	addrDefault    = "127.0.0.1:8085"
	projectDefault = "posthaste"
)

// callTimeout bounds a call that the server should answer at once.
const callTimeout = 60 * time.Second

// clientFlags adds the flags that every client command has.
func (a *app) clientFlags(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&a.addr, "addr", "",
		"`HOST:PORT` of the server (default POSTHASTE_ADDR, PUBSUB_EMULATOR_HOST or "+addrDefault+")")
	c.PersistentFlags().StringVar(&a.project, "project", "",
		"`ID` of the project for short names (default PUBSUB_PROJECT_ID, GOOGLE_CLOUD_PROJECT or "+projectDefault+")")
	return c
}

// first is the flag if it was given, else the first variable that is set to something, else the default.
func (a *app) first(flag string, variables []string, otherwise string) string {
	if flag != "" {
		return flag
	}
	for _, name := range variables {
		if text, _ := a.lookupEnv(name); text != "" {
			return text
		}
	}
	return otherwise
}

// serverAddress is where client commands turn.
func (a *app) serverAddress() string {
	return strings.TrimPrefix(a.first(a.addr, []string{"POSTHASTE_ADDR", "PUBSUB_EMULATOR_HOST"}, addrDefault), "http://")
}

// dial prepares a connection, which is made with the first call.
func (a *app) dial() (*client.Connection, error) {
	c, err := client.Dial(a.serverAddress(), a.defaultProject())
	if err != nil {
		return nil, &codedError{err, exitUsage}
	}
	return c, nil
}

// defaultProject is the one that short names belong to.
func (a *app) defaultProject() string {
	return a.first(a.project, []string{"PUBSUB_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"}, projectDefault)
}

// with runs do on a connection to the server and closes that.
func (a *app) with(ctx context.Context, do func(context.Context, *client.Connection) error) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c)
}

// within is with for what the server should answer at once.
func (a *app) within(ctx context.Context, do func(context.Context, *client.Connection) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return a.with(ctx, do)
}

// each is a command that does one thing to each resource of a kind ("topic") that is named, until one fails. The verb ("delete") is the
// command's name, and done ("deleted") what it reports.
func (a *app) each(kind, verb, done, example, short string, do func(ctx context.Context, server *client.Connection, name string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " " + strings.ToUpper(kind) + "...", Short: short, Args: cobra.MinimumNArgs(1),
		Example: "  posthaste " + kind + " " + verb + " " + example,
		RunE: func(c *cobra.Command, names []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				for _, name := range names {
					full := server.Full(kind+"s", name)
					call, cancel := context.WithTimeout(ctx, callTimeout)
					err := do(call, server, full)
					cancel()
					if err != nil {
						return server.Failed(err, "%s %s %s", verb, kind, full)
					}
					if err := a.report(done+" "+full, map[string]string{done: full}); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
