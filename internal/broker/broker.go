// Package broker is the core that every protocol front stands on: it keeps topics, subscriptions and snapshots as resources, publishes
// messages to topics, and gives up what nobody needs any more. What is durable lives in the shard's log and its ledger. Handing messages
// out is the work of package delivery, of which each subscription here has a [delivery.Subscription].
//
// Three kinds of goroutine meet here, and the locks are arranged by them:
//
//  1. The engine's, which applies durable records. It is the only one that changes the ledger and the maps below, under Broker.mu.
//     Only a change of a subscription makes it take that subscription's lock, which takers hold; for messages and acknowledgements it
//     never waits for one, but rings the subscription's bell.
//  2. Callers that publish or manage resources. They read the maps under Broker.mu and change state by appending records only.
//  3. The sweeper, which drops what is past its retention and tells the engine which space is free.
//
// Lock order: Broker.names before topic.space before Broker.mu before the locks of package delivery.
package broker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/agenda"
	"github.com/posthaste-io/posthaste/internal/changes"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/fault"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/registry"
	"github.com/posthaste-io/posthaste/internal/retention"
	"github.com/posthaste-io/posthaste/internal/roster"
	"github.com/posthaste-io/posthaste/internal/stripe"
	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// Options are what a broker takes from its surroundings. The zero value works.
type Options struct {
	Clock  clock.Clock  // default: the system's
	Logger *slog.Logger // default: slog.Default()
	// Transforms runs message transforms, and is closed with the broker. Default: in this process, which a malicious function can harm.
	Transforms transform.Runner
}

// Broker owns one shard and serves the topics and subscriptions in it. It is safe for concurrent use.
type Broker struct {
	clock    clock.Clock
	logger   *slog.Logger
	runner   transform.Runner
	shard    engine.Shard
	office   *delivery.Office
	ackKey   wire.AckKey
	names    stripe.Locks
	last     atomic.Uint64 // the highest number given to a resource
	calendar retention.Calendar

	schemas *registry.Registry // changes under mu, on the engine's goroutine, and has a lock of its own for readers

	mu            sync.RWMutex
	ledger        *ledger.Ledger
	live          bool // resources in the ledger have their running counterparts below
	topics        map[string]*topic
	subscriptions map[string]*subscription
	topicByID     map[engine.TopicID]*topic
	subByID       map[ledger.SubscriptionID]*subscription
	topicNames    roster.List
	subNames      roster.List
	snapshots     map[string]*snapshot
	snapshotNames roster.List

	opened    int64                        // by the monotonic clock
	gone      []engine.TopicID             // forgotten while the log was replayed
	dirty     changes.List[*topic]         // in which something may have become free
	behind    changes.List[*subscription]  // that may not be done with everything
	looks     agenda.Agenda[*subscription] // for use and the want of it; under mu
	filters   map[*subscription]struct{}   // those that have one; under mu
	stop      context.CancelFunc
	sweepDone chan struct{}
}

// secretKind is the kind of the ledger's documents that hold the broker's secrets. ackKeyName is the secret of the ack ids: it is kept
// so that ids given out before a restart still verify.
const (
	secretKind = "secret"
	ackKeyName = "ack-id-key"
)

// Open takes shard 0 of the engine and brings its topics and subscriptions to life.
func Open(ctx context.Context, e engine.Engine, o Options) (*Broker, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	b := &Broker{
		clock: o.Clock, logger: o.Logger, runner: cmp.Or[transform.Runner](o.Transforms, transform.NewLocal()), ledger: ledger.New(),
		topics: map[string]*topic{}, subscriptions: map[string]*subscription{},
		topicByID: map[engine.TopicID]*topic{}, subByID: map[ledger.SubscriptionID]*subscription{},
		snapshots: map[string]*snapshot{}, filters: map[*subscription]struct{}{},
		sweepDone: make(chan struct{}), opened: o.Clock.Mono(),
	}
	b.calendar.Observe(b.clock.Both())
	b.schemas = registry.New((*schemaHome)(b))
	shard, err := e.Own(ctx, 0, (*machine)(b))
	if err != nil {
		return nil, fmt.Errorf("open shard 0: %w", err)
	}
	b.shard = shard
	b.office = delivery.NewOffice(delivery.Means{Clock: b.clock, Logger: b.logger, Shard: shard, Transforms: b.runner, Topics: (*topicHolder)(b)})
	if err := b.wakeUp(ctx); err != nil {
		return nil, errors.Join(err, shard.Release(ctx))
	}
	for _, id := range b.gone {
		shard.Trim(id, engine.Everything) // a crash may have come before the engine heard of it
	}
	b.gone = nil
	b.dropExpired(ctx) // what outlived its retention while nothing ran is to reach nobody
	sweep, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.sweep(sweep)
	return b, nil
}

// wakeUp builds the running counterparts of what the ledger holds.
func (b *Broker) wakeUp(ctx context.Context) error {
	b.mu.Lock()
	b.last.Store(b.ledger.Last())
	err := b.schemas.Load(b.ledger)
	if err == nil {
		b.ledger.Topics(func(t *ledger.Topic) bool { err = b.bringTopic(t); return err == nil })
	}
	if err == nil {
		b.ledger.Subscriptions(func(s *ledger.Subscription) bool { err = b.bringSubscription(s); return err == nil })
	}
	if err == nil {
		b.ledger.Snapshots(func(s *ledger.Snapshot) bool { err = b.bringSnapshot(s); return err == nil })
	}
	b.live = true
	secret, _ := b.ledger.Document(secretKind, ackKeyName)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if secret == nil {
		secret = make([]byte, 16)
		rand.Read(secret)
		if err := b.note(ctx, ledger.AppendDocument(nil, secretKind, ackKeyName, secret)); err != nil {
			return fmt.Errorf("keep the secret of ack ids: %w", err)
		}
	}
	b.ackKey = wire.NewAckKey([16]byte(secret))
	return nil
}

