package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/bell"
	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/filter"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/roster"
	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/usage"
)

// Subscription is a subscription at work: its place in the topic and what is out with which subscriber. It costs little while
// nobody takes from it and nothing is outstanding. It is safe for concurrent use.
type Subscription struct {
	broker  *Broker
	durable *ledger.Subscription
	ttl     time.Duration // how long it lives without use, 0 for ever; guarded by Broker.mu
	usage   usage.Usage
	filters bool // it has a filter, which never changes
	topic   *topic
	bell    bell.Bell

	mu        sync.Mutex
	terms     terms
	ended     error         // why nobody may take any more: deleted, or the broker stops
	queue     *lease.Queue  // nil while idle
	queues    uint64        // how many there have been
	turns     lease.Turns   // of the last queue, while idle
	seeks     uint64        // how many seeks cursor and leases have followed
	cursor    engine.Offset // the next offset to read from the log for the first time
	recovered engine.Offset // offsets before it may have been acknowledged before they were read
	unwanted  unwanted
	takers    []*Taker
	starved   []*Taker // without credit until something of theirs is settled
	choosy    bool     // some of the starved have credit, but not for the message that came next
	timer     clock.Timer
	wakeAt    int64 // when the timer rings, by the monotonic clock; 0: it does not

	failures   []lease.Failure // scratch of failed
	forwarding bool            // a forwarder runs
	warnedAt   int64           // when it last said in vain that dead letters cannot be forwarded, by the monotonic clock
}

// terms are what a subscription's configuration means for delivery.
type terms struct {
	deadline  time.Duration
	ttl       time.Duration // without use; 0: for ever
	retention time.Duration
	retain    bool // what is acknowledged, too
	rules     lease.Rules
	filter    *filter.Filter   // nil: every message is wanted
	chain     *transform.Chain // nil: messages are delivered as they are stored
	counted   bool             // subscribers are told the delivery attempt
	push      *PushTarget      // nil: subscribers pull
	detached  bool

	deadLetterTopic string // "": none
}

func readTerms(config []byte) (terms, error) {
	c, err := catalog.DecodeSubscription(config)
	if err != nil {
		return terms{}, err
	}
	var wanted *filter.Filter
	if c.Filter != "" {
		if wanted, err = filter.Parse(c.Filter); err != nil {
			return terms{}, fmt.Errorf("stored filter of %s: %w", c.Name, err)
		}
	}
	t := terms{
		filter:    wanted,
		chain:     transform.NewChain(c.MessageTransforms, false),
		deadline:  time.Duration(c.AckDeadlineSeconds) * time.Second,
		ttl:       c.GetExpirationPolicy().GetTtl().AsDuration(),
		retention: c.GetMessageRetentionDuration().AsDuration(),
		retain:    c.RetainAckedMessages,
		rules: lease.Rules{
			Ordered:     c.EnableMessageOrdering,
			ExactlyOnce: c.EnableExactlyOnceDelivery,
			BackoffMin:  c.GetRetryPolicy().GetMinimumBackoff().AsDuration(),
			BackoffMax:  c.GetRetryPolicy().GetMaximumBackoff().AsDuration(),
			AttemptsMax: int(c.GetDeadLetterPolicy().GetMaxDeliveryAttempts()),
			Journal:     c.DeadLetterPolicy != nil,
		},
		counted: c.DeadLetterPolicy != nil,
		push:    pushTarget(c),

		deadLetterTopic: c.GetDeadLetterPolicy().GetDeadLetterTopic(),
	}
	pushBackoff(c, &t)
	return t, nil
}

