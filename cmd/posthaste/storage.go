package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/posthaste-io/posthaste/internal/config"
)

// openStorage opens the engine in the data directory and the broker on it.
func openStorage(context.Context, *config.Config, *slog.Logger) (storage, error) {
	return nil, errors.New("this build has no storage engine")
}
