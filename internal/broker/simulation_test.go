package broker

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/posthaste-io/posthaste/check"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
	"github.com/posthaste-io/posthaste/internal/wheel"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// The simulation runs a whole broker, its publishers and its subscribers in one goroutine, on a clock that it moves itself and a log that
// forgets what was not durable when the process is killed. A seed decides everything, so that a run can be repeated; what the clients
// saw is a history, which package check judges as it judges that of the real binary.
var (
	simulations = flag.Int("simulations", 500, "how many seeds TestSimulation runs")
	firstSeed   = flag.Uint64("seed", 1, "the first of them")
)

const (
	simulationSteps = 120
	simulationTick  = 50 * time.Millisecond // how often streams look for messages
	simulationQuiet = 100 * time.Second     // longer than any lease or backoff: after it, nothing comes any more
	simulationTopic = "projects/p/topics/events"
	simulationOther = "projects/p/topics/others"
	simulationGrave = "projects/p/topics/grave"
	backoffMin      = time.Second
	backoffMax      = 20 * time.Second
)

// simulationNoon is when a run begins.
var simulationNoon = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// simulation is one run.
type simulation struct {
	*Broker
	ctx    context.Context
	dice   *rand.Rand
	clock  *clock.Manual
	store  *memory.Store
	events []check.Event

	subs      []*simulatedSub
	streams   []*simulatedStream
	held      []receipt // received and not settled
	settled   []receipt // or given up: what a confused client may try again
	published int
	calls     int64
	nextSweep int64
	keys      int
	wanders   bool // the wall clock is set
	aliases   int
	snapshots []simulatedSnapshot
}

type simulatedSub struct {
	name     string // in the broker
	alias    string // in the history, where nothing is made twice under one name
	topic    string
	config   check.Config
	deadline time.Duration // of what unary pulls give
	seeks    bool          // the run may seek in it: not where dead letters are counted, which a seek makes live again
}

type simulatedStream struct {
	name  string
	sub   *simulatedSub
	taker *delivery.Taker
}

// receipt is a delivery as its subscriber knows it.
type receipt struct {
	sub     *simulatedSub
	process string
	id      wire.AckID
	text    string
}

func newSimulation(ctx context.Context, seed uint64) *simulation {
	s := &simulation{
		ctx: ctx, dice: rand.New(rand.NewPCG(seed, 7)), store: new(memory.Store),
		clock: clock.NewManual(simulationNoon),
	}
	s.keys, s.wanders = 1+s.dice.IntN(5), s.dice.IntN(2) == 0
	return s
}

// emit writes a line of the history. Each has a time of its own, so that what came first is never in doubt.
func (s *simulation) emit(e check.Event) {
	s.advance(1)
	e.TimeNS = s.clock.Mono()
	s.events = append(s.events, e)
}

// advance moves the clock from timer to timer. Dead letters are moved by goroutines, which are to be done before anything else happens.
func (s *simulation) advance(by time.Duration) {
	for until := s.clock.Mono() + int64(by); ; {
		s.office.Wait()
		next, planned := s.clock.Next()
		if !planned || next > until {
			s.clock.Advance(time.Duration(until - s.clock.Mono()))
			s.office.Wait()
			return
		}
		s.clock.Advance(time.Duration(max(0, next-s.clock.Mono())))
	}
}

