// Package wipe deletes every resource of a broker, for tests that want to begin with nothing.
package wipe

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// concurrency is how many resources are deleted at a time: enough that they share the log's syncs.
const concurrency = 64

// Broker is what is wiped; S are its schemas.
type Broker[S Schemas] interface {
	Names() (subscriptions, snapshots, topics []string)
	DeleteSubscription(ctx context.Context, name string) error
	DeleteSnapshot(ctx context.Context, name string) error
	DeleteTopic(ctx context.Context, name string) error
	Schemas() S
}

// Schemas are the broker's schemas.
type Schemas interface {
	Names() []string
	DeleteSchema(ctx context.Context, name string) error
}

// All deletes the subscriptions, then the snapshots, then the topics, then the schemas, each with its access policy. Resources that are
// made meanwhile may stay.
func All[S Schemas](ctx context.Context, b Broker[S]) error {
	subscriptions, snapshots, topics := b.Names()
	return errors.Join(
		each(ctx, subscriptions, b.DeleteSubscription),
		each(ctx, snapshots, b.DeleteSnapshot),
		each(ctx, topics, b.DeleteTopic),
		each(ctx, b.Schemas().Names(), b.Schemas().DeleteSchema),
	)
}

// each deletes some at a time and gives the first error. What is gone already is none.
func each(ctx context.Context, names []string, remove func(context.Context, string) error) error {
	var group sync.WaitGroup
	var once sync.Once
	var first error
	next := make(chan string)
	for range min(concurrency, len(names)) {
		group.Go(func() {
			for name := range next {
				if err := remove(ctx, name); err != nil && status.Code(err) != codes.NotFound {
					once.Do(func() { first = err })
				}
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	group.Wait()
	return first
}
