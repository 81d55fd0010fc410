package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrLost says that messages which the server had accepted did not come to a subscription before the run gave up.
var ErrLost = errors.New("accepted messages were not delivered")

// ErrStray says that messages came to the dead letters that no subscriber had refused.
var ErrStray = errors.New("messages that never failed became dead letters")

// EndToEndWork publishes in a closed loop while subscriptions receive and acknowledge on their streams, and ends when every
// subscription has received every accepted message.
type EndToEndWork struct {
	Topic         string
	Subscriptions []string // on Topic, empty
	Streams       int      // of each subscription
	Flow          Flow     // of each stream; zero = DefaultFlow
	Shape         Shape    // with ordering keys, subscriptions are ordered, and the order is checked
	Confirm       bool     // subscriptions are exactly-once: a message counts when its acknowledgement was confirmed, and must come once
	PoisonEvery   uint64   // 0 = none; else every such message fails until it is a dead letter
	DeadLetters   string   // with PoisonEvery: a subscription of the dead letter topic, which must get exactly those
	Receipts      bool     // with Confirm: first confirm that the message has come, as Google's clients do
	InFlight      int
	Duration      time.Duration // of publishing
	Messages      uint64        // publishing also ends after so many; 0 = no limit
	StallMax      time.Duration // gives up when nothing new was delivered for so long
}

// EndToEndResult counts from the first call to the last message of the slowest subscription.
type EndToEndResult struct {
	Published      uint64
	Delivered      uint64 // different messages, summed over subscriptions
	Duplicates     uint64
	PublishElapsed time.Duration
	Elapsed        time.Duration
	PublishLatency Histogram // of a call
	Latency        Histogram // of a delivery, from just before its publish call
}

// PerSecond is the rate of messages of the slower side over the whole run, the drain included.
func (r *EndToEndResult) PerSecond() float64 { return perSecond(r.Published, r.Elapsed) }

// DeliveriesPerSecond is the same for deliveries.
func (r *EndToEndResult) DeliveriesPerSecond() float64 { return perSecond(r.Delivered, r.Elapsed) }

// EndToEnd does the work. It fails on a failed call, a broken stream, ErrLost, ErrStray, ErrOrder and ErrRepeated.
func (c *Client) EndToEnd(ctx context.Context, work EndToEndWork) (result *EndToEndResult, err error) {
	p, err := c.newPublisher([]string{work.Topic}, work.Shape, work.InFlight)
	if err != nil {
		return nil, err
	}
	p.limit = work.Messages
	p.measuring.Store(true)
	d, err := c.openDrain(ctx, work.Subscriptions, reception{streams: work.Streams, flow: work.Flow, keys: work.Shape.OrderingKeys,
		confirm: work.Confirm, receipts: work.Receipts, poisonEvery: work.PoisonEvery})
	if err != nil {
		return nil, fmt.Errorf("end to end: %w", err)
	}
	if work.PoisonEvery > 0 {
		letters, err := c.subscribe(ctx, work.DeadLetters, 0, reception{streams: 1})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("end to end: %w", err), d.close())
		}
		d.letters, d.poisonEvery = letters, work.PoisonEvery
	}
	start := time.Now()
	timer := time.AfterFunc(work.Duration, p.stop)
	err = p.run(ctx)
	timer.Stop()
	published := time.Since(start)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("end to end: publish: %w", err), d.close())
	}
	if err := d.wait(ctx, p.published.Load(), work.StallMax); err != nil {
		return nil, errors.Join(fmt.Errorf("end to end: %w", err), d.close())
	}
	if err := d.close(); err != nil {
		return nil, fmt.Errorf("end to end: %w", err)
	}
	result = &EndToEndResult{Published: p.published.Load(), PublishElapsed: published, PublishLatency: p.result().Latency}
	d.addTo(result, start)
	if work.Confirm && result.Duplicates > 0 {
		return nil, fmt.Errorf("end to end: %w: %d of them", ErrRepeated, result.Duplicates)
	}
	return result, nil
}

// drain is the receiving side: all subscriptions of a work.
type drain struct {
	subscribers []*subscriber
	names       []string
	letters     *subscriber // of the dead letter topic; nil without poison
	poisonEvery uint64
}

