package broker

import (
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/check"
	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// simulationRetention is that of subscriptions whose messages may outlive it: shorter than the API allows, or no run would see it.
const simulationRetention = 40 * time.Second

type simulatedSnapshot struct {
	name, topic string
	ordered     bool
}

// someTopic is one of those that are published to.
func (s *simulation) someTopic() string {
	if s.dice.IntN(4) == 0 {
		return simulationOther
	}
	return simulationTopic
}

// create makes a subscription and writes it into the history.
func (s *simulation) create(config *pubsubpb.Subscription) error {
	config.AckDeadlineSeconds = 10
	if _, err := s.CreateSubscription(s.ctx, config); err != nil {
		return err
	}
	s.aliases++
	sub := &simulatedSub{name: config.Name, alias: fmt.Sprint(config.Name, "#", s.aliases), topic: config.Topic, deadline: 10 * time.Second}
	sub.config = check.Config{
		Ordered: config.EnableMessageOrdering, ExactlyOnce: config.EnableExactlyOnceDelivery, Backoff: config.RetryPolicy != nil,
		Retained: config.RetainAckedMessages,
	}
	if config.Filter != "" {
		sub.config.Class = "a"
	}
	if p := config.DeadLetterPolicy; p != nil {
		sub.config.DeadLetterTopic, sub.config.AttemptsMax = p.DeadLetterTopic, int(p.MaxDeliveryAttempts)
	}
	if config.DeadLetterPolicy == nil && config.Topic != simulationGrave {
		switch s.dice.IntN(6) {
		case 0, 1:
			sub.seeks = true
		case 2:
			if !s.wanders && !config.RetainAckedMessages {
				sub.config.RetentionNS = int64(simulationRetention)
				if err := s.shorten(sub.name); err != nil {
					return err
				}
			}
		}
	}
	s.subs = append(s.subs, sub)
	told := sub.config
	s.emit(check.Event{Process: "admin", Op: check.OpSubscribe, Phase: check.PhaseOK, Subscription: sub.alias, Topic: sub.topic, Config: &told})
	return nil
}

// shorten gives a subscription its short retention, past the rules of the API.
func (s *simulation) shorten(name string) error {
	config, err := s.GetSubscription(name)
	if err != nil {
		return err
	}
	config.MessageRetentionDuration = durationpb.New(simulationRetention)
	target, err := s.Subscription(name)
	if err != nil {
		return err
	}
	return s.note(s.ctx, ledger.AppendSubscription(nil, ledger.SubscriptionID(target.ID()), 0, name, catalog.EncodeSubscription(config)))
}

// checkpoint lets the log save what it comes to, so that a start does not read all of it.
func (s *simulation) checkpoint() error { return s.store.Checkpoint() }

// mobile is a subscription that may be moved; nil if there is none.
func (s *simulation) mobile() *simulatedSub {
	i := slices.IndexFunc(s.subs, func(sub *simulatedSub) bool { return sub.seeks })
	if i < 0 {
		return nil
	}
	return s.subs[i]
}

// seek moves a subscription to some time of the run.
func (s *simulation) seek() error {
	sub := s.mobile()
	if sub == nil {
		return nil
	}
	s.calls++
	e := check.Event{Process: "admin", Op: check.OpSeek, Phase: check.PhaseInvoke, Call: s.calls, Subscription: sub.alias}
	e.PublishTimeNS = s.clock.Wall() - s.dice.Int64N(1+s.clock.Mono())
	s.emit(e)
	if err := s.SeekToTime(s.ctx, sub.name, e.PublishTimeNS); err != nil {
		return err
	}
	e.Phase = check.PhaseOK
	s.emit(e)
	return s.pollAll()
}

// snapshot makes one, of any subscription, or deletes one.
func (s *simulation) snapshot() error {
	if n := len(s.snapshots); n > 2 {
		gone := s.dice.IntN(n)
		name := s.snapshots[gone].name
		s.snapshots = slices.Delete(s.snapshots, gone, gone+1)
		return s.DeleteSnapshot(s.ctx, name)
	}
	sub := s.subs[s.dice.IntN(len(s.subs))]
	s.calls++
	name := fmt.Sprint("projects/p/snapshots/at-", s.calls)
	if _, err := s.CreateSnapshot(s.ctx, &pubsubpb.CreateSnapshotRequest{Name: name, Subscription: sub.name}); err != nil {
		return err
	}
	s.snapshots = append(s.snapshots, simulatedSnapshot{name, sub.topic, sub.config.Ordered})
	return nil
}

// seekSnapshot moves a subscription to a snapshot that its topic has.
func (s *simulation) seekSnapshot() error {
	sub := s.mobile()
	if sub == nil {
		return nil
	}
	i := slices.IndexFunc(s.snapshots, func(sn simulatedSnapshot) bool { return sn.topic == sub.topic && (sn.ordered || !sub.config.Ordered) })
	if i < 0 {
		return nil
	}
	s.calls++
	e := check.Event{Process: "admin", Op: check.OpSeek, Phase: check.PhaseInvoke, Call: s.calls, Subscription: sub.alias}
	s.emit(e)
	if err := s.SeekToSnapshot(s.ctx, sub.name, s.snapshots[i].name); err != nil {
		return err
	}
	e.Phase = check.PhaseOK
	s.emit(e)
	return s.pollAll()
}

// recreate deletes a subscription, under its streams, and makes another of the same name.
func (s *simulation) recreate() error {
	i := slices.IndexFunc(s.subs, func(sub *simulatedSub) bool { return sub.config.AttemptsMax == 0 && sub.topic != simulationGrave })
	if i < 0 {
		return nil
	}
	sub := s.subs[i]
	s.emit(check.Event{Process: "admin", Op: check.OpUnsubscribe, Phase: check.PhaseInvoke, Subscription: sub.alias})
	if err := s.DeleteSubscription(s.ctx, sub.name); err != nil {
		return err
	}
	s.emit(check.Event{Process: "admin", Op: check.OpUnsubscribe, Phase: check.PhaseOK, Subscription: sub.alias})
	s.subs = slices.Delete(s.subs, i, i+1)
	for _, stream := range s.streams {
		if stream.sub != sub {
			continue
		}
		if taken, err := stream.taker.TakeNow(s.ctx, 1, 1<<20); err == nil {
			return fmt.Errorf("a stream of a deleted subscription took %d messages", len(taken))
		}
		stream.taker.Leave()
		s.emit(check.Event{Process: stream.name, Op: check.OpStream, Phase: check.PhaseFail, Subscription: sub.alias})
	}
	s.streams = slices.DeleteFunc(s.streams, func(stream *simulatedStream) bool { return stream.sub == sub })
	stale := func(r receipt) bool { return r.sub == sub }
	s.held, s.settled = slices.DeleteFunc(s.held, stale), slices.DeleteFunc(s.settled, stale)
	return s.create(s.randomSubscription(sub.name))
}

// reconfigure changes one thing of a subscription while it is at work.
func (s *simulation) reconfigure() error {
	sub := s.subs[s.dice.IntN(len(s.subs))]
	next, config, path := *sub, &pubsubpb.Subscription{Name: sub.name}, ""
	switch s.dice.IntN(4) {
	case 0:
		next.config.ExactlyOnce = !sub.config.ExactlyOnce
		path, config.EnableExactlyOnceDelivery = "enable_exactly_once_delivery", next.config.ExactlyOnce
	case 1:
		next.deadline = time.Duration(10+s.dice.IntN(10)) * time.Second
		path, config.AckDeadlineSeconds = "ack_deadline_seconds", int32(next.deadline/time.Second)
	case 2:
		if !sub.config.Backoff {
			return nil // from then on nobody could say when a message is to come again
		}
		path = "retry_policy"
		if s.dice.IntN(2) == 0 {
			config.RetryPolicy = &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(backoffMin), MaximumBackoff: durationpb.New(backoffMax)}
		}
	case 3:
		path, config.Labels = "labels", map[string]string{"step": fmt.Sprint(s.calls)}
	}
	s.calls++
	e := check.Event{Process: "admin", Op: check.OpUpdate, Phase: check.PhaseInvoke, Call: s.calls, Subscription: sub.alias}
	s.emit(e)
	if _, err := s.UpdateSubscription(s.ctx, config, &fieldmaskpb.FieldMask{Paths: []string{path}}); err != nil {
		return err
	}
	*sub = next
	told := sub.config
	e.Phase, e.Config = check.PhaseOK, &told
	s.emit(e)
	return s.pollAll()
}