// open starts a broker on what the store has.
func (s *simulation) open() error {
	b, err := Open(s.ctx, memory.Open(s.store, s.clock), Options{Clock: s.clock, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	b.stop() // the simulation sweeps by itself, at moments that the seed decides
	<-b.sweepDone
	s.Broker = b
	return nil
}

// populate makes topics and subscriptions.
func (s *simulation) populate() error {
	for _, name := range []string{simulationTopic, simulationOther, simulationGrave} {
		if _, err := s.CreateTopic(s.ctx, &pubsubpb.Topic{Name: name}); err != nil {
			return err
		}
	}
	subs := []*pubsubpb.Subscription{{Name: "projects/p/subscriptions/mourner", Topic: simulationGrave}}
	for i := range 1 + s.dice.IntN(3) {
		subs = append(subs, s.randomSubscription(fmt.Sprintf("projects/p/subscriptions/sub%d", i)))
	}
	buries := s.dice.IntN(2 * len(subs)) // one at the most, so that nobody wonders whose a dead letter is
	for i, config := range subs {
		if i == buries && i > 0 {
			config.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: simulationGrave, MaxDeliveryAttempts: 5}
		}
		if err := s.create(config); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulation) randomSubscription(name string) *pubsubpb.Subscription {
	config := &pubsubpb.Subscription{
		Name: name, Topic: s.someTopic(), EnableMessageOrdering: s.dice.IntN(2) == 0, EnableExactlyOnceDelivery: s.dice.IntN(2) == 0,
		RetainAckedMessages: s.dice.IntN(4) == 0,
	}
	if s.dice.IntN(3) == 0 {
		config.Filter = `attributes.class = "a"`
	}
	if s.dice.IntN(3) == 0 {
		config.RetryPolicy = &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(backoffMin), MaximumBackoff: durationpb.New(backoffMax)}
	}
	return config
}

// run plays the steps and then reads everything to the end.
func (s *simulation) run() error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.populate(); err != nil {
		return err
	}
	steps := []struct {
		weight int
		do     func() error
	}{
		{30, s.publish}, {8, s.openStream}, {3, s.closeStream}, {8, s.pull}, {40, s.settle}, {10, s.settleAgain}, {20, s.wait},
		{2, s.kill}, {1, s.restart}, {2, s.fillDisk}, {2, s.seek}, {1, s.setWallClock}, {2, s.checkpoint}, {2, s.snapshot}, {2, s.seekSnapshot},
		{1, s.recreate}, {2, s.reconfigure}, {1, s.storm},
	}
	total := 0
	for _, step := range steps {
		total += step.weight
	}
	for range simulationSteps {
		at, i := s.dice.IntN(total), 0
		for ; at >= steps[i].weight; i++ {
			at -= steps[i].weight
		}
		if err := steps[i].do(); err != nil {
			return err
		}
	}
	return s.drain()
}

func (s *simulation) drain() error {
	s.emit(check.Event{Process: "drain", Op: check.OpDrain, Phase: check.PhaseInvoke})
	for len(s.streams) > 0 {
		if err := s.closeStream(); err != nil {
			return err
		}
	}
	s.held = nil // they come again
	for _, sub := range s.subs {
		if err := s.attach(sub, delivery.Credit{}); err != nil {
			return err
		}
	}
	for quiet := time.Duration(0); quiet < simulationQuiet; quiet += simulationTick {
		if err := s.tick(); err != nil {
			return err
		}
		for len(s.held) > 0 {
			if err := s.acknowledge(s.give(0), true); err != nil {
				return err
			}
			quiet = 0
		}
	}
	for len(s.streams) > 0 {
		if err := s.closeStream(); err != nil {
			return err
		}
	}
	s.emit(check.Event{Process: "drain", Op: check.OpDrain, Phase: check.PhaseOK})
	return s.Close(s.ctx)
}

// wait lets up to 15 seconds pass, which is longer than a lease.
func (s *simulation) wait() error {
	for range s.dice.IntN(int(15 * time.Second / simulationTick)) {
		if err := s.tick(); err != nil {
			return err
		}
	}
	return nil
}

// tick moves the clock a little; streams look for messages whenever that may have made some ready.
func (s *simulation) tick() error {
	s.advance(simulationTick)
	if now := s.clock.Mono(); now >= s.nextSweep {
		s.nextSweep = now + int64(sweepEvery)
		s.sweepOnce(s.ctx)
	}
	return s.pollAll()
}

// kill ends the process without warning: what was not durable is gone.
func (s *simulation) kill() error { return s.replace("kill", func() { s.store.Kill() }) }

// restart ends it in an orderly way.
func (s *simulation) restart() error { return s.replace("restart", func() {}) }

