package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/config"
	"github.com/posthaste-io/posthaste/internal/serve"
)

const serveLong = `Run the broker until SIGTERM or SIGINT. One line on the standard output says where clients reach it; the log goes to
the standard error. A signal ends it gracefully: /readyz answers 503, streams end with UNAVAILABLE so that clients come
back later, calls get the grace period to finish, and the storage is closed. A second signal ends it at once, which
loses nothing that was accepted.

Every setting can also come from the environment (POSTHASTE_ and the flag's name in capitals, with _ for -) or from the
YAML file that --config or POSTHASTE_CONFIG names. Flags win over the environment, which wins over the file.

Topics, subscriptions and schemas that --resources declares are created or updated before the first call is taken, as "posthaste apply"
does it. So are, if they are missing, those that PUBSUB_PROJECT1, PUBSUB_PROJECT2 and so on name, in the form that images of Google's
emulator understand: PROJECT,TOPIC:SUBSCRIPTION:SUBSCRIPTION,TOPIC; a subscription with +URL behind it is pushed there.

On the same port as gRPC, GET /healthz tells whether the process works, GET /readyz whether it takes calls.`

const serveExample = `  posthaste serve
  posthaste serve --listen :8085 --data /var/lib/posthaste --log-format json
  posthaste serve --resources resources.yaml
  PUBSUB_PROJECT1=shop,orders:billing posthaste serve --host-port 0.0.0.0:8085
  POSTHASTE_TAIL_MEMORY=256MiB posthaste serve --config posthaste.yaml`

func (a *app) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the broker", Long: serveLong, Example: serveExample, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := listenFrom(c.Flags()); err != nil {
				return err
			}
			settings, err := config.Load(c.Flags(), a.lookupEnv)
			if err != nil {
				return &codedError{err, exitUsage}
			}
			prepare, err := a.readStartup(settings)
			if err != nil {
				return err
			}
			announce := func(bound net.Addr) error { return a.announce(settings, bound) }
			s := &serve.Server{Settings: settings, Log: a.logger(settings.Log), Open: openStorage, Prepare: prepare, Announce: announce}
			if err := s.Run(c.Context()); errors.Is(err, serve.ErrStorageFailed) {
				return &codedError{err, exitStorage}
			} else {
				return err
			}
		},
	}
	c.Flags().SortFlags = false
	config.Flags(c.Flags())
	a.emulatorFlags(c.Flags())
	return c
}

func (a *app) logger(settings config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: settings.Level}
	if settings.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.errs, options))
	}
	return slog.New(slog.NewTextHandler(a.errs, options))
}

// announce prints the one line that says that clients may come, and how.
func (a *app) announce(settings *config.Config, bound net.Addr) error {
	export := "PUBSUB_EMULATOR_HOST=" + serve.Reachable(bound)
	return a.report(
		fmt.Sprintf("posthaste: gRPC and HTTP on %s, data in %s, sync %s; clients: export %s", bound, settings.Data, settings.Sync.Mode, export),
		struct {
			Listen string `json:"listen"`
			Data   string `json:"data"`
			Sync   string `json:"sync"`
			Export string `json:"export"`
			PID    int    `json:"pid"`
		}{bound.String(), settings.Data, string(settings.Sync.Mode), export, os.Getpid()})
}
