package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/internal/client"
	"github.com/posthaste-io/posthaste/internal/text"
)

// benching is one bench command.
type benching struct {
	app         *app
	server      *client.Connection
	load        *load.Client
	only        []string
	duration    span
	batch       int
	bytes       int
	inFlight    int
	rate        int
	connections int
	streams     int
}

// Fixed parts of the works, those of the project's published figures.
const (
	benchSingleBytes    = 100
	benchSingleInFlight = 64
	benchWarmup         = 500 * time.Millisecond
	benchStallMax       = 30 * time.Second
	benchPacedInFlight  = 1000
)

// result is what one work measured. Latencies are in milliseconds.
type result struct {
	Work              string  `json:"work"`
	MessagesPerSecond float64 `json:"messagesPerSecond"`
	PublishP50        float64 `json:"publishP50Ms"`
	PublishP99        float64 `json:"publishP99Ms"`
	DeliveryP50       float64 `json:"deliveryP50Ms,omitempty"`
	DeliveryP99       float64 `json:"deliveryP99Ms,omitempty"`
}

// work is one thing that bench measures.
type work struct {
	name string
	help string
	run  func(*benching, context.Context, string, string) (*result, error) // with a fresh topic and subscription
}

func works() []work {
	return []work{
		{"publish", "publish calls of --batch messages, as fast as they are answered", (*benching).publish},
		{"single", "publish calls of one message of 100 bytes", (*benching).single},
		{"endtoend", "publish, deliver and acknowledge, to the last message", (*benching).endToEnd},
		{"paced", "--rate messages a second, for latencies", (*benching).paced},
	}
}

const benchLong = `Measure a server: publishing in batches and one by one, delivery end to end, and latencies at a fixed rate. Every
work has a topic and a subscription of its own, which are deleted afterwards. The load shares the CPUs of this machine
with whatever else runs on it, such as the server.

`

const benchExample = `  posthaste bench
  posthaste bench --only endtoend --duration 30s --bytes 4096
  posthaste bench --addr broker.example:8085 --output json`

func (a *app) benchCommand() *cobra.Command {
	b := benching{app: a, duration: span(5 * time.Second)}
	var list strings.Builder
	for _, w := range works() {
		fmt.Fprintf(&list, "  %-10s %s\n", w.name, w.help)
	}
	c := &cobra.Command{
		Use: "bench", Short: "Measure a server", Long: benchLong + strings.TrimSuffix(list.String(), "\n"), Example: benchExample,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := b.check(); err != nil {
				return err
			}
			return a.with(c.Context(), b.run)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&b.only, "only", nil, "do only these `WORKS`")
	flags.Var(&b.duration, "duration", "`DURATION` of each work")
	flags.IntVar(&b.batch, "batch", 100, "`N` messages a call")
	flags.IntVar(&b.bytes, "bytes", 1024, "`N` bytes of data a message")
	flags.IntVar(&b.inFlight, "in-flight", 32, "`N` calls at a time")
	flags.IntVar(&b.rate, "rate", 1000, "`N` messages a second in paced")
	flags.IntVar(&b.connections, "connections", 2, "`N` connections to the server")
	flags.IntVar(&b.streams, "streams", 2, "`N` streams that receive")
	return a.clientFlags(c)
}

func (b *benching) check() error {
	for _, name := range b.only {
		if !slices.ContainsFunc(works(), func(w work) bool { return w.name == name }) {
			return usage("--only: %q is unknown; see posthaste bench --help", name)
		}
	}
	for flag, value := range map[string]int{
		"batch": b.batch, "in-flight": b.inFlight, "rate": b.rate, "connections": b.connections, "streams": b.streams, "duration": int(b.duration),
	} {
		if value < 1 {
			return usage("--%s: must be positive", flag)
		}
	}
	return nil
}

func (b *benching) run(ctx context.Context, server *client.Connection) (err error) {
	b.server = server
	if b.load, err = load.Dial(server.Address, b.connections); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.load.Close()) }()
	for _, w := range works() {
		if len(b.only) > 0 && !slices.Contains(b.only, w.name) {
			continue
		}
		if terminal(b.app.errs) {
			fmt.Fprintf(b.app.errs, "\r%s for %s …\x1b[K", w.name, text.SpanText(time.Duration(b.duration)))
		}
		r, err := b.measure(ctx, w)
		if terminal(b.app.errs) {
			fmt.Fprint(b.app.errs, "\r\x1b[K")
		}
		if err != nil {
			return err
		}
		if err := b.print(r); err != nil {
			return err
		}
	}
	return nil
}

