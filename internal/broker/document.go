package broker

import (
	"context"

	"github.com/posthaste-io/posthaste/internal/ledger"
)

// Documents calls f for each document of a kind, in no order, until it returns false. f must not call the broker.
func (b *Broker) Documents(kind string, f func(name string, body []byte) bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	b.ledger.Documents(kind, f)
}

// PutDocument keeps a document under a kind and a name, in place of one that is there. It returns when that is durable.
func (b *Broker) PutDocument(ctx context.Context, kind, name string, body []byte) error {
	return b.note(ctx, ledger.AppendDocument(nil, kind, name, body))
}

// DeleteDocument deletes a document. It returns when that is durable.
func (b *Broker) DeleteDocument(ctx context.Context, kind, name string) error {
	return b.note(ctx, ledger.AppendDocumentDeleted(nil, kind, name))
}
