package blackbox

import (
	"context"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// gauge tells how busy the machine is: how long this process and the broker take for a call that asks for next to nothing. How soon
// something must come is said for a machine with nothing else to do, and a test that looks at the clock stretches it by what the gauge shows.
type gauge struct {
	mu      sync.Mutex
	calls   []timedCall
	pending time.Time // when the call that is not answered yet was due
}

type timedCall struct{ due, ended time.Time }

const (
	gaugeEvery = 50 * time.Millisecond

	// gaugeSteps is how many of a call's times may go by between a cause and its effect that a test sees: each is more steps than one call.
	gaugeSteps = 4
)

// gauge measures until the test ends.
func (s *server) gauge(t *testing.T) *gauge {
	t.Helper()
	g := &gauge{pending: time.Now()}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			_, _ = s.GetTopic(ctx, &pb.GetTopicRequest{Topic: s.topicName("gauge")}) // there is none, and that takes as long
			g.mu.Lock()
			g.calls = append(g.calls, timedCall{g.pending, time.Now()})
			g.pending = time.Now().Add(gaugeEvery)
			g.mu.Unlock()
			select {
			case <-time.After(gaugeEvery):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return g
}

// slack is what is to be added to a bound on what happened between two moments.
func (g *gauge) slack(from, to time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	worst := max(0, time.Since(g.pending))
	for _, c := range g.calls {
		if c.ended.After(from) && c.due.Before(to.Add(gaugeEvery)) {
			worst = max(worst, c.ended.Sub(c.due))
		}
	}
	return gaugeSteps * worst
}

// over tells whether more time than most went by between two moments, which this machine does not excuse.
func (g *gauge) over(from, to time.Time, most time.Duration) bool {
	return to.Sub(from) > most+g.slack(from, to)
}
