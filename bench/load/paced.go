package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"
)

// PacedWork publishes at a fixed rate, one message a call, whatever the server does: a slow answer delays no later message, and times
// count from when a message was due, so that a stall is seen in full.
type PacedWork struct {
	Topic        string
	Subscription string // on Topic, empty
	Streams      int
	PerSecond    int
	Shape        Shape // of one message a call
	Warmup       time.Duration
	Duration     time.Duration
	InFlightMax  int // calls; when so many wait the next message is late, which its time shows
	StallMax     time.Duration
	Edge         func() // called when the counted part begins and when it ends; may be nil
}

// PacedResult holds the times of the counted part.
type PacedResult struct {
	Messages       uint64
	PublishLatency Histogram // from due to answered
	Latency        Histogram // from due to received
	Lateness       Histogram // from due to sent: the generator's own part in the times above
	Elapsed        time.Duration
}

// pacedPauseMin is the gap between messages from which on a timer is precise enough, and cancelling it matters.
const pacedPauseMin = 50 * time.Millisecond

// due is one message of the schedule.
type due struct {
	number  uint64
	at      int64 // nanoseconds on the client's clock
	counted bool
}

// Paced does the work. It fails like EndToEnd.
func (c *Client) Paced(ctx context.Context, work PacedWork) (*PacedResult, error) {
	if work.PerSecond < 1 || work.InFlightMax < 1 || work.Shape.MessagesPerCall != 1 {
		return nil, fmt.Errorf("paced: %d messages/s, %d in flight, %d a call: must be at least 1, at least 1, and 1",
			work.PerSecond, work.InFlightMax, work.Shape.MessagesPerCall)
	}
	if err := work.Shape.validate(); err != nil {
		return nil, err
	}
	d, err := c.openDrain(ctx, []string{work.Subscription}, reception{streams: work.Streams})
	if err != nil {
		return nil, fmt.Errorf("paced: %w", err)
	}
	d.countFrom(math.MaxInt64) // nothing, until the warm-up is over
	result := &PacedResult{}
	published, err := c.publishPaced(ctx, work, d, result)
	if err == nil {
		err = d.wait(ctx, published, work.StallMax)
	}
	if err = errors.Join(err, d.close()); err != nil {
		return nil, fmt.Errorf("paced: %w", err)
	}
	result.Latency = *d.subscribers[0].latency()
	return result, nil
}

// publishPaced runs the schedule and the workers that send it.
func (c *Client) publishPaced(ctx context.Context, work PacedWork, d *drain, result *PacedResult) (published uint64, err error) {
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan due, work.PerSecond) // a second's worth may wait for a worker
	workers := make([]pacedWorker, work.InFlightMax)
	for i := range work.InFlightMax {
		group.Go(func() error { return c.sendDue(ctx, i, work, queue, &workers[i]) })
	}
	group.Go(func() error {
		defer close(queue)
		if published, err = c.schedule(ctx, work.Warmup, work.PerSecond, 0, false, queue); err != nil {
			return err
		}
		d.countFrom(c.clock.now())
		edge(work.Edge)
		start := time.Now()
		published, err = c.schedule(ctx, work.Duration, work.PerSecond, published, true, queue)
		result.Elapsed = time.Since(start)
		edge(work.Edge)
		return err
	})
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("publish: %w", err)
	}
	for i := range workers {
		result.PublishLatency.Merge(&workers[i].latency)
		result.Lateness.Merge(&workers[i].lateness)
	}
	result.Messages = result.PublishLatency.Count()
	return published, nil
}

// schedule puts messages into the queue when they are due and returns the next free number.
func (c *Client) schedule(ctx context.Context, d time.Duration, perSecond int, number uint64, counted bool, queue chan<- due) (uint64, error) {
	interval := time.Second / time.Duration(perSecond)
	start := c.clock.now()
	for i := range int64(d / interval) {
		at := start + i*int64(interval)
		if ahead := time.Duration(at - c.clock.now()); ahead > pacedPauseMin {
			if err := pause(ctx, ahead); err != nil {
				return number, err
			}
		} else if ahead > 0 {
			sleep(ahead)
		}
		select {
		case queue <- due{number: number, at: at, counted: counted}:
			number++
		case <-ctx.Done():
			return number, context.Cause(ctx)
		}
	}
	return number, nil
}

type pacedWorker struct {
	latency  Histogram
	lateness Histogram
}

// sendDue is one worker.
func (c *Client) sendDue(ctx context.Context, index int, work PacedWork, queue <-chan due, w *pacedWorker) error {
	r := newRequest(work.Topic, work.Shape, uint64(index))
	reply := &publishReply{}
	for message := range queue {
		r.stampAll(message.number, message.at)
		late := c.clock.now() - message.at
		if err := c.connection(index).Invoke(ctx, publishMethod, &r.encoded, reply); err != nil {
			return fmt.Errorf("call with message %d: %w", message.number, err)
		}
		if reply.ids != 1 {
			return fmt.Errorf("one message was answered with %d message ids", reply.ids)
		}
		if message.counted {
			w.latency.Record(time.Duration(c.clock.now()-message.at), 1)
			w.lateness.Record(time.Duration(late), 1)
		}
	}
	return nil
}