// openDrain opens every stream.
func (c *Client) openDrain(ctx context.Context, subscriptions []string, how reception) (*drain, error) {
	if len(subscriptions) == 0 || how.streams < 1 {
		return nil, fmt.Errorf("%d subscriptions with %d streams each, both must be at least 1", len(subscriptions), how.streams)
	}
	d := &drain{names: subscriptions}
	for i, name := range subscriptions {
		s, err := c.subscribe(ctx, name, i*how.streams, how)
		if err != nil {
			return nil, errors.Join(err, d.close())
		}
		d.subscribers = append(d.subscribers, s)
	}
	return d, nil
}

// wait returns once every subscription has received exactly the messages 0 to published-1.
func (d *drain) wait(ctx context.Context, published uint64, stallMax time.Duration) error {
	for i, s := range d.subscribers {
		if err := s.wait(ctx, published, stallMax); err != nil {
			return fmt.Errorf("subscription %s: %w", d.names[i], err)
		}
		if !s.tracker.complete(published) {
			return fmt.Errorf("subscription %s: %w: other messages came in their place", d.names[i], ErrLost)
		}
	}
	return d.waitLetters(ctx, published, stallMax)
}

// waitLetters returns once exactly the messages that always fail have become dead letters.
func (d *drain) waitLetters(ctx context.Context, published uint64, stallMax time.Duration) error {
	if d.letters == nil {
		return nil
	}
	poisoned := (published + d.poisonEvery - 1) / d.poisonEvery
	if err := d.letters.wait(ctx, poisoned, stallMax); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	for number := uint64(0); number < published; number += d.poisonEvery {
		if !d.letters.tracker.has(number) {
			return fmt.Errorf("dead letters: %w: another message came in the place of %d", ErrLost, number)
		}
	}
	if unique, _, _ := d.letters.tracker.progress(); unique > poisoned { // asked last: all that are in the right place may have company
		return fmt.Errorf("dead letters: %w: %d came, %d were refused", ErrStray, unique, poisoned)
	}
	return nil
}

// wait returns once so many different messages have come.
func (s *subscriber) wait(ctx context.Context, messages uint64, stallMax time.Duration) error {
	err := s.tracker.wait(ctx, messages, stallMax, s.broken)
	if errors.Is(err, errBroken) {
		return s.failure()
	}
	return err
}

var errBroken = errors.New("the streams are broken")

// wait looks at the progress at most once per stallMax: a subscription that moves, however slowly, is not given up, and neither is one
// whose waiter was itself held up and looks late. It fails with errBroken when that is closed.
func (t *tracker) wait(ctx context.Context, messages uint64, stallMax time.Duration, broken <-chan struct{}) error {
	reached := t.expect(messages)
	timer := time.NewTimer(stallMax)
	defer timer.Stop()
	before := uint64(0)
	for {
		select {
		case <-reached:
			return nil
		case <-broken:
			return errBroken
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			unique, _, _ := t.progress()
			if unique == before {
				return fmt.Errorf("%w: %d of %d came, nothing for %v", ErrLost, unique, messages, stallMax)
			}
			before = unique
			timer.Reset(stallMax)
		}
	}
}

// countFrom leaves deliveries of messages sent before that time out of the latencies.
func (d *drain) countFrom(nanoseconds int64) {
	for _, s := range d.subscribers {
		for _, stream := range s.streams {
			stream.countFrom.Store(nanoseconds)
		}
	}
}

// close ends all streams.
func (d *drain) close() error {
	var all error
	for _, s := range d.subscribers {
		all = errors.Join(all, s.close())
	}
	if d.letters != nil {
		all = errors.Join(all, d.letters.close())
	}
	return all
}

// addTo writes what was received; close must have returned.
func (d *drain) addTo(r *EndToEndResult, start time.Time) {
	for _, s := range d.subscribers {
		unique, duplicates, lastNew := s.tracker.progress()
		r.Delivered += unique
		r.Duplicates += duplicates
		r.Elapsed = max(r.Elapsed, lastNew.Sub(start))
		r.Latency.Merge(s.latency())
	}
	if d.letters != nil {
		_, _, lastNew := d.letters.tracker.progress()
		r.Elapsed = max(r.Elapsed, lastNew.Sub(start))
	}
	r.Elapsed = max(r.Elapsed, r.PublishElapsed)
}
