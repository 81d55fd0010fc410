package google

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/tap"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// arrival is the context of a call whose request is still on its way. When that takes too long, the context ends, which ends the call with
// DEADLINE_EXCEEDED: a client that sends a byte now and then would hold memory for ever, and keep-alive finds nothing wrong with it. Once the
// request is there the context has no time of its own.
type arrival struct {
	context.Context
	timer *time.Timer
	late  atomic.Bool
}

type arrivalKey struct{}

// Value is the arrival itself for its key.
func (a *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// Err says of a request that came too late that the time was over, and not that the client gave up.
func (a *arrival) Err() error {
	err := a.Context.Err()
	if err != nil && a.late.Load() {
		return context.DeadlineExceeded
	}
	return err
}

// await is called with a call's headers, and gives it a time for its request.
func await(most time.Duration) tap.ServerInHandle {
	return func(ctx context.Context, _ *tap.Info) (context.Context, error) {
		ctx, cancel := context.WithCancel(ctx) // ends with its parent, which ends with the call
		a := &arrival{Context: ctx}
		a.timer = time.AfterFunc(most, func() {
			a.late.Store(true)
			cancel()
		})
		return a, nil
	}
}

// awaitRequests is what the server does with the headers of every call.
func awaitRequests() tap.ServerInHandle { return await(limit.GRPCRequestTimeMax) }

// receive decodes a call's request, from when on the call may take its time.
func receive(ctx context.Context, decode func(any) error, into any) error {
	err := decode(into)
	if a, is := ctx.Value(arrivalKey{}).(*arrival); is {
		a.timer.Stop()
	}
	return err
}

// within is receive as a decoding function.
func within(ctx context.Context, decode func(any) error) func(any) error {
	return func(into any) error { return receive(ctx, decode, into) }
}
