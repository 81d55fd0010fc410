package target

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"

	"github.com/posthaste-io/posthaste/bench/host"
	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	endToEndStreams    = 2
	fanOutTopicReaders = 4
	fanOutStreams      = 1 // of each subscription
	stallMax           = 30 * time.Second
	memorySampleEvery  = 500 * time.Millisecond

	perSecondPaced      = 1000
	pacedInFlightMax    = 64
	fanOutDeliveriesBar = 400_000
	memoryBarMB         = 512
	memoryGrowthBar     = 1.1 // of the last third over the middle third: flat within the noise of a garbage collector
	cpuPublishBar       = 1.6
	cpuEndToEndBar      = 3.5
)

// withSubscriptions makes a topic with subscriptions for use; configure, which may be nil, says what they are like.
func (r *run) withSubscriptions(ctx context.Context, s *server, count int, configure func(*pubsubpb.Subscription), use func(topic string, subscriptions []string) error) error {
	name := project()
	topic := load.TopicName(name, "topic")
	if err := s.client.CreateTopic(ctx, topic); err != nil {
		return err
	}
	var subscriptions []string
	for i := range count {
		subscription := load.SubscriptionName(name, fmt.Sprintf("subscription-%d", i))
		settings := &pubsubpb.Subscription{}
		if configure != nil {
			configure(settings)
		}
		settings.Name, settings.Topic = subscription, topic
		if err := s.client.CreateSubscription(ctx, settings); err != nil {
			return err
		}
		subscriptions = append(subscriptions, subscription)
	}
	if err := use(topic, subscriptions); err != nil {
		return err
	}
	return s.client.Delete(ctx, []string{topic}, subscriptions, 1)
}

// deliver runs an end-to-end work with its meter and returns the result of the server.
func (r *run) deliver(ctx context.Context, s *server, work load.EndToEndWork, text string) (*result, *load.EndToEndResult, error) {
	into := &result{server: s.name, work: text}
	work.InFlight, work.StallMax = r.options.InFlight, stallMax
	m := newMeter(s, into)
	m.edge()
	end, err := s.client.EndToEnd(ctx, work)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.name, err)
	}
	m.edge()
	into.messages, into.elapsed, into.latency = end.Published, end.Elapsed, end.Latency
	return into, end, nil
}

func drainText(end *load.EndToEndResult) string {
	return fmt.Sprintf("%d messages, published in %.1f s, drained in %.1f s, %d duplicates",
		end.Published, end.PublishElapsed.Seconds(), end.Elapsed.Seconds(), end.Duplicates)
}

// endToEnd is T3.
func (r *run) endToEnd(ctx context.Context) error {
	if err := r.need(ctx, "T1"); err != nil {
		return fmt.Errorf("T1: %w", err)
	}
	text := "end to end, 100 × 1 KiB a call, 1 subscription over 2 streams, acked"
	note := ""
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		return r.withSubscriptions(ctx, broker, 1, nil, func(topic string, subscriptions []string) error {
			m, end, err := r.deliver(ctx, broker, load.EndToEndWork{Topic: topic, Subscriptions: subscriptions,
				Streams: endToEndStreams, Shape: batchShape, Duration: r.options.duration()}, text)
			if err != nil {
				return err
			}
			note = drainText(end)
			r.keep("T3", m, "msg/s")
			return nil
		})
	})
	if err != nil {
		return err
	}
	r.add(report.Row{ID: "T3", Work: text, Measured: r.results["T3"].rate("msg/s"), Note: note,
		Yardstick: "T1", Against: r.against("T1", "msg/s"),
		Bar: report.Bar{Bound: report.AtLeast, Ratio: true, Limit: 0.4}})
	return nil
}

