package target

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/bench/host"
	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

const (
	starts            = 5
	idleFor           = 2 * time.Second
	startBarMS        = 100
	idleMemoryBarMB   = 30
	createBar         = 5000
	pairBytesBar      = 3000
	settleSampleEvery = time.Second
)

// idle is T8: the median of several starts on empty directories, and the memory of the last one after a rest.
func (r *run) idle(ctx context.Context) error {
	const startText, memoryText = "start to serving", "idle memory"
	if r.options.Address != "" {
		r.add(report.Row{ID: "T8", Work: startText, Unknown: "the broker was running already"})
		r.add(report.Row{ID: "T8", Work: memoryText, Unknown: "the broker was running already"})
		return nil
	}
	var times []int64
	var memory host.Memory
	for i := range starts {
		err := r.with(ctx, r.openBroker, func(s *server) error {
			times = append(times, int64(s.started))
			if i < starts-1 {
				return nil
			}
			if err := rest(ctx, idleFor); err != nil {
				return err
			}
			var err error
			memory, err = host.ResidentMemory(s.pid)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.add(report.Row{ID: "T8", Work: startText, Measured: inMilliseconds(time.Duration(median(times))),
		Bar: report.Bar{Bound: report.AtMost, Limit: startBarMS},
		Note: fmt.Sprintf("median of %d starts, %s to %s", starts, milliseconds(time.Duration(slices.Min(times))),
			milliseconds(time.Duration(slices.Max(times))))})
	r.add(report.Row{ID: "T8", Work: memoryText, Measured: megabytes(memory.Resident),
		Bar: report.Bar{Bound: report.AtMost, Limit: idleMemoryBarMB}})
	return nil
}

// rest waits; it returns early with an error when ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// manyTopics is T13. Memory counts from the idle broker before to the idle broker after, once freed memory has gone back to the system.
func (r *run) manyTopics(ctx context.Context) error {
	pairs := r.options.Pairs
	name := project()
	topics, subscriptions := make([]string, pairs), make([]string, pairs)
	for i := range pairs {
		topics[i] = load.TopicName(name, fmt.Sprintf("topic-%d", i))
		subscriptions[i] = load.SubscriptionName(name, fmt.Sprintf("subscription-%d", i))
	}
	var elapsed, settled time.Duration
	var bytesPerPair float64
	var known bool
	err := r.with(ctx, r.openBroker, func(s *server) error {
		known = s.pid != 0
		before, err := idleMemory(ctx, s)
		if err != nil {
			return err
		}
		r.progress("create %d topics with a subscription each", pairs)
		if elapsed, err = s.client.CreatePairs(ctx, topics, subscriptions, createInFlight); err != nil {
			return err
		}
		if bytesPerPair, settled, err = r.settle(ctx, s, before, pairs); err != nil {
			return err
		}
		return r.cleanUp(ctx, s, topics, subscriptions)
	})
	if err != nil {
		return err
	}
	r.add(report.Row{ID: "T13", Work: fmt.Sprintf("create %d topics with a subscription each", pairs),
		Measured: report.Quantity{Value: float64(pairs) / elapsed.Seconds(), Unit: "pairs/s"},
		Bar:      report.Bar{Bound: report.AtLeast, Limit: createBar}})
	row := report.Row{ID: "T13", Work: "memory of an idle pair", Measured: report.Quantity{Value: bytesPerPair, Unit: "B"},
		Bar: report.Bar{Bound: report.AtMost, Limit: pairBytesBar}, Note: fmt.Sprintf("%v after the last one was made", settled.Round(time.Second))}
	if !known {
		row.Unknown = pidUnknown
	}
	r.add(row)
	return nil
}

// idleMemory lets the server rest first. 0 without a known process.
func idleMemory(ctx context.Context, s *server) (int64, error) {
	if s.pid == 0 {
		return 0, nil
	}
	if err := rest(ctx, idleFor); err != nil {
		return 0, err
	}
	memory, err := host.ResidentMemory(s.pid)
	return memory.Resident, err
}

// settle waits until the memory of a pair is within the bar or SettleMax has passed, and returns the last figure.
func (r *run) settle(ctx context.Context, s *server, before int64, pairs int) (bytesPerPair float64, settled time.Duration, err error) {
	if s.pid == 0 {
		return 0, 0, nil
	}
	start := time.Now()
	r.progress("wait at most %v for its memory to settle", r.options.SettleMax)
	for {
		memory, err := host.ResidentMemory(s.pid)
		if err != nil {
			return 0, 0, err
		}
		bytesPerPair, settled = float64(memory.Resident-before)/float64(pairs), time.Since(start)
		if bytesPerPair <= pairBytesBar || settled >= r.options.SettleMax {
			return bytesPerPair, settled, nil
		}
		if err := rest(ctx, settleSampleEvery); err != nil {
			return 0, 0, err
		}
	}
}
