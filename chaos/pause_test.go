package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/chaos/process"
	"github.com/posthaste-io/posthaste/check"
)

const (
	probes      = "projects/one/topics/probes"
	probesPlain = "projects/one/subscriptions/probes-plain"
	probesOnce  = "projects/one/subscriptions/probes-once"

	probeGroup     = 10 // messages of each kind
	shortLease     = time.Second
	longLeaseExtra = 3 * time.Second // beyond the pause
	probeWithin    = 3 * time.Second // from the end of a lease, or of the pause, to the redelivery: as long as the judge allows for the load
	pauseSettles   = 300 * time.Millisecond
)

// TestPause stops the broker's process under load and lets it go on. What leases do over the pause is looked at with messages apart from
// the load: those that ran out meanwhile come again, at once; those that did not, do not; and what is acknowledged during the pause, or
// after it, counts only where the lease still stands.
func TestPause(t *testing.T) {
	t.Parallel()
	s := seed(t)
	b := newBroker(t)
	ready(t, b)
	l := newLoad(t, b.Addr, s)
	l.patience = *pauseMax + callTimeout
	l.start()
	r := &pauseRun{load: l, broker: b, random: l.random("pauses")}
	r.prepare(t)
	for round := range *pausesFlag {
		r.round(t, round)
	}
	l.drain()
	o := tolerance(*pausesFlag)
	o.Bitten = -1 // calls wait and succeed: that nothing comes during a pause is looked at here
	l.judge(o)
	t.Logf("%d pauses, %v in all; %d leases ran out meanwhile and came again, at most %v after; %d outlasted it, and the rest of those came at most %v after their end; %d acknowledgements refused",
		*pausesFlag, r.paused.Round(time.Millisecond), r.came, r.slowest.Round(time.Millisecond), r.outlasted,
		r.latest.Round(time.Millisecond), r.refused)
	if r.came == 0 || r.outlasted == 0 || r.refused == 0 {
		t.Error("no lease ran out or outlasted a pause, or no acknowledgement was refused: the run proves nothing")
	}
}

// pauseRun is a broker that is paused.
type pauseRun struct {
	*load
	broker *process.Broker
	random *rand.Rand

	paused    time.Duration // in all
	came      int           // messages that came again as their leases had run out
	slowest   time.Duration // of them, after the pause
	latest    time.Duration // of those that came again later, after the end of their leases
	outlasted int           // leases that a pause did not end
	refused   int           // acknowledgements of leases that had run out
}

// probe is what the broker holds of one subscription over a pause.
type probe struct {
	subscription string
	once         bool
	short        map[string]string // ack ids by payload: leases that run out during the pause
	long         map[string]string // leases that do not; half of them are acknowledged after the pause
	settled      map[string]bool   // payloads that must not come again
	longEnd      time.Time         // no lease of long ends before
	answered     time.Time         // nor later than as long after this as longEnd is after its request
}

