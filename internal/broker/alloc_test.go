package broker

import (
	"context"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// quietEngine stands between a broker and the model engine and, once quiet, appends and reads without allocating, so that what is
// counted is the broker's own.
type quietEngine struct {
	engine.Engine
	shard *quietShard
}

type quietShard struct {
	engine.Shard
	machine engine.Machine
	quiet   bool
	first   engine.Offset
	block   engine.Block
}

func (e *quietEngine) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	shard, err := e.Engine.Own(ctx, id, m)
	e.shard = &quietShard{Shard: shard, machine: m}
	return e.shard, err
}

func (s *quietShard) Append(ctx context.Context, recs []engine.Record) error {
	if !s.quiet {
		return s.Shard.Append(ctx, recs)
	}
	for i := range recs {
		if recs[i].Kind == engine.KindBlock {
			recs[i].Stamp = engine.Stamp{First: s.first, ID: uint64(s.first) + 1}
			s.block = engine.Block{Stamp: recs[i].Stamp, Count: recs[i].Count, Body: recs[i].Body}
			s.first += engine.Offset(recs[i].Count)
		}
		if err := s.machine.Apply(&recs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *quietShard) Enqueue(recs []engine.Record) error { return s.Append(context.Background(), recs) }

func (s *quietShard) Read(_ context.Context, _ engine.TopicID, from engine.Offset, into *engine.Batch) error {
	if from < s.block.End() {
		into.Blocks = append(into.Blocks, s.block)
	}
	return nil
}

func TestAMessageOnItsWayCostsNoAllocation(t *testing.T) {
	const messages = 100
	b := newBench(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	quiet := &quietEngine{Engine: b.engine}
	b.engine = quiet
	b.open()
	b.topicWith(&pubsubpb.Subscription{})
	quiet.shard.quiet = true

	request := &pubsubpb.PublishRequest{Topic: topicName}
	for range messages {
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{Data: make([]byte, 1024), Attributes: map[string]string{"a": "b"}})
	}
	raw, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var p wire.Publish
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	sub := b.sub()
	ids := make([]wire.AckID, 0, messages)
	round := func() {
		if err := p.Scan(raw); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Publish(b.ctx, &p); err != nil {
			t.Fatal(err)
		}
		list, err := s.TakeNow(b.ctx, messages, 1<<20)
		if err != nil || len(list) != messages {
			t.Fatal(len(list), err)
		}
		ids = ids[:0]
		for i := range list {
			ids = append(ids, wire.AckID{
				Epoch: b.Epoch(), Subscription: sub.ID(), Offset: uint64(list[i].Offset), Slot: list[i].Handle.Slot, Turn: list[i].Handle.Turn,
			})
		}
		if err := sub.Ack(b.ctx, ids, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		round() // until every buffer has its size
	}
	// The rest is per call: a few objects whatever the number of messages.
	if perCall := testing.AllocsPerRun(500, round); perCall > 6 {
		t.Errorf("%.1f allocations for %d messages published, delivered and acknowledged", perCall, messages)
	} else {
		t.Logf("%.1f allocations for %d messages published, delivered and acknowledged", perCall, messages)
	}
}
