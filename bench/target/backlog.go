package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/bench/host"
	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	backlogPerCall      = 1000
	backlogAcksInFlight = 8
	backlogStartBarMS   = 2000
	backlogMemoryBarMB  = 1000
	backlogAcksBar      = 200_000
	backlogDeadline     = 600 // seconds: the longest
)

// backlogged is what T10 measures.
type backlogged struct {
	startWaiting, startAcked time.Duration // of a start after kill -9: everything was out; half is acknowledged here and there
	out, started             host.Memory   // with everything out; after the second start
	deliver, ack             time.Duration
	delivered, acked         int
}

// backlog is T10: a subscription with very many messages that are all out, acknowledgements in no order, and a start after a kill with
// each. What was acknowledged must stay so, and everything else must come again.
func (r *run) backlog(ctx context.Context) error {
	texts := []string{"start after kill -9", "memory with all messages out", "acks of random ids, confirmed"}
	if r.options.Address != "" {
		for _, text := range texts {
			r.add(report.Row{ID: "T10", Work: text, Unknown: "the broker was running already"})
		}
		return nil
	}
	var b backlogged
	err := r.with(ctx, r.openBroker, func(s *server) error {
		long := func(s *pubsubpb.Subscription) { s.AckDeadlineSeconds = backlogDeadline }
		return r.withSubscriptions(ctx, s, 1, long, func(topic string, subscriptions []string) error {
			return r.measureBacklog(ctx, s, topic, subscriptions[0], &b)
		})
	})
	if err != nil {
		return err
	}
	count := r.options.Backlog
	r.add(report.Row{ID: "T10", Work: fmt.Sprintf("%s, %d messages of 100 B", texts[0], count),
		Measured: inMilliseconds(max(b.startWaiting, b.startAcked)), Bar: report.Bar{Bound: report.AtMost, Limit: backlogStartBarMS},
		Note: fmt.Sprintf("%s with none acknowledged, %s with every other one at random; %s resident then",
			milliseconds(b.startWaiting), milliseconds(b.startAcked), megabytes(b.started.Resident))})
	r.add(report.Row{ID: "T10", Work: texts[1], Measured: megabytes(b.out.Resident),
		Bar:  report.Bar{Bound: report.AtMost, Limit: backlogMemoryBarMB},
		Note: fmt.Sprintf("at most %s before; delivered at %.0f a second", megabytes(b.out.Peak), float64(b.delivered)/b.deliver.Seconds())})
	r.add(report.Row{ID: "T10", Work: texts[2], Measured: report.Quantity{Value: float64(b.acked) / b.ack.Seconds(), Unit: "acks/s"},
		Bar:  report.Bar{Bound: report.AtLeast, Limit: backlogAcksBar},
		Note: fmt.Sprintf("%d of %d, 1,000 a call, %d calls in flight", b.acked, b.delivered, backlogAcksInFlight)})
	return nil
}

func (r *run) measureBacklog(ctx context.Context, s *server, topic, subscription string, b *backlogged) error {
	shape := load.Shape{MessagesPerCall: backlogPerCall, DataBytes: singleDataBytes}
	count := uint64(r.options.Backlog)
	r.progress("publish %d messages of %d bytes", count, singleDataBytes)
	if err := s.client.Fill(ctx, topic, shape, r.options.InFlight, count); err != nil {
		return err
	}
	r.progress("deliver them all, kill, start, deliver them all again")
	held, err := s.client.Hold(ctx, subscription, endToEndStreams, count, stallMax)
	if err != nil {
		return err
	}
	if err := errors.Join(r.crash(ctx, s), held.Close()); err != nil {
		return err
	}
	b.startWaiting = s.started
	start := time.Now()
	if held, err = s.client.Hold(ctx, subscription, endToEndStreams, count, stallMax); err != nil {
		return err
	}
	b.deliver, b.delivered = time.Since(start), held.Len()
	left, err := r.acknowledgeHalf(ctx, s, held, b)
	if err != nil {
		return errors.Join(err, held.Close())
	}
	if err := errors.Join(r.crash(ctx, s), held.Close()); err != nil {
		return err
	}
	b.startAcked = s.started
	if b.started, err = resident(ctx, s); err != nil {
		return err
	}
	r.progress("drain what was not acknowledged")
	return s.client.DrainExactly(ctx, subscription, endToEndStreams, left, stallMax)
}

// acknowledgeHalf reads the memory with everything out, and acknowledges every other message at random.
func (r *run) acknowledgeHalf(ctx context.Context, s *server, held *load.Held, b *backlogged) (left []uint64, err error) {
	if b.out, err = resident(ctx, s); err != nil {
		return nil, err
	}
	b.acked = held.Len() / 2
	r.progress("acknowledge %d of them in random order", b.acked)
	b.ack, left, err = held.AckAtRandom(ctx, b.acked, backlogAcksInFlight, 1)
	return left, err
}

// resident is the server's memory after a rest.
func resident(ctx context.Context, s *server) (host.Memory, error) {
	if err := rest(ctx, idleFor); err != nil {
		return host.Memory{}, err
	}
	return host.ResidentMemory(s.pid)
}
