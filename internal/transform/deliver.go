package transform

import (
	"context"
	"time"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// Delivery says how messages are transformed on their way to a subscriber.
type Delivery struct {
	Ordered  bool         // when a message fails, so do the later ones of its ordering key
	BytesMax int64        // of the new messages together; one message may be larger
	Now      func() int64 // a monotonic clock in nanoseconds
}

const (
	// deliverMessagesMax is how many messages are transformed before it is asked how long that took.
	deliverMessagesMax = 16
	// deliverTimeMax bounds how long messages lie leased while others are transformed.
	deliverTimeMax = time.Second
)

// Deliver gives the outcomes of the first messages: those for which there were time and room, one at least. With an error, those before it.
func Deliver(ctx context.Context, r Runner, c *Chain, in []Input, d Delivery) (out []Outcome, err error) {
	began, left := d.Now(), d.BytesMax
	failed := make(map[string]string) // by ordering key
	for len(out) < len(in) && (len(out) == 0 || d.Now()-began <= int64(deliverTimeMax)) {
		rest := in[len(out):]
		part, err := r.Run(ctx, c, rest[:min(len(rest), deliverMessagesMax)])
		if err != nil {
			return out, unable(err)
		}
		for i, o := range part {
			if d.Ordered {
				o = behind(failed, string(wire.OrderingKey(rest[i].Message)), o)
			}
			if left -= int64(len(o.Message)); left < 0 && len(out) > 0 {
				return out, nil
			}
			out = append(out, o)
		}
	}
	return out, nil
}

// behind is the outcome of a message of the key after the failures so far.
func behind(failed map[string]string, key string, o Outcome) Outcome {
	if key == "" {
		return o
	}
	if why := failed[key]; why != "" {
		return Outcome{Failure: "behind a message that failed: " + why}
	}
	if o.Failure != "" {
		failed[key] = o.Failure
	}
	return o
}
