package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"

	"github.com/spf13/pflag"

	"github.com/posthaste-io/posthaste/internal/config"
	"github.com/posthaste-io/posthaste/internal/declare"
	"github.com/posthaste-io/posthaste/internal/provision"
	"github.com/posthaste-io/posthaste/internal/serve"
)

// readStartup reads the file of resources and the variables of emulator images, and gives what brings them to a storage. An error is one of
// usage.
func (a *app) readStartup(settings *config.Config) (func(context.Context, serve.Storage, *slog.Logger) error, error) {
	s := &provision.Startup{Declared: new(declare.Resources)}
	var err error
	if settings.Resources != "" {
		if s.Declared, err = a.readResources(settings.Resources, a.defaultProject()); err != nil {
			return nil, err
		}
	}
	if s.Named, err = declare.FromEnvironment(a.lookupEnv); err != nil {
		return nil, &codedError{err, exitUsage}
	}
	return func(ctx context.Context, store serve.Storage, log *slog.Logger) error {
		return s.Apply(ctx, provision.Services{Options: store.Options(), Register: store.Register}, log)
	}, nil
}

// emulatorFlags adds the flags by which Google's emulator and its wrappers are started, so that their command lines keep working.
func (a *app) emulatorFlags(flags *pflag.FlagSet) {
	flags.String("host-port", "", "as --listen, for command lines of Google's emulator: `HOST:PORT` or a port")
	flags.String("host", "", "the host part of --listen")
	flags.String("port", "", "the port part of --listen")
	flags.StringVar(&a.project, "project", "", "`ID` of the project for short names in the file of resources (default PUBSUB_PROJECT_ID, GOOGLE_CLOUD_PROJECT or "+projectDefault+")")
}

// listenFrom turns the emulator's flags into --listen. The emulator listens on localhost unless it is told otherwise.
func listenFrom(flags *pflag.FlagSet) error {
	host, port := flags.Lookup("host"), flags.Lookup("port")
	given := flags.Lookup("host-port")
	switch {
	case !given.Changed && !host.Changed && !port.Changed:
		return nil
	case flags.Changed("listen") || given.Changed && (host.Changed || port.Changed):
		return usage("--listen, --host-port, and --host with --port say the same thing; give one of them")
	case given.Changed:
		return flags.Set("listen", withHost(given.Value.String()))
	}
	const usual = "8085" // as the emulator's
	return flags.Set("listen", net.JoinHostPort(cmp.Or(host.Value.String(), "127.0.0.1"), cmp.Or(port.Value.String(), usual)))
}

// withHost completes an address that is nothing but a port.
func withHost(address string) string {
	if _, _, err := net.SplitHostPort(address); err != nil && address != "" {
		return net.JoinHostPort("127.0.0.1", address)
	}
	return address
}
