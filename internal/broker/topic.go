package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/changes"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/registry"
	"github.com/posthaste-io/posthaste/internal/roster"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// topic is a topic at work.
type topic struct {
	durable       *ledger.Topic
	subscriptions []*subscription // changed by the engine's goroutine under Broker.mu
	snapshots     []*snapshot     // likewise
	retention     time.Duration   // 0: none; changed under Broker.mu
	intake        []stage         // replaced, never changed, under Broker.mu
	dirty         changes.Flag
	space         sync.Mutex // held from a look at which messages are kept until that is acted on
}

// read takes over what the topic's configuration says. The caller holds Broker.mu.
func (t *topic) read(b *Broker) error {
	config, err := t.config()
	if err == nil {
		t.retention = config.GetMessageRetentionDuration().AsDuration()
		t.intake = b.intakeOf(config)
	}
	return err
}

func (t *topic) config() (*pubsubpb.Topic, error) {
	return catalog.DecodeTopic(t.durable.Name, t.durable.Config)
}

// bringTopic makes a topic of the ledger live. The caller holds b.mu.
func (b *Broker) bringTopic(d *ledger.Topic) error {
	t := &topic{durable: d}
	if err := t.read(b); err != nil {
		return err
	}
	b.topicByID[d.ID] = t
	if !d.Deleted {
		b.topics[d.Name] = t
		b.topicNames.Change()
	}
	b.dirtied(t)
	return nil
}

// dropTopic follows a topic's deletion. The caller holds b.mu.
func (b *Broker) dropTopic(d *ledger.Topic, forgotten bool) {
	t := b.topicByID[d.ID]
	t.releaseSnapshots()
	if b.topics[d.Name] == t {
		delete(b.topics, d.Name)
		b.topicNames.Change()
	}
	b.dirtied(t)
	if forgotten {
		delete(b.topicByID, d.ID)
	}
}

// topic finds a topic that is not deleted.
func (b *Broker) topic(name string) *topic {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.topics[name]
}

// topicHolder is the Broker as those who forward dead letters see it; see [delivery.Topics].
type topicHolder Broker

func (h *topicHolder) Hold(name string) (id engine.TopicID, release func(), err error) {
	release = h.names.Lock(name)
	if t := (*Broker)(h).topic(name); t != nil {
		return t.durable.ID, release, nil
	}
	release()
	return 0, nil, catalog.NotFound(name)
}

// CreateTopic makes a topic. ALREADY_EXISTS when its name is taken.
func (b *Broker) CreateTopic(ctx context.Context, in *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	config, err := catalog.NewTopic(in)
	if err != nil {
		return nil, err
	}
	defer b.names.Lock(registry.NamesOf(config)...)()
	if b.topic(config.Name) != nil {
		return nil, catalog.AlreadyExists(config.Name)
	}
	if err := b.schemas.CheckTopic(config, nil); err != nil {
		return nil, err
	}
	return config, b.putTopic(ctx, engine.TopicID(b.last.Add(1)), config)
}

func (b *Broker) putTopic(ctx context.Context, id engine.TopicID, config *pubsubpb.Topic) error {
	if err := transform.Check(ctx, b.runner, config.MessageTransforms); err != nil {
		return err
	}
	return b.note(ctx, ledger.AppendTopic(nil, id, config.Name, catalog.EncodeTopic(config)))
}

// GetTopic gives a topic, NOT_FOUND when there is none.
func (b *Broker) GetTopic(name string) (*pubsubpb.Topic, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t, err := b.find(name)
	if err != nil {
		return nil, err
	}
	return t.config()
}

// find is the topic of that name. The caller holds b.mu.
func (b *Broker) find(name string) (*topic, error) {
	if t := b.topics[name]; t != nil {
		return t, nil
	}
	if _, err := catalog.ParseTopic(name); err != nil {
		return nil, err
	}
	return nil, catalog.NotFound(name)
}

// UpdateTopic changes the fields that the mask names.
func (b *Broker) UpdateTopic(ctx context.Context, in *pubsubpb.Topic, mask *fieldmaskpb.FieldMask) (*pubsubpb.Topic, error) {
	defer b.names.Lock(registry.NamesOf(in)...)()
	current, err := b.GetTopic(in.GetName())
	if err != nil {
		return nil, err
	}
	config, err := catalog.UpdateTopic(current, in, mask)
	if err == nil {
		err = b.schemas.CheckTopic(config, mask)
	}
	if err != nil {
		return nil, err
	}
	return config, b.putTopic(ctx, b.topic(config.Name).durable.ID, config)
}

// DeleteTopic deletes a topic. Its subscriptions keep their backlog.
func (b *Broker) DeleteTopic(ctx context.Context, name string) error {
	defer b.names.Lock(name)()
	b.mu.RLock()
	t, err := b.find(name)
	b.mu.RUnlock()
	if err != nil {
		return err
	}
	return b.noteDeleted(ctx, name, ledger.AppendTopicDeleted(nil, t.durable.ID))
}

// ListTopics gives a page of a project's topics, in the order of their names.
func (b *Broker) ListTopics(project string, pageSize int32, pageToken string) ([]*pubsubpb.Topic, string, error) {
	if _, err := catalog.ParseProject(project); err != nil {
		return nil, "", err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := b.topicNames.Under(project+"/", func() []string { return keys(b.topics) })
	return roster.Page(names, pageSize, pageToken, func(name string) (*pubsubpb.Topic, error) { return b.topics[name].config() })
}

// attached lists the names of a topic's subscriptions. They are sorted without the lock, since there may be thousands of them.
func (b *Broker) attached(name string) ([]string, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t, err := b.find(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(t.subscriptions))
	for i, s := range t.subscriptions {
		names[i] = s.durable.Name
	}
	return names, nil
}

// ListTopicSubscriptions gives a page of the names of the subscriptions attached to a topic, in order.
func (b *Broker) ListTopicSubscriptions(name string, pageSize int32, pageToken string) ([]string, string, error) {
	names, err := b.attached(name)
	if err != nil {
		return nil, "", err
	}
	slices.Sort(names)
	return catalog.Page(names, pageSize, pageToken)
}
