package target

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	orderingKeys   = 1000
	orderedBar     = 0.7 // of T3
	exactlyOnceBar = 0.5 // of T3

	rollbackMessages = 1_000_000
	rollbackBarMS    = 1000

	poisonEvery    = 100
	poisonAttempts = 5
	poisonBar      = 0.9 // of the same without poison
)

// besideEndToEnd is an end-to-end work on a fresh broker that is held against T3.
type besideEndToEnd struct {
	id, key   string // of the row; to keep the result under
	text      string
	bar       float64 // 0 = none
	configure func(*pubsubpb.Subscription)
	work      load.EndToEndWork
}

// ordered is T11.
func (r *run) ordered(ctx context.Context) error {
	shape := batchShape
	shape.OrderingKeys = orderingKeys
	return r.besideEndToEnd(ctx, besideEndToEnd{id: "T11", key: "T11", bar: orderedBar,
		text:      fmt.Sprintf("end to end as T3, in order, %d ordering keys", orderingKeys),
		configure: func(s *pubsubpb.Subscription) { s.EnableMessageOrdering = true },
		work:      load.EndToEndWork{Shape: shape}})
}

// exactlyOnce is T12; without a bar, also with the confirmed receipts that Google's clients ask for beside.
func (r *run) exactlyOnce(ctx context.Context) error {
	configure := func(s *pubsubpb.Subscription) { s.EnableExactlyOnceDelivery = true }
	err := r.besideEndToEnd(ctx, besideEndToEnd{id: "T12", key: "T12", bar: exactlyOnceBar, configure: configure,
		text: "end to end as T3, exactly once, acks confirmed",
		work: load.EndToEndWork{Shape: batchShape, Confirm: true}})
	if err != nil {
		return err
	}
	return r.besideEndToEnd(ctx, besideEndToEnd{id: "T12", key: "T12 with receipts", configure: configure,
		text: "end to end as T3, exactly once, receipts and acks confirmed",
		work: load.EndToEndWork{Shape: batchShape, Confirm: true, Receipts: true}})
}

func (r *run) besideEndToEnd(ctx context.Context, b besideEndToEnd) error {
	if err := r.need(ctx, "T3"); err != nil {
		return fmt.Errorf("T3: %w", err)
	}
	note := ""
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		return r.withSubscriptions(ctx, broker, 1, b.configure, func(topic string, subscriptions []string) error {
			b.work.Topic, b.work.Subscriptions = topic, subscriptions
			b.work.Streams, b.work.Duration = endToEndStreams, r.options.duration()
			m, end, err := r.deliver(ctx, broker, b.work, b.text)
			if err != nil {
				return err
			}
			note = drainText(end)
			r.keep(b.key, m, "msg/s")
			return nil
		})
	})
	if err != nil {
		return err
	}
	row := report.Row{ID: b.id, Work: b.text, Measured: r.results[b.key].rate("msg/s"), Note: note, Yardstick: "T3", Against: r.against("T3", "msg/s")}
	if b.bar > 0 {
		row.Bar = report.Bar{Bound: report.AtLeast, Ratio: true, Limit: b.bar}
	}
	r.add(row)
	return nil
}

// rollback moves a subscription that has acknowledged everything back to the beginning.
func (r *run) rollback(ctx context.Context) error {
	text := fmt.Sprintf("seek back over %d acknowledged messages, to the first one delivered", rollbackMessages)
	var rewound *load.RewindResult
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		configure := func(s *pubsubpb.Subscription) { s.RetainAckedMessages = true }
		return r.withSubscriptions(ctx, broker, 1, configure, func(topic string, subscriptions []string) error {
			before := time.Now()
			_, end, err := r.deliver(ctx, broker, load.EndToEndWork{Topic: topic, Subscriptions: subscriptions, Streams: endToEndStreams,
				Shape: batchShape, Duration: time.Hour, Messages: rollbackMessages}, text)
			if err != nil {
				return err
			}
			rewound, err = broker.client.Rewind(ctx, subscriptions[0], before, endToEndStreams, end.Published, stallMax)
			return err
		})
	})
	if err != nil {
		return err
	}
	r.add(report.Row{ID: "rollback", Work: text, Measured: inMilliseconds(rewound.First),
		Bar:  report.Bar{Bound: report.AtMost, Limit: rollbackBarMS},
		Note: fmt.Sprintf("the call took %s; all were delivered again after %.1f s", milliseconds(rewound.Call), rewound.All.Seconds())})
	return nil
}

// poison is an end-to-end work in which some messages always fail, in turns with the same work in which none does.
func (r *run) poison(ctx context.Context) error {
	text := fmt.Sprintf("end to end as T3, 1 message in %d fails %d times and is dead", poisonEvery, poisonAttempts)
	sick, healthy := &result{work: text}, &result{work: "end to end as T3, dead letter policy, nothing fails"}
	note := ""
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		for range r.options.Rounds {
			for _, turn := range []struct {
				into  *result
				every uint64
			}{{healthy, 0}, {sick, poisonEvery}} {
				end, err := r.poisonTurn(ctx, broker, turn.every, turn.into)
				if err != nil {
					return err
				}
				note = drainText(end) // redeliveries are duplicates
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.keep("healthy", healthy, "msg/s")
	r.keep("poison", sick, "msg/s")
	r.add(report.Row{ID: "poison", Work: text, Measured: sick.rate("msg/s"), Yardstick: "without", Against: r.against("healthy", "msg/s"),
		Bar: report.Bar{Bound: report.AtLeast, Ratio: true, Limit: poisonBar}, Note: "the last round: " + note})
	return nil
}

// poisonTurn is one round; it ends when the last dead letter has come to the dead letter topic's subscription.
func (r *run) poisonTurn(ctx context.Context, broker *server, every uint64, into *result) (end *load.EndToEndResult, err error) {
	err = r.withSubscriptions(ctx, broker, 1, nil, func(deadLetterTopic string, deadLetters []string) error {
		configure := func(s *pubsubpb.Subscription) {
			s.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: deadLetterTopic, MaxDeliveryAttempts: poisonAttempts}
		}
		return r.withSubscriptions(ctx, broker, 1, configure, func(topic string, subscriptions []string) error {
			var m *result
			m, end, err = r.deliver(ctx, broker, load.EndToEndWork{Topic: topic, Subscriptions: subscriptions, Streams: endToEndStreams, Shape: batchShape,
				Duration: r.options.duration() / time.Duration(r.options.Rounds), PoisonEvery: every, DeadLetters: deadLetters[0]}, into.work)
			if err != nil {
				return err
			}
			into.add(m)
			return nil
		})
	})
	return end, err
}
