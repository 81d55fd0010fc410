package target

import (
	"context"
	"fmt"
	"time"

	"github.com/posthaste-io/posthaste/bench/host"
	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	syncTimeMax        = 3 * time.Second
	publishOverSyncBar = 2.0 // ms
	endToEndHalfBar    = 2.0 // ms, p50
	endToEndNinetyNine = 8.0 // ms, p99
	pacedWarmup        = 2 * time.Second
)

// measureSync adds some seconds of the disk's own sync time to what is known of it.
func (r *run) measureSync(ctx context.Context) error {
	times, direct, err := host.SyncTime(ctx, r.scratch, min(syncTimeMax, r.options.duration()))
	if err != nil {
		return err
	}
	if !direct {
		r.progress("the file system has no direct I/O: the disk's sync time goes through the page cache")
	}
	if r.disk == nil {
		r.disk = &load.Histogram{}
	}
	r.disk.Merge(times)
	return nil
}

// syncTime shows the disk's own sync time as a figure.
func (r *run) syncTime(ctx context.Context) error {
	if err := r.measureSync(ctx); err != nil {
		return err
	}
	elapsed := min(syncTimeMax, r.options.duration())
	m := &result{server: "disk", work: "write and sync 4 KiB, one after the other", messages: r.disk.Count(), elapsed: elapsed, latency: *r.disk}
	r.keep("sync", m, "syncs/s")
	return nil
}

// paced is T5. The disk's sync time is measured right before and right after, while the broker is idle.
func (r *run) paced(ctx context.Context) error {
	if err := r.need(ctx, "sync"); err != nil {
		return err
	}
	text := fmt.Sprintf("paced %d msg/s of 1 KiB, one a call", perSecondPaced)
	var result *load.PacedResult
	err := r.with(ctx, r.openBroker, func(broker *server) error {
		if err := r.measureSync(ctx); err != nil {
			return err
		}
		err := r.withSubscriptions(ctx, broker, 1, nil, func(topic string, subscriptions []string) (err error) {
			result, err = r.pace(ctx, broker, topic, subscriptions[0], text)
			return err
		})
		if err != nil {
			return err
		}
		return r.measureSync(ctx)
	})
	if err != nil {
		return err
	}
	r.addPaced(text, result)
	return nil
}

// pace runs the paced work and keeps its publish figure.
func (r *run) pace(ctx context.Context, s *server, topic, subscription, text string) (*load.PacedResult, error) {
	m := &result{server: s.name, work: text + ", publish times"}
	usage := newMeter(s, m)
	paced, err := s.client.Paced(ctx, load.PacedWork{
		Topic: topic, Subscription: subscription, Streams: 1, PerSecond: perSecondPaced,
		Shape:  load.Shape{MessagesPerCall: 1, DataBytes: batchDataBytes, Attribute: true},
		Warmup: pacedWarmup, Duration: r.options.duration(), InFlightMax: pacedInFlightMax, StallMax: stallMax, Edge: usage.edge,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	m.messages, m.elapsed, m.latency = paced.Messages, paced.Elapsed, paced.PublishLatency
	r.keep("paced-"+s.name, m, "msg/s")
	delivery := *m
	delivery.work, delivery.latency = text+", end-to-end times", paced.Latency
	r.keep("paced-delivery-"+s.name, &delivery, "msg/s")
	return paced, nil
}

func (r *run) addPaced(text string, paced *load.PacedResult) {
	sync := inMilliseconds(r.disk.Percentile(99))
	publish := &paced.PublishLatency
	r.add(report.Row{ID: "T5", Work: text + ": publish p99", Measured: inMilliseconds(publish.Percentile(99)),
		Yardstick: "disk sync p99", Against: &sync,
		Bar: report.Bar{Bound: report.AtMost, Limit: sync.Value + publishOverSyncBar, Text: "≤ disk sync p99 + 2 ms"},
		Note: fmt.Sprintf("publish p50 %s, p99.9 %s; disk sync p50 %s; of it the generator was late p50 %s, p99 %s",
			milliseconds(publish.Percentile(50)), milliseconds(publish.Percentile(99.9)), milliseconds(r.disk.Percentile(50)),
			milliseconds(paced.Lateness.Percentile(50)), milliseconds(paced.Lateness.Percentile(99)))})
	r.add(report.Row{ID: "T5", Work: text + ": end to end p50", Measured: inMilliseconds(paced.Latency.Percentile(50)),
		Bar: report.Bar{Bound: report.AtMost, Limit: endToEndHalfBar}})
	r.add(report.Row{ID: "T5", Work: text + ": end to end p99", Measured: inMilliseconds(paced.Latency.Percentile(99)),
		Bar: report.Bar{Bound: report.AtMost, Limit: endToEndNinetyNine}})
}
