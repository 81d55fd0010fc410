package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"google.golang.org/grpc"

	"github.com/posthaste-io/posthaste/internal/broker"
	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/config"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk"
	"github.com/posthaste-io/posthaste/internal/google"
	"github.com/posthaste-io/posthaste/internal/oidc"
	"github.com/posthaste-io/posthaste/internal/push"
	"github.com/posthaste-io/posthaste/internal/serve"
	"github.com/posthaste-io/posthaste/internal/transform/sandbox"
	"github.com/posthaste-io/posthaste/internal/vfs"
	"github.com/posthaste-io/posthaste/internal/wipe"
)

// diskStorage is a broker on the disk engine, with the fronts that speak for it.
type diskStorage struct {
	engine  engine.Engine
	broker  *broker.Broker
	tokens  *oidc.Provider
	endPush context.CancelFunc
	pushed  chan error // gets the end of the push service
}

// openStorage opens the engine in the data directory and the broker on it.
func openStorage(ctx context.Context, settings *config.Config, log *slog.Logger) (serve.Storage, error) {
	roots, err := push.Roots(settings.PushCAFile)
	if err != nil {
		return nil, &codedError{err, exitUsage}
	}
	e, err := disk.Open(disk.Options{
		FS: vfs.OS(), Dir: settings.Data, Logger: log,
		Sync: syncMode(settings.Sync), SegmentBytes: settings.SegmentBytes, TailBytes: settings.TailMemoryBytes, FreeReserveBytes: settings.FreeReserveBytes,
	})
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &codedError{err, exitInUse}
	}
	if err != nil {
		return nil, fmt.Errorf("open the storage: %w", err)
	}
	b, err := broker.Open(ctx, e, broker.Options{Logger: log, Transforms: sandbox.NewPool()})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the storage: %w", err), e.Close())
	}
	s := &diskStorage{engine: e, broker: b, tokens: oidc.New(settings.Issuer, b, clock.System()), pushed: make(chan error, 1)}
	service := push.New(b, push.Options{
		Tokens: s.tokens, Logger: log, Roots: roots, UserAgent: "Posthaste/" + thisBuild().Version, Grace: settings.ShutdownGrace,
	})
	pushing, end := context.WithCancel(context.WithoutCancel(ctx)) // until drain
	s.endPush = end
	go func() { s.pushed <- service.Run(pushing) }()
	return s, nil
}

func syncMode(s config.Sync) disk.SyncMode {
	return disk.SyncMode{Never: s.Mode == config.SyncNone, Interval: s.Interval}
}

func (s *diskStorage) Options() []grpc.ServerOption { return google.ServerOptions() }
func (s *diskStorage) Register(r grpc.ServiceRegistrar, memory *budget.Memory) {
	google.Register(r, s.broker, memory)
}
func (s *diskStorage) Failed() <-chan struct{}         { return s.broker.Failed() }
func (s *diskStorage) Web(mux *http.ServeMux)          { s.tokens.Register(mux) }
func (s *diskStorage) Reset(ctx context.Context) error { return wipe.All(ctx, s.broker) }

// Drain ends streams, and lets no post begin that has not.
func (s *diskStorage) Drain() {
	s.endPush()
	s.broker.Drain()
}

func (s *diskStorage) Close(ctx context.Context) error {
	s.endPush()
	pushed := <-s.pushed // what posts brought must reach the log before that is closed
	if err := errors.Join(pushed, s.broker.Close(ctx), s.engine.Close()); err != nil {
		return fmt.Errorf("close the storage: %w", err)
	}
	return nil
}
