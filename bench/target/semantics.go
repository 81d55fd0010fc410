package target

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	orderingKeys   = 1000
	orderedBar     = 0.7 // of T3
	exactlyOnceBar = 0.5 // of T3
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
