package chaos

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/connectivity"

	"github.com/posthaste-io/posthaste/check"
)

const (
	lagEvery = 100 * time.Millisecond
	// lagSlackMax bounds how much the judge forgives a machine that is too busy.
	lagSlackMax = 3 * time.Second
	// excusedMax is the share of deliveries that the judge may have excused: one in so many.
	excusedMax = 100
)

// lag measures how long a call takes that needs neither a disk nor what subscriptions do: how busy the machine is. A broker that is slow to
// deliver does not show in it.
type lag struct {
	worst  atomic.Int64 // nanoseconds
	faults atomic.Int64 // odd while one is going on
}

// measure asks for a topic again and again.
func (l *load) measure(topic string) {
	l.readers.Go(func() {
		tick := time.NewTicker(lagEvery)
		defer tick.Stop()
		for {
			select {
			case <-l.reading.Done():
				return
			case <-tick.C:
			}
			before := l.lag.faults.Load()
			if before%2 == 1 || l.conn.GetState() != connectivity.Ready {
				continue
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(l.reading, l.patience)
			_, err := pb.NewPublisherClient(l.conn).GetTopic(ctx, &pb.GetTopicRequest{Topic: topic})
			cancel()
			if took := int64(time.Since(began)); err == nil && l.lag.faults.Load() == before && took > l.lag.worst.Load() {
				l.lag.worst.Store(took)
			}
		}
	})
}

// judgeByLag is judge with a slack that fits the machine, and fails the test when too much had to be excused.
func (l *load) judgeByLag(faults int) []check.Event {
	l.t.Helper()
	o := tolerance(faults)
	worst := time.Duration(l.lag.worst.Load())
	o.Slack = min(max(o.Slack, 2*worst), lagSlackMax)
	events := l.judge(o)
	excused := 0
	for _, times := range l.report.Excused {
		excused += times
	}
	l.t.Logf("a call took %v at most, the slack is %v; %d of %d deliveries excused", worst.Round(time.Millisecond), o.Slack, excused, l.report.Deliveries)
	if excused*excusedMax > l.report.Deliveries {
		l.t.Error("so much was excused that the run proves little")
	}
	return events
}

// TestLagCountsOnlyCallsBetweenFaults is about the measure itself.
func TestLagCountsOnlyCallsBetweenFaults(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	ready(t, b)
	l := newLoad(t, b.Addr, 1)
	l.create([]string{parcels}, nil)
	l.lag.faults.Store(1)
	l.measure(parcels)
	time.Sleep(3 * lagEvery) // that nothing is counted can only be waited for
	if worst := l.lag.worst.Load(); worst != 0 {
		t.Errorf("a call of %v was counted during a fault", time.Duration(worst))
	}
	l.lag.faults.Store(2)
	for limit := time.Now().Add(callTimeout); l.lag.worst.Load() == 0; time.Sleep(lagEvery) {
		if time.Now().After(limit) {
			t.Fatal("no call was counted")
		}
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
}
