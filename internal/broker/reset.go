package broker

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// resetConcurrency is how many resources are deleted at a time: enough that they share the log's syncs.
const resetConcurrency = 64

// Reset deletes every resource, for tests that want to begin with nothing: subscriptions, then topics, each with its access policy.
// Resources that are made meanwhile may stay.
func (b *Broker) Reset(ctx context.Context) error {
	b.mu.RLock()
	subscriptions, topics := keys(b.subscriptions), keys(b.topics)
	b.mu.RUnlock()
	return errors.Join(
		forEach(subscriptions, func(name string) error { return b.DeleteSubscription(ctx, name) }),
		forEach(topics, func(name string) error { return b.DeleteTopic(ctx, name) }),
	)
}

// forEach deletes some at a time. What is gone already is no error.
func forEach(names []string, remove func(name string) error) error {
	var group sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := make(chan string)
	for range min(resetConcurrency, len(names)) {
		group.Go(func() {
			for name := range next {
				if err := remove(name); err != nil && status.Code(err) != codes.NotFound {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
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