// measure does one work between making and deleting its topic and subscription.
func (b *benching) measure(ctx context.Context, w work) (r *result, err error) {
	id := fmt.Sprintf("bench-%s-%d", w.name, time.Now().UnixNano())
	topic, subscription := b.server.Topic(id), b.server.Subscription(id)
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := b.server.Publisher.CreateTopic(call, &pubsubpb.Topic{Name: topic}); err != nil {
		return nil, b.server.Failed(err, "create topic %s", topic)
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		err = errors.Join(err, b.load.Delete(clean, []string{topic}, []string{subscription}, 1))
	}()
	r, err = w.run(b, ctx, topic, subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.name, err)
	}
	r.Work = w.name
	return r, nil
}

func (b *benching) shape() load.Shape {
	return load.Shape{MessagesPerCall: b.batch, DataBytes: b.bytes, Attribute: true}
}

func (b *benching) publish(ctx context.Context, topic, _ string) (*result, error) {
	return b.publishing(ctx, topic, b.shape(), b.inFlight)
}

func (b *benching) single(ctx context.Context, topic, _ string) (*result, error) {
	return b.publishing(ctx, topic, load.Shape{MessagesPerCall: 1, DataBytes: benchSingleBytes}, benchSingleInFlight)
}

func (b *benching) publishing(ctx context.Context, topic string, shape load.Shape, inFlight int) (*result, error) {
	r, err := b.load.Publish(ctx, load.PublishWork{
		Topics: []string{topic}, Shape: shape, InFlight: inFlight, Warmup: benchWarmup, Duration: time.Duration(b.duration),
	})
	if err != nil {
		return nil, err
	}
	return newResult(r.PerSecond(), &r.Latency, nil), nil
}

func (b *benching) endToEnd(ctx context.Context, topic, subscription string) (*result, error) {
	if err := b.load.CreateSubscription(ctx, &pubsubpb.Subscription{Name: subscription, Topic: topic}); err != nil {
		return nil, err
	}
	r, err := b.load.EndToEnd(ctx, load.EndToEndWork{
		Topic: topic, Subscriptions: []string{subscription}, Streams: b.streams, Shape: b.shape(), InFlight: b.inFlight,
		Duration: time.Duration(b.duration), StallMax: benchStallMax,
	})
	if err != nil {
		return nil, err
	}
	return newResult(r.PerSecond(), &r.PublishLatency, &r.Latency), nil
}

func (b *benching) paced(ctx context.Context, topic, subscription string) (*result, error) {
	if err := b.load.CreateSubscription(ctx, &pubsubpb.Subscription{Name: subscription, Topic: topic}); err != nil {
		return nil, err
	}
	shape := b.shape()
	shape.MessagesPerCall = 1
	r, err := b.load.Paced(ctx, load.PacedWork{
		Topic: topic, Subscription: subscription, Streams: b.streams, PerSecond: b.rate, Shape: shape, Warmup: benchWarmup,
		Duration: time.Duration(b.duration), InFlightMax: benchPacedInFlight, StallMax: benchStallMax,
	})
	if err != nil {
		return nil, err
	}
	return newResult(float64(r.Messages)/r.Elapsed.Seconds(), &r.PublishLatency, &r.Latency), nil
}

func newResult(perSecond float64, publish, delivery *load.Histogram) *result {
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r := &result{
		MessagesPerSecond: perSecond,
		PublishP50:        milliseconds(publish.Percentile(50)), PublishP99: milliseconds(publish.Percentile(99)),
	}
	if delivery != nil {
		r.DeliveryP50, r.DeliveryP99 = milliseconds(delivery.Percentile(50)), milliseconds(delivery.Percentile(99))
	}
	return r
}

func (b *benching) print(r *result) error {
	if b.app.output == outputJSON {
		return json.NewEncoder(b.app.out).Encode(r)
	}
	line := fmt.Sprintf("%-9s %9.0f messages/s   publish p50 %.2f ms, p99 %.2f ms", r.Work, r.MessagesPerSecond, r.PublishP50, r.PublishP99)
	if r.DeliveryP99 > 0 {
		line += fmt.Sprintf("   delivery p50 %.2f ms, p99 %.2f ms", r.DeliveryP50, r.DeliveryP99)
	}
	_, err := fmt.Fprintln(b.app.out, line)
	return err
}