func (s *simulation) replace(kind string, before func()) error {
	s.calls++
	e := check.Event{Process: "chaos", Op: check.OpFault, Phase: check.PhaseInvoke, Call: s.calls, Detail: kind}
	s.emit(e)
	before()
	for _, stream := range s.streams {
		stream.taker.Leave()
		s.emit(check.Event{Process: stream.name, Op: check.OpStream, Phase: check.PhaseFail, Subscription: stream.sub.alias})
	}
	s.streams = nil
	if err := s.Close(s.ctx); err != nil && kind != "kill" {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	e.Phase = check.PhaseOK
	s.emit(e)
	return nil
}

// fillDisk lets the disk have no room for messages for a while.
func (s *simulation) fillDisk() error {
	s.calls++
	e := check.Event{Process: "disk", Op: check.OpFault, Phase: check.PhaseInvoke, Call: s.calls, Detail: "full"}
	s.emit(e)
	s.store.SetFull(true)
	for _, step := range []func() error{s.publish, s.settle, s.wait, s.settle, s.pull, s.settle, s.publish} {
		if err := step(); err != nil {
			return err
		}
	}
	s.store.SetFull(false)
	e.Phase = check.PhaseOK
	s.emit(e)
	return nil
}

// setWallClock does what administrators and time servers do to a machine's clock. No deadline may notice, and publish times never fall.
func (s *simulation) setWallClock() error {
	if !s.wanders {
		return nil
	}
	right := simulationNoon.Add(time.Duration(s.clock.Mono()))
	s.clock.SetWall([]time.Time{right, right.AddDate(0, 0, 5), right.Add(-time.Hour), right.AddDate(0, 0, -1)}[s.dice.IntN(4)])
	return nil
}

// judge gives what is wrong with a run.
func (s *simulation) judge() *check.Report {
	return check.Judge(check.NewHistory(slices.Clone(s.events)), check.Options{
		Slack: time.Duration(wheel.Tick) + simulationTick, RedeliverWithin: 2 * (time.Duration(wheel.Tick) + simulationTick), AckSettle: 2 * engine.LazyMax, AliveWithin: time.Hour, Bitten: -1,
	})
}

func TestSimulation(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	var deliveries, redeliveries, faults int
	excused := map[string]int{}
	done := map[check.Op]int{}
	for seed := *firstSeed; seed < *firstSeed+uint64(*simulations); seed++ {
		s := newSimulation(t.Context(), seed)
		if err := s.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, e := range s.events {
			if e.Phase == check.PhaseOK {
				done[e.Op]++
			}
		}
		r := s.judge()
		deliveries, redeliveries, faults = deliveries+r.Deliveries, redeliveries+r.Redeliveries, faults+r.Faults
		for what, times := range r.Excused {
			excused[what] += times
		}
		for _, v := range append(r.Violations, r.Voids...) {
			t.Errorf("seed %d: %s: %s", seed, v.Rule, v.Reason)
			for _, e := range v.Events {
				t.Logf("  %+v", e)
			}
		}
		if t.Failed() {
			t.Fatalf("repeat with -run TestSimulation -simulations 1 -seed %d", seed)
		}
	}
	t.Logf("%d seeds: %d deliveries, %d of them again, %d restarts; %v", *simulations, deliveries, redeliveries, faults, done)
	t.Logf("excused: %v", excused)
}

func TestASeedDecidesEverything(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		var runs [2][]check.Event
		for i := range runs {
			s := newSimulation(t.Context(), seed)
			if err := s.run(); err != nil {
				t.Fatal(err)
			}
			runs[i] = s.events
		}
		same := func(a, b check.Event) bool {
			a.Config, b.Config, a.Limits, b.Limits = nil, nil, nil, nil
			return a == b
		}
		for i := range min(len(runs[0]), len(runs[1])) {
			if !same(runs[0][i], runs[1][i]) {
				t.Fatalf("seed %d: event %d is once\n%+v and once\n%+v", seed, i, runs[0][i], runs[1][i])
			}
		}
		if len(runs[0]) != len(runs[1]) {
			t.Fatalf("seed %d: once %d events, once %d", seed, len(runs[0]), len(runs[1]))
		}
	}
}
