package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// isTransport says whether a call had no answer from a server: anything else, an error of the service included, is an answer.
func isTransport(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		return false
	}
}

// TopicName is the full name of a topic.
func TopicName(project, id string) string { return "projects/" + project + "/topics/" + id }

// SubscriptionName is the full name of a subscription.
func SubscriptionName(project, id string) string {
	return "projects/" + project + "/subscriptions/" + id
}

// CreateTopic makes a topic.
func (c *Client) CreateTopic(ctx context.Context, topic string) error {
	return c.createTopic(ctx, 0, topic)
}

func (c *Client) createTopic(ctx context.Context, worker int, topic string) error {
	_, err := pubsubpb.NewPublisherClient(c.connection(worker)).CreateTopic(ctx, &pubsubpb.Topic{Name: topic})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// CreateSubscription makes a subscription; the deadline for acknowledgements is long, so that a slow run is not a run of redeliveries.
func (c *Client) CreateSubscription(ctx context.Context, subscription *pubsubpb.Subscription) error {
	return c.createSubscription(ctx, 0, subscription)
}

func (c *Client) createSubscription(ctx context.Context, worker int, subscription *pubsubpb.Subscription) error {
	if subscription.AckDeadlineSeconds == 0 {
		subscription.AckDeadlineSeconds = streamDeadlineSeconds
	}
	_, err := pubsubpb.NewSubscriberClient(c.connection(worker)).CreateSubscription(ctx, subscription)
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", subscription.Name, err)
	}
	return nil
}

// Delete removes subscriptions, then topics, inFlight calls at a time. What is already gone is no error.
func (c *Client) Delete(ctx context.Context, topics, subscriptions []string, inFlight int) error {
	err := c.spread(ctx, len(subscriptions), inFlight, func(ctx context.Context, worker, i int) error {
		request := &pubsubpb.DeleteSubscriptionRequest{Subscription: subscriptions[i]}
		_, err := pubsubpb.NewSubscriberClient(c.connection(worker)).DeleteSubscription(ctx, request)
		return ignoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("delete subscriptions: %w", err)
	}
	err = c.spread(ctx, len(topics), inFlight, func(ctx context.Context, worker, i int) error {
		request := &pubsubpb.DeleteTopicRequest{Topic: topics[i]}
		_, err := pubsubpb.NewPublisherClient(c.connection(worker)).DeleteTopic(ctx, request)
		return ignoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return nil
}

func ignoreNotFound(err error) error {
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// CreateTopics makes topics, inFlight calls at a time.
func (c *Client) CreateTopics(ctx context.Context, topics []string, inFlight int) error {
	return c.spread(ctx, len(topics), inFlight, func(ctx context.Context, worker, i int) error {
		return c.createTopic(ctx, worker, topics[i])
	})
}

// CreatePairs makes topics[i] and then subscriptions[i] on it, for every i, inFlight pairs at a time, and returns how long all took.
func (c *Client) CreatePairs(ctx context.Context, topics, subscriptions []string, inFlight int) (time.Duration, error) {
	if len(topics) != len(subscriptions) {
		return 0, fmt.Errorf("%d topics for %d subscriptions", len(topics), len(subscriptions))
	}
	start := time.Now()
	err := c.spread(ctx, len(topics), inFlight, func(ctx context.Context, worker, i int) error {
		if err := c.createTopic(ctx, worker, topics[i]); err != nil {
			return err
		}
		return c.createSubscription(ctx, worker, &pubsubpb.Subscription{Name: subscriptions[i], Topic: topics[i]})
	})
	return time.Since(start), err
}

// spread calls do for 0 to n-1 from inFlight workers and ends at the first error.
func (c *Client) spread(ctx context.Context, n, inFlight int, do func(ctx context.Context, worker, i int) error) error {
	if inFlight < 1 {
		return fmt.Errorf("in flight: %d, must be at least 1", inFlight)
	}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for worker := range min(inFlight, n) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := do(ctx, worker, i); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
