package delivery

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/transform"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const (
	topicName = "projects/p/topics/events"
	subName   = "projects/p/subscriptions/worker"
	topicID   = engine.TopicID(1)
)

// bench is one subscription of one topic over the model engine, with time that moves only when told. It applies the log as a broker does.
type bench struct {
	*ledger.Ledger
	t      *testing.T
	ctx    context.Context
	clock  *clock.Manual
	engine *memory.Engine
	office *Office
	sub    *Subscription
	topics map[string]engine.TopicID // that can be held
}

func newBench(t *testing.T, in *pubsubpb.Subscription) *bench {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	b := &bench{t: t, ctx: t.Context(), clock: c, engine: memory.Open(new(memory.Store), c), Ledger: ledger.New(), topics: map[string]engine.TopicID{}}
	shard, err := b.engine.Own(b.ctx, 0, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.office.Wait()
		shard.Release(context.Background())
	})
	b.office = NewOffice(Means{
		Clock: c, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Shard: shard, Transforms: transform.NewLocal(), Topics: b,
	})
	topic := &pubsubpb.Topic{Name: topicName}
	in.Name, in.Topic = subName, topicName
	config, err := catalog.NewSubscription(in, topic)
	if err != nil {
		t.Fatal(err)
	}
	b.append(engine.Record{Kind: engine.KindNote, Body: ledger.AppendTopic(nil, topicID, topicName, catalog.EncodeTopic(topic))})
	b.append(engine.Record{Kind: engine.KindNote, Body: ledger.AppendSubscription(nil, 2, topicID, subName, catalog.EncodeSubscription(config))})
	b.reopen()
	return b
}

// reopen sets the subscription to work anew by what the ledger knows, as a start does.
func (b *bench) reopen() {
	b.t.Helper()
	b.Subscriptions(func(d *ledger.Subscription) bool {
		config, err := catalog.DecodeSubscription(d.Name, d.Topic.Name, d.Config)
		if err == nil {
			b.sub, err = b.office.Open(d, config)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		return true
	})
}

// Apply follows the log; see engine.Machine.
func (b *bench) Apply(r *engine.Record) error {
	c, err := b.Ledger.Apply(r)
	switch {
	case err != nil || b.sub == nil:
	case c.Op == ledger.OpBlock && c.Topic.ID == topicID:
		b.sub.Ring()
	case c.Op == ledger.OpSeek:
		b.sub.Rewind()
	case c.Op == ledger.OpDetached:
		b.sub.Detach()
	}
	return err
}

// Hold finds a dead letter topic; see Topics.
func (b *bench) Hold(name string) (engine.TopicID, func(), error) {
	if id, there := b.topics[name]; there {
		return id, func() {}, nil
	}
	return 0, nil, catalog.NotFound(name)
}

func (b *bench) append(records ...engine.Record) {
	b.t.Helper()
	if err := b.office.Shard.Append(b.ctx, records); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) publish(texts ...string) {
	b.t.Helper()
	request := &pubsubpb.PublishRequest{Topic: topicName}
	for _, text := range texts {
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{Data: []byte(text)})
	}
	b.publishRequest(request)
}

func (b *bench) publishRequest(request *pubsubpb.PublishRequest) {
	b.t.Helper()
	raw, err := proto.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	var p wire.Publish
	if err := p.Scan(raw); err != nil {
		b.t.Fatal(err)
	}
	b.append(engine.Record{Kind: engine.KindBlock, Topic: topicID, Count: uint32(p.Count), Body: p.Body})
}

func (b *bench) stream(c Credit) *Taker {
	b.t.Helper()
	t, err := b.sub.OpenStream(c, 10*time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

// got is what a taker was given.
type got struct {
	text    string
	id      wire.AckID
	attempt int32
}

// now takes what there is at the moment.
func (b *bench) now(t *Taker) (list []got) {
	b.t.Helper()
	for {
		deliveries, err := t.TakeNow(b.ctx, 1000, 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(deliveries) == 0 {
			return list
		}
		for i := range deliveries {
			list = append(list, b.read(&deliveries[i]))
		}
	}
}

func (b *bench) read(d *Delivery) got {
	return got{text: string(wire.Data(d.Message)), attempt: d.Attempt, id: wire.AckID{
		Epoch: b.office.epoch(), Subscription: b.sub.ID(), Offset: uint64(d.Offset), Slot: d.Handle.Slot, Turn: d.Handle.Turn,
	}}
}

func ids(list []got) (out []wire.AckID) {
	for _, g := range list {
		out = append(out, g.id)
	}
	return out
}

func (b *bench) ack(list ...got) {
	b.t.Helper()
	if err := b.sub.Ack(b.ctx, ids(list), nil, true); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) expect(what string, list []got, want ...string) {
	b.t.Helper()
	texts := []string{}
	for _, g := range list {
		texts = append(texts, g.text)
	}
	if !slices.Equal(texts, append([]string{}, want...)) {
		b.t.Errorf("%s: got %q, want %q", what, texts, want)
	}
}

// asleep waits until n takers sleep.
func (b *bench) asleep(n int) {
	for b.sub.bell.Asleep() < n {
		runtime.Gosched()
	}
}
