package push

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const (
	// leaseSlack is how much longer a message is leased than its endpoint has time: whether the endpoint was in time is decided by its
	// post, not by whichever of two clocks rings first.
	leaseSlack = 10 * time.Second

	// takeAgain is how long a pump waits that could not take, unless something changes.
	takeAgain = time.Second
)

// pump moves one subscription's messages to its endpoint.
type pump struct {
	service *Service
	sub     *delivery.Subscription
	pace    pace            // the pump's goroutine's
	alarm   alarm           // the pump's goroutine's
	posting context.Context // ends what is on its way
	cut     context.CancelFunc
	stop    context.CancelFunc // ends the taking
	wake    chan struct{}

	mu       sync.Mutex
	to       *target
	moved    bool // another endpoint, for which the pace begins anew
	taker    *delivery.Taker
	queue    []*post // that have no worker yet
	workers  int     // at least as many as posts in flight, so that none waits for another
	inflight int     // posts, those in the queue included
	bytes    int64   // of their bodies
	outcomes []outcome
}

// outcome is what became of a post.
type outcome struct {
	post     *post
	status   int // of HTTP; 0: no answer
	err      error
	ended    int64
	inflight int // posts at that time, itself included
}

// reason is what a dead letter says about the failure.
func (o *outcome) reason() lease.Reason {
	switch {
	case o.err == nil:
		return lease.PushStatus(o.status)
	case errors.Is(o.err, context.DeadlineExceeded):
		return lease.DeadlineExpired
	}
	return lease.PushFailed
}

func newPump(s *Service, sub *delivery.Subscription, to *target, posting context.Context) *pump {
	p := &pump{service: s, sub: sub, to: to, pace: newPace(to.Retry), wake: make(chan struct{}, 1)}
	p.posting, p.cut = context.WithCancel(posting)
	return p
}

// kick makes the pump look at what changed.
func (p *pump) kick() {
	p.mu.Lock()
	taker := p.taker
	p.mu.Unlock()
	if taker != nil {
		taker.Kick()
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// retarget changes where the next messages go. Those on their way go on.
func (p *pump) retarget(to *target) {
	p.mu.Lock()
	if p.to.PushTarget == to.PushTarget {
		p.mu.Unlock()
		return
	}
	p.moved = p.moved || to.Config.PushEndpoint != p.to.Config.PushEndpoint || to.Retry != p.to.Retry
	p.to = to
	if p.taker != nil {
		p.taker.SetDeadline(to.AckDeadline + leaseSlack)
	}
	p.mu.Unlock()
	p.kick()
}

// run takes and posts until ctx ends, and then waits for what is on its way.
func (p *pump) run(ctx context.Context) {
	defer p.cut()
	for ctx.Err() == nil {
		taker := p.open()
		if taker == nil {
			p.sleep(ctx, takeAgain)
			continue
		}
		for ctx.Err() == nil {
			p.step(ctx, taker)
		}
		p.mu.Lock()
		p.taker = nil
		p.mu.Unlock()
		taker.Leave()
	}
	for p.settle() > 0 {
		<-p.wake
	}
}

// open attaches a taker; nil when the subscription is not pushed at the moment.
func (p *pump) open() *delivery.Taker {
	p.mu.Lock()
	defer p.mu.Unlock()
	taker, err := p.sub.OpenPush(p.to.AckDeadline + leaseSlack)
	if err != nil {
		return nil
	}
	p.taker = taker
	return taker
}

// step settles what has ended, and begins or waits for more.
func (p *pump) step(ctx context.Context, taker *delivery.Taker) {
	inflight := p.settle()
	p.mu.Lock()
	to, bytes := p.to, p.service.bytesEach()-p.bytes
	if p.moved {
		p.pace, p.alarm, p.moved = newPace(to.Retry), alarm{}, false
	}
	p.mu.Unlock()
	room, wait := p.pace.room(p.service.options.Clock.Mono(), inflight)
	if room == 0 || bytes <= 0 && inflight > 0 {
		p.sleep(ctx, time.Duration(wait))
		return
	}
	deliveries, err := taker.Take(ctx, room, max(1, bytes))
	if err != nil {
		if ctx.Err() == nil {
			p.service.options.Logger.Debug("push: cannot take", "subscription", to.Subscription, "error", err)
			p.sleep(ctx, takeAgain)
		}
		return
	}
	p.renew()
	p.begin(deliveries)
}

// renew takes over a configuration of which the service has not told yet: what was published after it was changed goes where it says.
func (p *pump) renew() {
	config, _ := p.sub.PushTarget()
	p.mu.Lock()
	known := config == nil || config == p.to.PushTarget
	p.mu.Unlock()
	if known {
		return
	}
	if to, err := newTarget(config, p.service.options.UserAgent); err == nil {
		p.retarget(to)
	}
}

// sleep waits for a kick, or for a while unless that is 0.
func (p *pump) sleep(ctx context.Context, wait time.Duration) {
	if wait > 0 {
		timer := p.service.options.Clock.AfterFunc(wait, p.kick)
		defer timer.Stop()
	}
	select {
	case <-p.wake:
	case <-ctx.Done():
	}
}

// begin hands messages to workers.
func (p *pump) begin(deliveries []delivery.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	now := p.service.options.Clock.Mono()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inflight == 0 {
		p.service.busy.Add(1)
	}
	for i := range deliveries {
		d := &deliveries[i]
		id := wire.AckID{
			Epoch: p.service.broker.Epoch(), Subscription: p.sub.ID(), Offset: uint64(d.Offset), Slot: d.Handle.Slot, Turn: d.Handle.Turn,
		}
		post := newPost(p.to, id, d, now)
		p.queue = append(p.queue, post)
		p.inflight++
		p.bytes += int64(len(post.body))
		if p.workers < p.inflight {
			p.workers++
			p.service.running.Go(p.work)
		}
	}
}

// work posts until nothing waits.
func (p *pump) work() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.workers--
			p.mu.Unlock()
			return
		}
		next := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()
		status, err := p.service.send(p.posting, next)
		p.ended(outcome{post: next, status: status, err: err, ended: p.service.options.Clock.Mono()})
	}
}