// read takes over what the subscription's configuration says. The caller holds Broker.mu.
func (s *Subscription) read() error {
	t, err := readTerms(s.durable.Config)
	if err != nil {
		return err
	}
	s.ttl = t.ttl
	if s.durable.Detached {
		t.detached, t.push = true, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terms.push != nil || t.push != nil && s.broker.subByID[s.durable.ID] == s {
		s.broker.pushes.Add(s)
	}
	s.terms = t
	if s.queue != nil {
		s.queue.SetRules(t.rules)
	}
	s.wakeAll()
	return nil
}

// bringSubscription makes a subscription of the ledger live. The caller holds b.mu.
func (b *Broker) bringSubscription(d *ledger.Subscription) error {
	t := b.topicOf(d.Topic)
	s := &Subscription{broker: b, durable: d, topic: t, cursor: d.Floor(), recovered: d.Topic.End(), seeks: d.Seeks()}
	if err := s.read(); err != nil {
		return err
	}
	s.usage.Remember(b.clock.Mono(), b.clock.Wall(), d.Active())
	s.filters = s.terms.filter != nil
	if !d.Detached {
		t.subscriptions = append(t.subscriptions, s)
	}
	b.subByID[d.ID] = s
	b.subscriptions[d.Name] = s
	b.subNames.Change()
	if s.terms.push != nil {
		b.pushes.Add(s) // last: from now on others know it
	}
	return nil
}

// dropSubscription follows a subscription's deletion. The caller holds b.mu.
func (b *Broker) dropSubscription(d *ledger.Subscription, topicForgotten bool) {
	s := b.subByID[d.ID]
	delete(b.subByID, d.ID)
	if b.subscriptions[d.Name] == s {
		delete(b.subscriptions, d.Name)
		b.subNames.Change()
	}
	b.leaveTopic(s, topicForgotten)
	s.end(catalog.NotFound(d.Name))
}

// Subscription finds a subscription by its name: INVALID_ARGUMENT or NOT_FOUND.
func (b *Broker) Subscription(name string) (*Subscription, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s := b.subscriptions[name]; s != nil {
		return s, nil
	}
	if _, err := catalog.ParseSubscription(name); err != nil {
		return nil, err
	}
	return nil, catalog.NotFound(name)
}

// CreateSubscription makes a subscription that begins with the next message published to its topic.
func (b *Broker) CreateSubscription(ctx context.Context, in *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	if _, err := catalog.ParseTopic(in.GetTopic()); err != nil {
		return nil, err
	}
	b.mu.RLock()
	t := b.topics[in.Topic]
	b.mu.RUnlock()
	var topicConfig *pubsubpb.Topic
	if t != nil {
		var err error
		if topicConfig, err = b.GetTopic(in.Topic); err != nil {
			return nil, err
		}
	}
	config, err := catalog.NewSubscription(in, topicConfig)
	if err != nil {
		return nil, err
	}
	defer b.names.Lock(config.Name, in.Topic)()
	b.mu.RLock()
	taken, t := b.subscriptions[config.Name] != nil, b.topics[in.Topic]
	b.mu.RUnlock()
	switch {
	case taken:
		return nil, catalog.AlreadyExists(config.Name)
	case t == nil:
		return nil, catalog.NotFound(in.Topic)
	}
	if err := b.checkReferences(config, nil); err != nil {
		return nil, err
	}
	b.warnOfDeadLetters(config.Name, config.GetDeadLetterPolicy().GetDeadLetterTopic())
	return config, b.putSubscription(ctx, ledger.SubscriptionID(b.last.Add(1)), t.durable.ID, config)
}

func (b *Broker) putSubscription(ctx context.Context, id ledger.SubscriptionID, t engine.TopicID, config *pubsubpb.Subscription) error {
	if err := transform.Check(ctx, b.runner, config.MessageTransforms); err != nil {
		return err
	}
	return b.note(ctx, ledger.AppendSubscription(nil, id, t, config.Name, catalog.Encode(config)), b.activeNow(id))
}

// checkReferences says whether the topics are there that a creation (nil mask) or an update names.
func (b *Broker) checkReferences(config *pubsubpb.Subscription, mask *fieldmaskpb.FieldMask) error {
	for _, name := range catalog.SubscriptionReferences(config, mask) {
		if b.topic(name) == nil {
			return catalog.NotFound(name)
		}
	}
	return nil
}

// config is the subscription as a client sees it. The caller holds Broker.mu.
func (s *Subscription) config() (*pubsubpb.Subscription, error) {
	c, err := catalog.DecodeSubscription(s.durable.Config)
	if err != nil {
		return nil, err
	}
	t, err := s.topic.config()
	if err != nil {
		return nil, err
	}
	c.Detached = s.durable.Detached
	c.TopicMessageRetentionDuration = t.MessageRetentionDuration
	if s.topic.durable.Deleted {
		c.Topic, c.TopicMessageRetentionDuration = catalog.DeletedTopic, nil
	}
	return c, nil
}

// GetSubscription gives a subscription, NOT_FOUND when there is none.
func (b *Broker) GetSubscription(name string) (*pubsubpb.Subscription, error) {
	s, err := b.Subscription(name)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return s.config()
}

// UpdateSubscription changes the fields that the mask names.
func (b *Broker) UpdateSubscription(ctx context.Context, in *pubsubpb.Subscription, mask *fieldmaskpb.FieldMask) (*pubsubpb.Subscription, error) {
	name := in.GetName()
	defer b.names.Lock(name)()
	s, err := b.Subscription(name)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	current, err := s.config()
	b.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	config, err := catalog.UpdateSubscription(current, in, mask)
	if err != nil {
		return nil, err
	}
	if err := b.checkReferences(config, mask); err != nil {
		return nil, err
	}
	b.warnOfDeadLetters(name, config.GetDeadLetterPolicy().GetDeadLetterTopic())
	s.used()
	return config, b.putSubscription(ctx, s.durable.ID, s.durable.Topic.ID, config)
}

// ModifyPushConfig replaces a subscription's push configuration; an empty one turns it into a pull subscription.
func (b *Broker) ModifyPushConfig(ctx context.Context, name string, push *pubsubpb.PushConfig) error {
	if push == nil {
		push = &pubsubpb.PushConfig{}
	}
	mask := &fieldmaskpb.FieldMask{Paths: []string{"push_config"}}
	_, err := b.UpdateSubscription(ctx, &pubsubpb.Subscription{Name: name, PushConfig: push}, mask)
	return err
}

// DeleteSubscription deletes a subscription and its backlog.
func (b *Broker) DeleteSubscription(ctx context.Context, name string) error {
	defer b.names.Lock(name)()
	s, err := b.Subscription(name)
	if err != nil {
		return err
	}
	return b.noteDeleted(ctx, name, ledger.AppendSubscriptionDeleted(nil, s.durable.ID))
}

// ListSubscriptions gives a page of a project's subscriptions, in the order of their names.
func (b *Broker) ListSubscriptions(project string, pageSize int32, pageToken string) ([]*pubsubpb.Subscription, string, error) {
	if _, err := catalog.ParseProject(project); err != nil {
		return nil, "", err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := b.subNames.Under(project+"/", func() []string { return keys(b.subscriptions) })
	return roster.Page(names, pageSize, pageToken, func(name string) (*pubsubpb.Subscription, error) { return b.subscriptions[name].config() })
}

func keys[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }

// Names are those of all resources, in no order.
func (b *Broker) Names() (subscriptions, snapshots, topics []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return keys(b.subscriptions), keys(b.snapshots), keys(b.topics)
}
