package delivery

import (
	"strconv"
	"time"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// Attributes of a dead letter. The first four are the product's, the last two our own.
const (
	attributeDeliveryCount = "CloudPubSubDeadLetterSourceDeliveryCount"
	attributeSubscription  = "CloudPubSubDeadLetterSourceSubscription"
	attributeProject       = "CloudPubSubDeadLetterSourceSubscriptionProject"
	attributePublishTime   = "CloudPubSubDeadLetterSourceTopicPublishTime"
	attributeReason        = "PosthasteDeadLetterReason"
	attributeTime          = "PosthasteDeadLetterTime"
)

const timeStyle = "2006-01-02T15:04:05.000Z07:00"

// origin is where a dead letter comes from.
type origin struct {
	project, subscription string // their ids
	published             int64  // Unix nanoseconds
	deliveries            int    // how often the message was delivered
	reason                string // of the last failure
	failedMillis          int64  // when that was, Unix milliseconds
}

// attributes are what the origin adds to the message.
func (o *origin) attributes() []wire.Attribute {
	return []wire.Attribute{
		{Key: attributeDeliveryCount, Value: strconv.Itoa(o.deliveries)},
		{Key: attributeSubscription, Value: o.subscription},
		{Key: attributeProject, Value: o.project},
		{Key: attributePublishTime, Value: time.Unix(0, o.published).UTC().Format(timeStyle)},
		{Key: attributeReason, Value: o.reason},
		{Key: attributeTime, Value: time.UnixMilli(o.failedMillis).UTC().Format(timeStyle)},
	}
}

// A message that could not be forwarded is delivered again after forwardWaitMin, doubled with each further attempt up to forwardWaitMax.
const (
	forwardWaitMin = time.Second
	forwardWaitMax = time.Minute
)

// forwardWait is how long a message that could not be forwarded waits at least, which failed so many times more than it had to.
func forwardWait(more int) time.Duration {
	return min(forwardWaitMin<<min(max(0, more), 30), forwardWaitMax)
}