func (p *pump) ended(o outcome) {
	p.mu.Lock()
	o.inflight = p.inflight
	p.outcomes = append(p.outcomes, o)
	p.inflight--
	p.bytes -= int64(len(o.post.body))
	if p.inflight == 0 {
		p.service.busy.Add(-1)
	}
	first := len(p.outcomes) == 1
	p.mu.Unlock()
	if first {
		p.kick()
	}
}

// settle tells the broker and the pace what became of posts, and returns how many are still on their way.
func (p *pump) settle() (inflight int) {
	p.mu.Lock()
	outcomes, inflight, subscription := p.outcomes, p.inflight, p.to.Subscription
	p.outcomes = nil
	p.mu.Unlock()
	if len(outcomes) == 0 {
		return inflight
	}
	log := p.service.options.Logger
	var acked []wire.AckID
	nacked := make(map[lease.Reason][]wire.AckID)
	for i := range outcomes {
		o := &outcomes[i]
		switch {
		case o.err != nil && p.posting.Err() != nil: // cut off: nobody knows whether it would have succeeded
		case succeeded(o.status):
			acked = append(acked, o.post.id)
			p.pace.succeeded(o.post.began, o.ended, o.inflight)
		default:
			nacked[o.reason()] = append(nacked[o.reason()], o.post.id)
			if !o.post.unspeakable { // which the endpoint knows nothing of
				p.pace.failed(o.post.began, o.ended)
			}
			log.Debug("push failed", "subscription", subscription, "status", o.status, "error", o.err)
		}
		if failing := p.pace.failing(); p.alarm.news(failing, o.ended) {
			p.tell(failing, o)
		}
	}
	if len(acked) > 0 {
		if err := p.sub.Ack(context.Background(), acked, nil, false); err != nil {
			log.Error("push: acknowledge", "subscription", subscription, "error", err)
		}
	}
	for why, ids := range nacked {
		p.sub.Fail(ids, why)
	}
	return inflight
}

// tell writes to the log that the endpoint fails, or does so no more.
func (p *pump) tell(failing bool, o *outcome) {
	log := p.service.options.Logger.With("subscription", o.post.to.Subscription, "endpoint", o.post.to.shown())
	switch {
	case !failing:
		log.Info("push endpoint answers again")
	case o.err != nil:
		log.Warn("push endpoint fails", "error", o.err)
	default:
		log.Warn("push endpoint fails", "status", o.status)
	}
}
