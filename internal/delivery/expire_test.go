package delivery

import (
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// Others get the subscription's lock in between: they would notice if it were held for all of them.
func TestVeryManyLeasesThatEndAtOnceDoSoSomeAtATime(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	const messages, call = expireMax + expireMax/2, 1000
	for range messages / call {
		b.publish(slices.Repeat([]string{"x"}, call)...)
	}
	s := b.sub
	taker := b.stream(Credit{})
	if got := len(b.now(taker)); got != messages {
		t.Fatalf("took %d messages", got)
	}
	s.mu.Lock()
	first := s.queue.wakeAt
	s.mu.Unlock()
	outstanding := -1
	b.clock.AfterFunc(time.Duration(first-b.clock.Mono()), func() { // after the first of the expiries, which is planned for then already
		s.mu.Lock()
		defer s.mu.Unlock()
		outstanding = s.queue.Outstanding()
	})
	b.clock.Advance(11 * time.Second)
	if want := messages - expireMax; outstanding != want {
		t.Errorf("%d leases are left in between, want %d", outstanding, want)
	}
	if got := len(b.now(taker)); got != messages {
		t.Errorf("%d messages came again", got)
	}
}
