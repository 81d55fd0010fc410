package broker

import (
	"context"
	"sync"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/fault"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// records are scratch that would otherwise be made for each publish.
var records = sync.Pool{New: func() any { return new([1]engine.Record) }}

// Publish makes the messages durable and gives the id of the first; the others follow it one by one. Afterwards p has the messages as they
// were stored, and ids for those that transforms dropped.
func (b *Broker) Publish(ctx context.Context, p *wire.Publish) (firstID uint64, err error) {
	var intake []stage
	b.mu.RLock()
	t := b.topics[string(p.Topic)]
	if t == nil {
		_, err = b.find(string(p.Topic))
	} else {
		intake = t.intake
	}
	b.mu.RUnlock()
	if err != nil {
		return 0, err
	}
	for _, s := range intake {
		if err := s.Take(ctx, p); err != nil || p.Count == 0 {
			return 0, err
		}
	}
	one := records.Get().(*[1]engine.Record)
	one[0] = engine.Record{Kind: engine.KindBlock, Topic: t.durable.ID, Count: uint32(p.Count), Body: p.Body}
	err = b.shard.Append(ctx, one[:])
	firstID = one[0].Stamp.ID
	one[0] = engine.Record{}
	records.Put(one)
	return firstID, fault.Status(err)
}
