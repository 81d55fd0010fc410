// Package deadletter says what a dead letter carries beside what its publisher gave it.
package deadletter

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

// Origin is where a dead letter comes from.
type Origin struct {
	Project, Subscription string // their ids
	Published             int64  // Unix nanoseconds
	Deliveries            int    // how often the message was delivered
	Reason                string // of the last failure
	FailedMillis          int64  // when that was, Unix milliseconds
}

// Attributes are what the origin adds to the message.
func (o *Origin) Attributes() []wire.Attribute {
	return []wire.Attribute{
		{Key: attributeDeliveryCount, Value: strconv.Itoa(o.Deliveries)},
		{Key: attributeSubscription, Value: o.Subscription},
		{Key: attributeProject, Value: o.Project},
		{Key: attributePublishTime, Value: time.Unix(0, o.Published).UTC().Format(timeStyle)},
		{Key: attributeReason, Value: o.Reason},
		{Key: attributeTime, Value: time.UnixMilli(o.FailedMillis).UTC().Format(timeStyle)},
	}
}

// Warning says what is wrong with a dead letter topic, "" if nothing is.
func Warning(exists, subscribed bool) string {
	switch {
	case !exists:
		return "the dead letter topic does not exist: messages that cannot be forwarded are delivered again and again"
	case !subscribed:
		return "the dead letter topic has no subscription: dead letters reach nobody"
	}
	return ""
}

// A message that could not be forwarded is delivered again after waitMin, doubled with each further attempt up to waitMax.
const (
	waitMin = time.Second
	waitMax = time.Minute
)

// Wait is how long a message that could not be forwarded waits at least, which failed so many times more than it had to.
func Wait(more int) time.Duration { return min(waitMin<<min(max(0, more), 30), waitMax) }
