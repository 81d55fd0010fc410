package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/posthaste-io/posthaste/internal/broker"
	"github.com/posthaste-io/posthaste/internal/config"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk"
	"github.com/posthaste-io/posthaste/internal/google"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// diskStorage is a broker on the disk engine, with the fronts that speak for it.
type diskStorage struct {
	engine engine.Engine
	broker *broker.Broker
}

// openStorage opens the engine in the data directory and the broker on it.
func openStorage(ctx context.Context, settings *config.Config, log *slog.Logger) (storage, error) {
	e, err := disk.Open(disk.Options{
		FS: vfs.OS(), Dir: settings.Data, Logger: log,
		Sync:             syncMode(settings.Sync),
		SegmentBytes:     settings.SegmentBytes,
		TailBytes:        settings.TailMemoryBytes,
		FreeReserveBytes: settings.FreeReserveBytes,
	})
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &codedError{err, exitInUse}
	}
	if err != nil {
		return nil, fmt.Errorf("open the storage: %w", err)
	}
	b, err := broker.Open(ctx, e, broker.Options{Logger: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the storage: %w", err), e.Close())
	}
	return &diskStorage{engine: e, broker: b}, nil
}

func syncMode(s config.Sync) disk.SyncMode {
	return disk.SyncMode{Never: s.Mode == config.SyncNone, Interval: s.Interval}
}

func (s *diskStorage) options() []grpc.ServerOption     { return google.ServerOptions() }
func (s *diskStorage) register(r grpc.ServiceRegistrar) { google.Register(r, s.broker) }
func (s *diskStorage) failed() <-chan struct{}          { return s.broker.Failed() }
func (s *diskStorage) drain()                           { s.broker.Drain() }

func (s *diskStorage) close(ctx context.Context) error {
	if err := errors.Join(s.broker.Close(ctx), s.engine.Close()); err != nil {
		return fmt.Errorf("close the storage: %w", err)
	}
	return nil
}
