package main

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/posthaste-io/posthaste/internal/budget"
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
		register := func(r grpc.ServiceRegistrar) { store.Register(r, budget.Of(int(settings.RequestMemoryBytes))) } // before any client comes
		return s.Apply(ctx, provision.Services{Options: store.Options(), Register: register}, log)
	}, nil
}