// Close ends every taker with UNAVAILABLE, makes everything accepted durable and gives the shard back.
func (b *Broker) Close(ctx context.Context) error {
	b.Drain()
	b.stop()
	<-b.sweepDone
	b.office.Wait()
	b.noteAllUse()
	return errors.Join(b.shard.Release(ctx), b.runner.Close())
}

// Drain ends every taker with UNAVAILABLE, so that clients go elsewhere or come back later.
func (b *Broker) Drain() {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.subByID {
		s.work.Drain()
	}
}

// PushChanges is [delivery.Office.PushChanges] of the broker's subscriptions.
func (b *Broker) PushChanges(ctx context.Context) ([]*delivery.Subscription, error) {
	return b.office.PushChanges(ctx)
}

// Failed is closed when the log can no longer be written. The process should end, and recover at its next start.
func (b *Broker) Failed() <-chan struct{} { return b.shard.Failed() }

// AckKey signs and verifies the ack ids of this broker.
func (b *Broker) AckKey() wire.AckKey { return b.ackKey }

// Epoch tells ack ids of this run from those of earlier ones.
func (b *Broker) Epoch() uint32 { return uint32(b.shard.Epoch()) }

// note appends notes, all or none, and waits until they are durable, even when the caller gives up: whoever holds a resource's name must know how
// its change ended before another may begin.
func (b *Broker) note(ctx context.Context, bodies ...[]byte) error {
	notes := make([]engine.Record, len(bodies))
	for i, body := range bodies {
		notes[i] = engine.Record{Kind: engine.KindNote, Body: body}
	}
	return fault.Status(b.shard.Append(context.WithoutCancel(ctx), notes))
}

// machine is the Broker as the engine sees it.
type machine Broker

// Apply takes the next durable record; see engine.Machine.
func (m *machine) Apply(r *engine.Record) error {
	b := (*Broker)(m)
	if r.Kind == engine.KindBlock || !ledger.Structural(r.Body) {
		c, err := b.ledger.Apply(r)
		if err == nil && b.live {
			b.moved(&c)
		} else if c.Forgotten {
			b.gone = append(b.gone, c.Topic.ID)
		}
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := b.ledger.Apply(r)
	if err != nil {
		return err
	}
	if !b.live {
		if c.Forgotten {
			b.gone = append(b.gone, c.Topic.ID)
		}
		return nil
	}
	return b.changed(&c)
}

// Save writes the ledger; see engine.Machine.
func (m *machine) Save(w io.Writer) error { return m.ledger.Save(w) }

// Restore reads the ledger; see engine.Machine.
func (m *machine) Restore(r io.Reader) error { return m.ledger.Restore(r) }

// moved follows a block or an acknowledgement.
func (b *Broker) moved(c *ledger.Change) {
	if c.Topic == nil {
		return
	}
	t := b.topicOf(c.Topic)
	if c.Op != ledger.OpBlock || len(t.subscriptions) == 0 {
		b.dirtied(t) // something may have become free
		return
	}
	for _, s := range t.subscriptions {
		b.fellBehind(s)
		s.work.Ring()
	}
}

// changed follows a change of resources. The caller holds b.mu.
func (b *Broker) changed(c *ledger.Change) error {
	switch c.Op {
	case ledger.OpDocument, ledger.OpDocumentDeleted:
		return b.schemas.Follow(b.ledger, c)
	case ledger.OpTopic:
		if c.Created {
			return b.bringTopic(c.Topic)
		}
		b.dirtied(b.topicByID[c.Topic.ID]) // it may retain less
		return b.topicByID[c.Topic.ID].read(b)
	case ledger.OpTopicDeleted:
		if c.Topic != nil {
			b.dropTopic(c.Topic, c.Forgotten)
		}
	case ledger.OpSubscription:
		if c.Created {
			return b.bringSubscription(c.Subscription)
		}
		if t := b.topicByID[c.Topic.ID]; t != nil { // a detached one's may be forgotten
			b.dirtied(t)
		}
		return b.subByID[c.Subscription.ID].read(b)
	case ledger.OpDetached:
		if c.Subscription != nil {
			b.detach(c.Subscription, c.Forgotten)
		}
	case ledger.OpSubscriptionDeleted:
		if c.Subscription != nil {
			b.dropSubscription(c.Subscription, c.Forgotten)
		}
	case ledger.OpSnapshot:
		if c.Snapshot != nil {
			return b.bringSnapshot(c.Snapshot)
		}
	case ledger.OpSnapshotDeleted:
		if c.Snapshot != nil {
			b.dropSnapshot(c.Snapshot)
		}
	case ledger.OpSeek, ledger.OpSeekSnapshot:
		if c.Subscription != nil {
			b.subByID[c.Subscription.ID].work.Rewind()
			b.fellBehind(b.subByID[c.Subscription.ID])
			b.dirtied(b.topicByID[c.Topic.ID])
		}
	}
	return nil
}
