package target

import (
	"context"
	"fmt"
	"time"

	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	batchMessages   = 100
	batchDataBytes  = 1 << 10
	singleDataBytes = 100
	singleInFlight  = 64
	topicsInFlight  = 256
	topicsInTurn    = 10_000
	createInFlight  = 64
	warmup          = time.Second
	warmupLater     = 300 * time.Millisecond // of the second round and those after it
)

var (
	batchShape  = load.Shape{MessagesPerCall: batchMessages, DataBytes: batchDataBytes, Attribute: true}
	singleShape = load.Shape{MessagesPerCall: 1, DataBytes: singleDataBytes}
)

func (r *run) batchWork(topic string) load.PublishWork {
	return load.PublishWork{Topics: []string{topic}, Shape: batchShape, InFlight: r.options.InFlight}
}

func singleWork(topics ...string) load.PublishWork {
	return load.PublishWork{Topics: topics, Shape: singleShape, InFlight: singleInFlight}
}

func (r *run) batchText() string {
	return fmt.Sprintf("publish %d × 1 KiB a call, %d in flight", batchMessages, r.options.InFlight)
}

const singleText = "publish one 100-byte message a call, 64 in flight"

// contender is a server that takes part in a work of several rounds.
type contender struct {
	id     string // to keep its result under
	server *server
	work   load.PublishWork
	text   string
}

// alternate runs the rounds of all contenders in turn and keeps their results.
func (r *run) alternate(ctx context.Context, contenders ...contender) error {
	results := make([]*result, len(contenders))
	for i, c := range contenders {
		results[i] = &result{work: c.text}
	}
	for round := range r.options.Rounds {
		for i, c := range contenders {
			c.work.Duration = r.options.duration() / time.Duration(r.options.Rounds)
			c.work.Warmup = warmup
			if round > 0 {
				c.work.Warmup = warmupLater
			}
			if err := r.publish(ctx, c.server, c.work, results[i]); err != nil {
				return err
			}
		}
	}
	for i, c := range contenders {
		r.keep(c.id, results[i], "msg/s")
	}
	return nil
}

// noopGenerated measures the yardstick N by itself; publishBatches measures it too.
func (r *run) noopGenerated(ctx context.Context) error {
	if r.options.wants("T1") {
		return r.need(ctx, "T1")
	}
	return r.with(ctx, r.openNoopGenerated, func(s *server) error {
		return r.alternate(ctx, contender{"N", s, r.batchWork(load.TopicName("bench", "noop")), r.batchText()})
	})
}

// noopRaw measures the protocol's ceiling, for reading only.
func (r *run) noopRaw(ctx context.Context) error {
	return r.with(ctx, r.openNoopRaw, func(s *server) error {
		return r.alternate(ctx, contender{"raw", s, r.batchWork(load.TopicName("bench", "noop")), r.batchText()})
	})
}

// noopSingle measures the yardstick n by itself; publishSingle measures it too.
func (r *run) noopSingle(ctx context.Context) error {
	if r.options.wants("T2") {
		return r.need(ctx, "T2")
	}
	return r.with(ctx, r.openNoopRaw, func(s *server) error {
		s.name = "n"
		return r.alternate(ctx, contender{"n", s, singleWork(load.TopicName("bench", "noop")), singleText})
	})
}

// withTopic makes a topic for use and deletes it.
func (r *run) withTopic(ctx context.Context, s *server, use func(topic string) error) error {
	topic := load.TopicName(project(), "topic")
	if err := s.client.CreateTopic(ctx, topic); err != nil {
		return err
	}
	if err := use(topic); err != nil {
		return err
	}
	return s.client.Delete(ctx, []string{topic}, nil, 1)
}

// publishBatches is T1.
func (r *run) publishBatches(ctx context.Context) error {
	noop := load.TopicName("bench", "noop")
	err := r.with(ctx, r.openNoopGenerated, func(yardstick *server) error {
		return r.with(ctx, r.openBroker, func(broker *server) error {
			return r.withTopic(ctx, broker, func(topic string) error {
				return r.alternate(ctx,
					contender{"N", yardstick, r.batchWork(noop), r.batchText()},
					contender{"T1", broker, r.batchWork(topic), r.batchText()})
			})
		})
	})
	if err != nil {
		return err
	}
	row := report.Row{ID: "T1", Work: r.batchText(), Measured: r.results["T1"].rate("msg/s")}
	row.Yardstick, row.Against = "N", r.against("N", "msg/s")
	row.Bar = report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 1}
	r.add(row)
	if !r.options.JetStream {
		return nil
	}
	if err := r.need(ctx, "jetstream"); err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	row.Yardstick, row.Against = "JetStream not synced", r.against("jetstream", "msg/s")
	row.Bar.Limit = 4
	r.add(row)
	return nil
}

// publishSingle is T2.
func (r *run) publishSingle(ctx context.Context) error {
	noop := load.TopicName("bench", "noop")
	err := r.with(ctx, r.openNoopRaw, func(yardstick *server) error {
		yardstick.name = "n"
		return r.with(ctx, r.openBroker, func(broker *server) error {
			return r.withTopic(ctx, broker, func(topic string) error {
				return r.alternate(ctx,
					contender{"n", yardstick, singleWork(noop), singleText},
					contender{"T2", broker, singleWork(topic), singleText})
			})
		})
	})
	if err != nil {
		return err
	}
	r.add(report.Row{ID: "T2", Work: singleText, Measured: r.results["T2"].rate("msg/s"),
		Yardstick: "n", Against: r.against("n", "msg/s"),
		Bar: report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 0.75}})
	return nil
}

// publishManyTopics is T6.
func (r *run) publishManyTopics(ctx context.Context) error {
	if err := r.need(ctx, "T2"); err != nil {
		return fmt.Errorf("T2: %w", err)
	}
	text := fmt.Sprintf("publish to %d topics in turn, one message a call, %d in flight", topicsInTurn, topicsInFlight)
	topics := make([]string, topicsInTurn)
	name := project()
	for i := range topics {
		topics[i] = load.TopicName(name, fmt.Sprintf("topic-%d", i))
	}
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		r.progress("create %d topics", len(topics))
		if err := broker.client.CreateTopics(ctx, topics, createInFlight); err != nil {
			return err
		}
		work := singleWork(topics...)
		work.InFlight = topicsInFlight
		if err := r.alternate(ctx, contender{"T6", broker, work, text}); err != nil {
			return err
		}
		return r.cleanUp(ctx, broker, topics, nil)
	})
	if err != nil {
		return err
	}
	r.add(report.Row{ID: "T6", Work: text, Measured: r.results["T6"].rate("msg/s"),
		Yardstick: "T2", Against: r.against("T2", "msg/s"),
		Bar: report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 0.8}})
	return nil
}

// cleanUp deletes what a broker that is not ours would keep.
func (r *run) cleanUp(ctx context.Context, s *server, topics, subscriptions []string) error {
	if s.process != nil {
		return nil
	}
	return s.client.Delete(ctx, topics, subscriptions, createInFlight)
}
