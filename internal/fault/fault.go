// Package fault says what clients are told when the storage engine fails.
package fault

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// Status turns an engine's error into the status that a client is to see; nil stays nil.
func Status(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, engine.ErrFull):
		return status.Error(codes.ResourceExhausted, "The broker has not enough free disk space to take more.")
	case errors.Is(err, engine.ErrCorrupt):
		return status.Errorf(codes.DataLoss, "Stored data is damaged: %v.", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	default:
		return status.Errorf(codes.Unavailable, "The broker's log failed: %v.", err)
	}
}
