package broker

import (
	"context"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/registry"
)

// Schemas are the schemas that topics may follow.
func (b *Broker) Schemas() *registry.Registry { return b.schemas }

// schemaHome is the Broker as the registry sees it; see registry.Home.
type schemaHome Broker

func (h *schemaHome) Lock(names ...string) (unlock func()) { return h.names.Lock(names...) }

func (h *schemaHome) Wall() int64 { return h.clock.Wall() }

func (h *schemaHome) Append(ctx context.Context, notes ...[]byte) error {
	return (*Broker)(h).note(ctx, notes...)
}

func (h *schemaHome) Topics(f func(id engine.TopicID, name string, config []byte)) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, t := range h.topics {
		f(t.durable.ID, t.durable.Name, t.durable.Config)
	}
}
