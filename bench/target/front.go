package target

import (
	"context"
	"errors"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	pushBar     = 5000
	restBar     = 100_000
	pushASecond = 80 // hundreds of messages for each second of the duration: more than the bar asks for
)

// push is deliveries to an HTTP endpoint on the same CPUs, one message a request.
func (r *run) push(ctx context.Context) error {
	messages := max(1, uint64(pushASecond*r.options.duration().Seconds())) * batchMessages
	text := fmt.Sprintf("push, %d × 1 KiB to an endpoint on the same CPUs", messages)
	endpoint, err := load.OpenEndpoint()
	if err != nil {
		return err
	}
	m := &result{work: text}
	note := ""
	err = r.with(ctx, r.openBroker, func(broker *server) error {
		configure := func(s *pubsubpb.Subscription) { s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: endpoint.URL} }
		return r.withSubscriptions(ctx, broker, 1, configure, func(topic string, _ []string) error {
			m.server = broker.name
			meter := newMeter(broker, m)
			meter.edge()
			pushed, err := broker.client.Push(ctx, endpoint, topic, batchShape, r.options.InFlight, messages, stallMax)
			if err != nil {
				return fmt.Errorf("%s: %w", broker.name, err)
			}
			meter.edge()
			m.messages, m.elapsed = pushed.Messages, pushed.Elapsed
			note = fmt.Sprintf("%.1f s, %d duplicates", pushed.Elapsed.Seconds(), pushed.Duplicates)
			return nil
		})
	})
	if err := errors.Join(err, endpoint.Close()); err != nil {
		return err
	}
	r.keep("push", m, "deliveries/s")
	r.add(report.Row{ID: "push", Work: text, Measured: m.rate("deliveries/s"), Note: note,
		Bar: report.Bar{Bound: report.AtLeast, Limit: pushBar}})
	return nil
}

// publishREST is T1 over HTTP/JSON.
func (r *run) publishREST(ctx context.Context) error {
	text := fmt.Sprintf("publish %d × 1 KiB a call over REST, %d in flight", batchMessages, r.options.InFlight)
	m := &result{work: text}
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		return r.withTopic(ctx, broker, func(topic string) error {
			work := r.batchWork(topic)
			work.Warmup, work.Duration, work.Edge = warmup, r.options.duration(), newMeter(broker, m).edge
			published, err := broker.client.PublishREST(ctx, work)
			if err != nil {
				return fmt.Errorf("%s: %w", broker.name, err)
			}
			m.server, m.messages, m.elapsed, m.latency = broker.name, published.Messages, published.Elapsed, published.Latency
			return nil
		})
	})
	if err != nil {
		return err
	}
	r.keep("rest", m, "msg/s")
	r.add(report.Row{ID: "rest", Work: text, Measured: m.rate("msg/s"), Bar: report.Bar{Bound: report.AtLeast, Limit: restBar}})
	return nil
}
