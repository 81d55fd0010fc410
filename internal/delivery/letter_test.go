package delivery

import (
	"slices"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/wire"
)

func TestADeadLetterSaysWhereItComesFrom(t *testing.T) {
	o := origin{project: "p", subscription: "s", published: 1_700_000_000_123_000_000, deliveries: 5, reason: "nacked", failedMillis: 1_700_000_001_000}
	want := []wire.Attribute{
		{Key: "CloudPubSubDeadLetterSourceDeliveryCount", Value: "5"},
		{Key: "CloudPubSubDeadLetterSourceSubscription", Value: "s"},
		{Key: "CloudPubSubDeadLetterSourceSubscriptionProject", Value: "p"},
		{Key: "CloudPubSubDeadLetterSourceTopicPublishTime", Value: "2023-11-14T22:13:20.123Z"},
		{Key: "PosthasteDeadLetterReason", Value: "nacked"},
		{Key: "PosthasteDeadLetterTime", Value: "2023-11-14T22:13:21.000Z"},
	}
	if got := o.attributes(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheWaitDoublesUpToAMinute(t *testing.T) {
	for more, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 31: time.Minute, 1 << 20: time.Minute,
	} {
		if got := forwardWait(more); got != want {
			t.Errorf("after %d more: %v, want %v", more, got, want)
		}
	}
}
