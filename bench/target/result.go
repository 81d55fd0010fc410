package target

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/posthaste-io/posthaste/bench/host"
	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/report"
)

// result is what one server did in one work, over all rounds.
type result struct {
	server       string
	work         string
	messages     uint64
	elapsed      time.Duration
	latency      load.Histogram
	serverCPU    time.Duration
	serverKnown  bool // serverCPU is known for every round
	generatorCPU time.Duration
	memoryPeak   int64 // bytes; 0 = unknown
}

// add takes in what another round of the same work did.
func (m *result) add(round *result) {
	m.server = round.server
	m.messages += round.messages
	m.elapsed += round.elapsed
	m.latency.Merge(&round.latency)
	m.serverCPU += round.serverCPU
	m.serverKnown = round.serverKnown
	m.generatorCPU += round.generatorCPU
	m.memoryPeak = max(m.memoryPeak, round.memoryPeak)
}

func (m *result) perSecond() float64 {
	if m.elapsed <= 0 {
		return 0
	}
	return float64(m.messages) / m.elapsed.Seconds()
}

func (m *result) rate(unit string) report.Quantity {
	return report.Quantity{Value: m.perSecond(), Unit: unit}
}

// microsecondsPerMessage is the server's CPU time.
func (m *result) microsecondsPerMessage() float64 {
	return float64(m.serverCPU) / float64(time.Microsecond) / float64(max(m.messages, 1))
}

// meter adds up the CPU time of a server and of the generator between pairs of edges.
type meter struct {
	server      int // pid; 0 = unknown
	into        *result
	serverCPU   time.Duration
	generator   time.Duration
	open        bool
	serverKnown bool
}

func newMeter(s *server, into *result) *meter { return &meter{server: s.pid, into: into} }

// edge begins or ends a stretch, in turn.
func (m *meter) edge() {
	cpu, err := host.CPUTime(m.server)
	known := m.server != 0 && err == nil
	generator := generatorCPU()
	if !m.open {
		m.open, m.serverKnown, m.serverCPU, m.generator = true, known, cpu, generator
		return
	}
	m.open = false
	first := m.into.generatorCPU == 0
	m.into.serverKnown = known && m.serverKnown && (first || m.into.serverKnown)
	m.into.serverCPU += cpu - m.serverCPU
	m.into.generatorCPU += generator - m.generator
	if memory, err := host.ResidentMemory(m.server); known && err == nil {
		m.into.memoryPeak = max(m.into.memoryPeak, memory.Peak)
	}
}

// generatorCPU is what this process has used.
func generatorCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // only with a bad argument
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// keep stores a result under the id by which others compare themselves with it, and adds it to the figures.
func (r *run) keep(id string, m *result, unit string) {
	r.results[id] = m
	figure := report.Figure{Server: m.server, Work: m.work, Rate: m.rate(unit)}
	if m.latency.Count() > 0 {
		figure.P50, figure.P99 = milliseconds(m.latency.Percentile(50)), milliseconds(m.latency.Percentile(99))
	}
	perMessage := func(cpu time.Duration) string {
		return report.Quantity{Value: float64(cpu) / float64(time.Microsecond) / float64(max(m.messages, 1)), Unit: "µs"}.String()
	}
	if m.serverKnown {
		figure.CPU = perMessage(m.serverCPU)
	}
	if m.generatorCPU > 0 {
		figure.Generator = perMessage(m.generatorCPU)
	}
	if m.memoryPeak > 0 {
		figure.MemoryPeak = megabytes(m.memoryPeak).String()
	}
	r.report.Figures = append(r.report.Figures, figure)
	r.progress("%s: %s: %s", m.server, m.work, figure.Rate)
}

func milliseconds(d time.Duration) string {
	return inMilliseconds(d).String()
}

func inMilliseconds(d time.Duration) report.Quantity {
	return report.Quantity{Value: float64(d) / float64(time.Millisecond), Unit: "ms"}
}

// megabytes are millions of bytes.
func megabytes(bytes int64) report.Quantity {
	return report.Quantity{Value: float64(bytes) / 1e6, Unit: "MB"}
}

// against is the figure of a kept result, as a yardstick.
func (r *run) against(id, unit string) *report.Quantity {
	quantity := r.results[id].rate(unit)
	return &quantity
}

// sort puts rows into the order of their ids: T1, T2 ... T13.
func (r *run) sort() {
	number := func(row report.Row) int {
		n, err := strconv.Atoi(strings.TrimPrefix(row.ID, "T"))
		if err != nil {
			return 1000 // not a target: at the end
		}
		return n
	}
	slices.SortStableFunc(r.report.Rows, func(a, b report.Row) int { return number(a) - number(b) })
}

// publish runs one round of a publishing work on a server.
func (r *run) publish(ctx context.Context, s *server, work load.PublishWork, into *result) error {
	m := newMeter(s, into)
	work.Edge = m.edge
	round, err := s.client.Publish(ctx, work)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	into.server = s.name
	into.messages += round.Messages
	into.elapsed += round.Elapsed
	into.latency.Merge(&round.Latency)
	return nil
}