// fanOut is T4.
func (r *run) fanOut(ctx context.Context) error {
	if err := r.need(ctx, "T1"); err != nil {
		return fmt.Errorf("T1: %w", err)
	}
	text := "end to end, 4 subscriptions on the topic, acked"
	note := ""
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		return r.withSubscriptions(ctx, broker, fanOutTopicReaders, nil, func(topic string, subscriptions []string) error {
			m, end, err := r.deliver(ctx, broker, load.EndToEndWork{Topic: topic, Subscriptions: subscriptions,
				Streams: fanOutStreams, Shape: batchShape, Duration: r.options.duration()}, text)
			if err != nil {
				return err
			}
			m.messages = end.Delivered
			note = drainText(end)
			r.keep("T4", m, "deliveries/s")
			return nil
		})
	})
	if err != nil {
		return err
	}
	r.add(report.Row{ID: "T4", Work: text, Measured: r.results["T4"].rate("deliveries/s"), Note: note,
		Yardstick: "T1", Against: r.against("T1", "msg/s"),
		Bar: report.Bar{Bound: report.AtLeast, Limit: fanOutDeliveriesBar}})
	return nil
}

// cpu is T7; it reads what T1 and T3 measured.
func (r *run) cpu(ctx context.Context) error {
	for _, t := range []struct {
		id, text string
		bar      float64
	}{{"T1", "server CPU a message, publish", cpuPublishBar}, {"T3", "server CPU a message, end to end", cpuEndToEndBar}} {
		if err := r.need(ctx, t.id); err != nil {
			return fmt.Errorf("%s: %w", t.id, err)
		}
		m := r.results[t.id]
		row := report.Row{ID: "T7", Work: t.text, Measured: report.Quantity{Value: m.microsecondsPerMessage(), Unit: "µs"},
			Bar: report.Bar{Bound: report.AtMost, Limit: t.bar}}
		if !m.serverKnown {
			row.Unknown = pidUnknown
		}
		r.add(row)
	}
	return nil
}

const pidUnknown = "the broker's process is not known: give --pid"

// memory is T9.
func (r *run) memory(ctx context.Context) error {
	if r.options.Address != "" && r.options.Pid == 0 {
		r.add(report.Row{ID: "T9", Work: "memory under load", Unknown: pidUnknown})
		return nil
	}
	duration := r.options.memoryDuration()
	var samples []int64
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		return r.withSubscriptions(ctx, broker, 1, nil, func(topic string, subscriptions []string) (err error) {
			samples, err = r.sampled(ctx, broker, func(ctx context.Context) error {
				_, _, err := r.deliver(ctx, broker, load.EndToEndWork{Topic: topic, Subscriptions: subscriptions,
					Streams: endToEndStreams, Shape: batchShape, Duration: duration}, "")
				return err
			})
			return err
		})
	})
	if err != nil {
		return err
	}
	middle, last := thirds(samples)
	note := fmt.Sprintf("%d samples, median of the middle third %s, of the last %s", len(samples), megabytes(middle), megabytes(last))
	r.add(report.Row{ID: "T9", Work: fmt.Sprintf("memory under T3 for %v, most", duration), Measured: megabytes(slices.Max(samples)), Note: note,
		Bar: report.Bar{Bound: report.AtMost, Limit: memoryBarMB}})
	r.add(report.Row{ID: "T9", Work: "memory under T3, last third over the middle third",
		Measured: report.Quantity{Value: float64(last) / float64(max(middle, 1)), Unit: "×"},
		Bar:      report.Bar{Bound: report.AtMost, Limit: memoryGrowthBar}})
	return nil
}

// sampled runs work and reads the server's memory meanwhile; there is at least one sample.
func (r *run) sampled(ctx context.Context, s *server, work func(context.Context) error) ([]int64, error) {
	group, ctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	group.Go(func() error {
		defer close(done)
		return work(ctx)
	})
	var samples []int64
	group.Go(func() error {
		ticker := time.NewTicker(memorySampleEvery)
		defer ticker.Stop()
		for {
			memory, err := host.ResidentMemory(s.pid)
			if err != nil {
				return err
			}
			samples = append(samples, memory.Resident)
			select {
			case <-ticker.C:
			case <-done:
				return nil
			}
		}
	})
	return samples, group.Wait()
}

// thirds returns the medians of the middle and of the last third of samples; there must be one at least.
func thirds(samples []int64) (middle, last int64) {
	n := len(samples)
	return median(samples[n/3 : max(2*n/3, n/3+1)]), median(samples[min(2*n/3, n-1):])
}

func median(values []int64) int64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
