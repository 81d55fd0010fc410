package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// PublishWork is a closed loop of publish calls: each of InFlight workers sends its next call when the previous one was answered.
type PublishWork struct {
	Topics   []string // each worker goes over its own share of them in turn; with fewer topics than workers they share
	Shape    Shape
	InFlight int
	Warmup   time.Duration // before the window; its calls are not counted
	Duration time.Duration // the window
	Edge     func()        // called when the window opens and when it closes, for reading the server's CPU time; may be nil
}

// PublishResult counts the calls that were answered inside the window.
type PublishResult struct {
	Messages uint64
	Calls    uint64
	Elapsed  time.Duration
	Latency  Histogram // of a call
}

// PerSecond is the rate of messages.
func (r *PublishResult) PerSecond() float64 { return perSecond(r.Messages, r.Elapsed) }

func perSecond(n uint64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}

// Publish does the work. Any failed call, and any answer with another number of message ids than messages sent, fails the work.
func (c *Client) Publish(ctx context.Context, work PublishWork) (*PublishResult, error) {
	p, err := c.newPublisher(work.Topics, work.Shape, work.InFlight)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.run(ctx) })
	var elapsed time.Duration
	group.Go(func() (err error) {
		elapsed, err = p.window(ctx, work)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	result := p.result()
	result.Elapsed = elapsed
	return result, nil
}

// window lets calls count between the warm-up and the end, and then stops the workers. It returns how long they counted.
func (p *publisher) window(ctx context.Context, work PublishWork) (time.Duration, error) {
	defer p.stop()
	if err := pause(ctx, work.Warmup); err != nil {
		return 0, err
	}
	edge(work.Edge)
	start := time.Now()
	p.measuring.Store(true)
	err := pause(ctx, work.Duration)
	p.measuring.Store(false)
	elapsed := time.Since(start)
	edge(work.Edge)
	return elapsed, err
}

func edge(f func()) {
	if f != nil {
		f()
	}
}

// pause waits; it returns early with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// publisher is the closed loop. Numbers of messages are given out densely from 0 and a call that took numbers is always sent, so that
// after run has returned nil exactly the numbers below published have been accepted. An ordering key belongs to one worker, so that the
// numbers of its messages grow in the order of publishing.
type publisher struct {
	client    *Client
	shape     Shape
	limit     uint64 // messages; 0 = none
	workers   []*publishWorker
	next      atomic.Uint64
	published atomic.Uint64
	measuring atomic.Bool
	stopped   atomic.Bool
}

type publishWorker struct {
	requests []*request
	reply    publishReply
	calls    uint64
	latency  Histogram
}

func (c *Client) newPublisher(topics []string, shape Shape, inFlight int) (*publisher, error) {
	if err := shape.validate(); err != nil {
		return nil, err
	}
	if len(topics) == 0 || inFlight < 1 {
		return nil, fmt.Errorf("publish: %d topics with %d calls in flight, both must be at least 1", len(topics), inFlight)
	}
	if shape.OrderingKeys > 0 && (shape.OrderingKeys < inFlight || len(topics) > 1) {
		return nil, fmt.Errorf("publish: %d ordering keys for %d calls in flight to %d topics: a key belongs to one caller and a topic",
			shape.OrderingKeys, inFlight, len(topics))
	}
	p := &publisher{client: c, shape: shape}
	for i := range inFlight {
		w := &publishWorker{}
		if len(topics) <= inFlight {
			w.requests = append(w.requests, newRequest(topics[i%len(topics)], shape, uint64(i)))
		}
		for t := i; len(topics) > inFlight && t < len(topics); t += inFlight {
			w.requests = append(w.requests, newRequest(topics[t], shape, uint64(t)))
		}
		p.workers = append(p.workers, w)
	}
	return p, nil
}

// stop lets calls in flight end and sends no others.
func (p *publisher) stop() { p.stopped.Store(true) }

// run sends calls until stop, the limit or the first error.
func (p *publisher) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, w := range p.workers {
		group.Go(func() error { return p.work(ctx, i, w) })
	}
	return group.Wait()
}

func (p *publisher) work(ctx context.Context, index int, w *publishWorker) error {
	conn := p.client.connection(index)
	perCall := uint64(p.shape.MessagesPerCall)
	for turn := 0; !p.stopped.Load(); turn++ {
		first := p.next.Add(perCall) - perCall
		if p.limit > 0 && first >= p.limit {
			return nil
		}
		r := w.requests[turn%len(w.requests)]
		sentAt := p.client.clock.now()
		r.stampAll(first, sentAt)
		if keys := p.shape.OrderingKeys; keys > 0 {
			share := (keys - index + len(p.workers) - 1) / len(p.workers)
			r.stampKey(index + turn%share*len(p.workers))
		}
		if err := conn.Invoke(ctx, publishMethod, &r.encoded, &w.reply); err != nil {
			return fmt.Errorf("call with messages %d to %d: %w", first, first+perCall-1, err)
		}
		if w.reply.ids != p.shape.MessagesPerCall {
			return fmt.Errorf("%d messages were answered with %d message ids", perCall, w.reply.ids)
		}
		p.published.Add(perCall)
		if p.measuring.Load() {
			w.calls++
			w.latency.Record(time.Duration(p.client.clock.now()-sentAt), 1)
		}
	}
	return nil
}

// result gathers what the workers counted; run must have returned.
func (p *publisher) result() *PublishResult {
	r := &PublishResult{}
	for _, w := range p.workers {
		r.Calls += w.calls
		r.Latency.Merge(&w.latency)
	}
	r.Messages = r.Calls * uint64(p.shape.MessagesPerCall)
	return r
}
