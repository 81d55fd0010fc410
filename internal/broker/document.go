package broker

import (
	"context"

	"github.com/posthaste-io/posthaste/internal/iam"
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

// Document is a document; nil when there is none. It is never changed in place.
func (b *Broker) Document(kind, name string) []byte {
	b.mu.RLock()
	defer b.mu.RUnlock()
	body, _ := b.ledger.Document(kind, name)
	return body
}

// ChangeDocument puts what change gives in a document's place. Meanwhile nobody makes, changes or deletes a resource of that name.
func (b *Broker) ChangeDocument(ctx context.Context, kind, name string, change func() ([]byte, error)) error {
	defer b.names.Lock(name)()
	body, err := change()
	if err != nil {
		return err
	}
	return b.PutDocument(ctx, kind, name, body)
}

// Exists says whether there is a resource of that kind and name.
func (b *Broker) Exists(kind iam.Kind, name string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	switch kind {
	case iam.Topic:
		return b.topics[name] != nil
	case iam.Subscription:
		return b.subscriptions[name] != nil
	case iam.Snapshot:
		return b.snapshots[name] != nil
	case iam.Schema:
		return b.schemas.Exists(name)
	}
	return false
}

// noteDeleted appends the note that deletes a resource and, at once with it, the end of its access policy: a resource that is made
// under the same name later begins without one.
func (b *Broker) noteDeleted(ctx context.Context, resource string, deletion []byte) error {
	return b.note(ctx, deletion, ledger.AppendDocumentDeleted(nil, iam.DocumentKind, resource))
}
