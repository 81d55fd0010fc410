package broker

import (
	"context"
	"maps"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/agenda"
	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/changes"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/roster"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// subscription is a subscription as a resource, and at work.
type subscription struct {
	durable *ledger.Subscription
	topic   *topic
	work    *delivery.Subscription

	// What its configuration says apart from delivery. Guarded by Broker.mu.
	ttl       time.Duration // how long it lives without use, 0 for ever
	retention time.Duration
	retain    bool // what is acknowledged, too

	behind changes.Flag
	look   agenda.Entry
}

// Entry is where it stands on the broker's agenda.
func (s *subscription) Entry() *agenda.Entry { return &s.look }

// read takes over what the subscription's configuration says. The caller holds Broker.mu.
func (s *subscription) read(b *Broker) error {
	c, err := s.stored()
	if err != nil {
		return err
	}
	s.keep(c)
	if err := s.work.Read(c); err != nil {
		return err
	}
	b.lookSoon(s)
	return nil
}

// stored is the configuration as the log has it. The caller holds Broker.mu.
func (s *subscription) stored() (*pubsubpb.Subscription, error) {
	c, err := catalog.DecodeSubscription(s.durable.Name, s.durable.Topic.Name, s.durable.Config)
	if err == nil {
		c.Detached = s.durable.Detached
	}
	return c, err
}

// keep takes over how long the configuration keeps messages, and the subscription. The caller holds Broker.mu.
func (s *subscription) keep(c *pubsubpb.Subscription) {
	s.ttl = c.GetExpirationPolicy().GetTtl().AsDuration()
	s.retention, s.retain = c.GetMessageRetentionDuration().AsDuration(), c.RetainAckedMessages
}

// bringSubscription makes a subscription of the ledger live. The caller holds b.mu.
func (b *Broker) bringSubscription(d *ledger.Subscription) error {
	s := &subscription{durable: d, topic: b.topicOf(d.Topic)}
	c, err := s.stored()
	if err != nil {
		return err
	}
	s.keep(c)
	if s.work, err = b.office.Open(d, c); err != nil {
		return err
	}
	if !d.Detached {
		s.topic.subscriptions = append(s.topic.subscriptions, s)
	}
	if s.work.Filtered() {
		b.filters[s] = struct{}{}
	}
	if d.Floor() < d.Topic.End() {
		b.fellBehind(s)
	}
	b.lookSoon(s)
	b.subByID[d.ID] = s
	b.subscriptions[d.Name] = s
	b.subNames.Change()
	return nil
}

// dropSubscription follows a subscription's deletion. The caller holds b.mu.
func (b *Broker) dropSubscription(d *ledger.Subscription, topicForgotten bool) {
	s := b.subByID[d.ID]
	delete(b.subByID, d.ID)
	delete(b.filters, s)
	b.looks.Clear(s)
	if b.subscriptions[d.Name] == s {
		delete(b.subscriptions, d.Name)
		b.subNames.Change()
	}
	b.leaveTopic(s, topicForgotten)
	s.work.Delete()
}

// Subscription finds a subscription at work by its name: INVALID_ARGUMENT or NOT_FOUND.
func (b *Broker) Subscription(name string) (*delivery.Subscription, error) {
	s, err := b.subscription(name)
	if err != nil {
		return nil, err
	}
	return s.work, nil
}

// subscription is Subscription for the broker's own use.
func (b *Broker) subscription(name string) (*subscription, error) {
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
	case t == nil || topicConfig == nil:
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
	return b.note(ctx, ledger.AppendSubscription(nil, id, t, config.Name, catalog.EncodeSubscription(config)), b.activeNow(id))
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
func (s *subscription) config() (*pubsubpb.Subscription, error) {
	c, err := s.stored()
	if err != nil {
		return nil, err
	}
	c.TopicMessageRetentionDuration = nil
	switch {
	case s.topic.durable.Deleted:
		c.Topic = catalog.DeletedTopic
	case s.topic.retention > 0:
		c.TopicMessageRetentionDuration = durationpb.New(s.topic.retention)
	}
	return c, nil
}

// GetSubscription gives a subscription, NOT_FOUND when there is none.
func (b *Broker) GetSubscription(name string) (*pubsubpb.Subscription, error) {
	s, err := b.subscription(name)
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
	s, err := b.subscription(name)
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
	b.used(s)
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
	s, err := b.subscription(name)
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