func (r *pauseRun) prepare(t *testing.T) {
	t.Helper()
	if *pauseMin < shortLease+pauseSettles {
		t.Fatalf("-pause-min is %v, want at least %v: leases must run out meanwhile", *pauseMin, shortLease+pauseSettles)
	}
	if _, err := pb.NewPublisherClient(r.conn).CreateTopic(t.Context(), &pb.Topic{Name: probes}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{probesPlain, probesOnce} {
		s := &pb.Subscription{Name: name, Topic: probes, AckDeadlineSeconds: 600, EnableExactlyOnceDelivery: name == probesOnce}
		if _, err := pb.NewSubscriberClient(r.conn).CreateSubscription(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// round pauses once.
func (r *pauseRun) round(t *testing.T, number int) {
	t.Helper()
	pause := *pauseMin + time.Duration(r.random.Int64N(int64(*pauseMax-*pauseMin)+1))
	r.publishProbes(t, number)
	all := []*probe{{subscription: probesPlain}, {subscription: probesOnce, once: true}}
	for _, p := range all {
		r.lease(t, p, pause)
	}
	fault := check.Event{Process: "faults", Op: check.OpFault, Phase: check.PhaseInvoke, Call: int64(number), Detail: "pause"}
	r.history.Record(fault)
	if err := r.broker.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	// The lease runs out at this time at the latest; what is sent from here on comes too late, though nobody has noticed yet.
	time.Sleep(time.Until(began.Add(shortLease)))
	late := make(chan map[string]string, 1)
	go func() { late <- r.acknowledgeProbes(t, all[1], all[1].short) }()
	before := r.settled(began.Add(pause))
	time.Sleep(time.Until(began.Add(pause)))
	if after := r.received.Load(); after != before {
		t.Errorf("%d messages came while the broker was paused", after-before)
	}
	if err := r.broker.Resume(); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	r.paused += resumed.Sub(began)
	refused := <-late
	for payload, id := range all[1].short {
		if refused[id] != invalidID {
			t.Errorf("pause %d of %v: %s: acknowledgement of a lease that had run out during the pause: %q, want %q", number, pause, payload, refused[id], invalidID)
		}
	}
	r.refused += len(refused)
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	if err := r.broker.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	fault.Phase = check.PhaseOK
	r.history.Record(fault)
	for _, p := range all {
		r.after(t, p, resumed)
	}
	for _, p := range all {
		r.end(t, p)
	}
}

// settled waits until what was on its way to the clients has arrived, or the time is over, and counts what came.
func (r *pauseRun) settled(by time.Time) int64 {
	count, since := r.received.Load(), time.Now()
	for time.Since(since) < pauseSettles && time.Now().Before(by) {
		time.Sleep(10 * time.Millisecond)
		if now := r.received.Load(); now != count {
			count, since = now, time.Now()
		}
	}
	return count
}

func (r *pauseRun) publishProbes(t *testing.T, round int) {
	t.Helper()
	request := &pb.PublishRequest{Topic: probes}
	for i := range 3 * probeGroup {
		request.Messages = append(request.Messages, &pb.PubsubMessage{Data: fmt.Appendf(nil, "probe-%d-%d", round, i)})
	}
	if _, err := pb.NewPublisherClient(r.conn).Publish(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}

// lease takes the probes: some are acknowledged, some have a lease that is short, and some a long one.
func (r *pauseRun) lease(t *testing.T, p *probe, pause time.Duration) {
	t.Helper()
	subs := pb.NewSubscriberClient(r.conn)
	p.short, p.long, p.settled = map[string]string{}, map[string]string{}, map[string]bool{}
	done := map[string]string{}
	for got := 0; got < 3*probeGroup; {
		answer, err := subs.Pull(t.Context(), &pb.PullRequest{Subscription: p.subscription, MaxMessages: 3 * probeGroup})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range answer.ReceivedMessages {
			group := []map[string]string{p.short, p.long, done}[got%3]
			group[string(m.Message.Data)] = m.AckId
			got++
		}
	}
	if refused := r.acknowledgeProbes(t, p, done); len(refused) > 0 {
		t.Errorf("%s: acknowledgements within the deadline were refused: %v", p.subscription, refused)
	}
	for payload := range done {
		p.settled[payload] = true
	}
	long := (pause + longLeaseExtra + time.Second).Truncate(time.Second)
	p.longEnd = time.Now().Add(long)
	r.extend(t, p, p.long, long)
	p.answered = time.Now().Add(long)
	r.extend(t, p, p.short, shortLease) // last, so that it stands when the pause begins
}

func (r *pauseRun) extend(t *testing.T, p *probe, group map[string]string, lease time.Duration) {
	t.Helper()
	request := &pb.ModifyAckDeadlineRequest{Subscription: p.subscription, AckDeadlineSeconds: int32(lease / time.Second)}
	for _, id := range group {
		request.AckIds = append(request.AckIds, id)
	}
	if _, err := pb.NewSubscriberClient(r.conn).ModifyAckDeadline(t.Context(), request); err != nil {
		t.Errorf("%s: modify ack deadline: %v", p.subscription, err)
	}
}

// acknowledgeProbes returns the ack ids that were refused.
func (r *pauseRun) acknowledgeProbes(t *testing.T, p *probe, group map[string]string) (refused map[string]string) {
	request := &pb.AcknowledgeRequest{Subscription: p.subscription}
	for _, id := range group {
		request.AckIds = append(request.AckIds, id)
	}
	_, err := pb.NewSubscriberClient(r.conn).Acknowledge(t.Context(), request)
	if refused = refusedIDs(err); err != nil && refused == nil {
		t.Errorf("%s: acknowledge: %v", p.subscription, err)
	}
	return refused
}

// after asks for the messages whose leases ran out and for no others, and acknowledges half of those whose leases still stand.
func (r *pauseRun) after(t *testing.T, p *probe, resumed time.Time) {
	t.Helper()
	r.take(t, p, p.short, resumed.Add(probeWithin))
	if took := time.Since(resumed); took > r.slowest {
		r.slowest = took
	}
	if p.once {
		refused := r.acknowledgeProbes(t, p, p.short)
		if len(refused) != len(p.short) {
			t.Errorf("%d of %d ack ids that later deliveries had replaced were taken", len(p.short)-len(refused), len(p.short))
		}
		r.refused += len(refused)
	}
	r.came += len(p.short)
	half := map[string]string{}
	for payload, id := range p.long {
		if len(half) < probeGroup/2 {
			half[payload] = id
			delete(p.long, payload)
			p.settled[payload] = true
		}
	}
	if refused := r.acknowledgeProbes(t, p, half); len(refused) > 0 {
		t.Errorf("%s: acknowledgements of leases that outlasted the pause were refused: %v", p.subscription, refused)
	}
	r.outlasted += len(half)
	if time.Now().After(p.longEnd) {
		t.Logf("%s: too slow a machine to tell whether long leases were kept", p.subscription)
	}
}

// end asks for the messages whose long leases have run out by now, and for no others.
func (r *pauseRun) end(t *testing.T, p *probe) {
	t.Helper()
	r.take(t, p, p.long, p.answered.Add(probeWithin))
	r.latest = max(r.latest, time.Since(p.answered))
}

// take pulls and acknowledges until all of a group have come, which must be by the time given. Nothing else may come, and none of long
// before its lease ends.
func (r *pauseRun) take(t *testing.T, p *probe, group map[string]string, by time.Time) {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), by.Add(readyWithin))
	defer cancel()
	for missing := len(group); missing > 0; {
		asked := time.Now()
		answer, err := pb.NewSubscriberClient(r.conn).Pull(ctx, &pb.PullRequest{Subscription: p.subscription, MaxMessages: 3 * probeGroup})
		if err != nil {
			t.Fatalf("%s: %d of %d messages did not come again: %v", p.subscription, missing, len(group), err)
		}
		now := time.Now()
		ids := map[string]string{}
		for _, m := range answer.ReceivedMessages {
			payload := string(m.Message.Data)
			_, wanted := group[payload]
			_, long := p.long[payload]
			switch {
			case p.settled[payload]:
				t.Errorf("%s: %s came again after it was acknowledged", p.subscription, payload)
			case long && now.Before(p.longEnd):
				t.Errorf("%s: %s came again %v before its lease ended", p.subscription, payload, p.longEnd.Sub(now))
			case !wanted:
				t.Errorf("%s: %s came unasked", p.subscription, payload)
			default:
				missing--
			}
			p.settled[payload] = true
			ids[payload] = m.AckId
		}
		if len(answer.ReceivedMessages) > 0 && now.After(by) {
			t.Errorf("%s: messages came %v too late, %v after they were asked for", p.subscription, now.Sub(by), now.Sub(asked))
		}
		if refused := r.acknowledgeProbes(t, p, ids); len(refused) > 0 {
			t.Errorf("%s: acknowledgements of redeliveries were refused: %v", p.subscription, refused)
		}
	}
}
