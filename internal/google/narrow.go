package google

import (
	"context"

	"google.golang.org/grpc/status"
)

// narrow is a place that few calls may be in at a time: as many as the channel has room for.
//
// Large publishes pass through one. The log takes them as they come, and whatever is published behind several of them waits until all are
// on disk, which takes ten times as long as its own place needs; behind one that comes after the other, it waits for one.
type narrow chan struct{}

// enter waits for a place until the call ends. Leave follows, unless it fails.
func (n narrow) enter(ctx context.Context) error {
	select {
	case n <- struct{}{}:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (n narrow) leave() { <-n }
