package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// RewindResult is how long a seek took, from the call on.
type RewindResult struct {
	Call  time.Duration // until its answer
	First time.Duration // until the first message had come again, on a stream that was opened after the answer
	All   time.Duration // until all had
}

// Rewind moves a subscription that has nothing left back to the time, and receives what was published since: exactly the messages 0 to
// published-1.
func (c *Client) Rewind(ctx context.Context, subscription string, to time.Time, streams int, published uint64, stallMax time.Duration) (*RewindResult, error) {
	start := time.Now()
	request := &pubsubpb.SeekRequest{Subscription: subscription, Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(to)}}
	if _, err := pubsubpb.NewSubscriberClient(c.connection(0)).Seek(ctx, request); err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	result := &RewindResult{Call: time.Since(start)}
	d, err := c.openDrain(ctx, []string{subscription}, reception{streams: streams})
	if err != nil {
		return nil, fmt.Errorf("rewind: %w", err)
	}
	if err := d.subscribers[0].wait(ctx, 1, stallMax); err != nil {
		return nil, errors.Join(fmt.Errorf("rewind: %w", err), d.close())
	}
	result.First = time.Since(start)
	if err := d.wait(ctx, published, stallMax); err != nil {
		return nil, errors.Join(fmt.Errorf("rewind: %w", err), d.close())
	}
	result.All = time.Since(start)
	return result, d.close()
}
