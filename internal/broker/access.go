package broker

import (
	"context"
	"slices"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/iam"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// GetPolicy gives a resource's access policy in the version that a client asks for: NOT_FOUND when there is no such resource.
func (b *Broker) GetPolicy(resource string, version int32) (*iampb.Policy, error) {
	policy, err := b.policy(resource)
	if err != nil {
		return nil, err
	}
	return iam.Show(policy, version)
}

// SetPolicy changes a resource's access policy: NOT_FOUND when there is no such resource, ABORTED when the policy that was sent has
// the etag of another one than the current.
func (b *Broker) SetPolicy(ctx context.Context, resource string, in *iampb.Policy, mask *fieldmaskpb.FieldMask) (*iampb.Policy, error) {
	defer b.names.Lock(resource)()
	current, err := b.policy(resource)
	if err != nil {
		return nil, err
	}
	next, err := iam.Set(current, in, mask)
	if err != nil {
		return nil, err
	}
	return next, b.note(ctx, ledger.AppendDocument(nil, iam.DocumentKind, resource, iam.Encode(next)))
}

// TestPermissions gives those of the permissions that the caller holds on a resource: none when there is no such resource. Policies are
// not enforced, so that everybody holds all of them.
func (b *Broker) TestPermissions(resource string, permissions []string) ([]string, error) {
	kind, err := iam.ParseResource(resource)
	if err != nil {
		return nil, err
	}
	if err := iam.CheckPermissions(kind, permissions); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.exists(kind, resource) {
		return nil, nil
	}
	held := slices.Clone(permissions)
	slices.Sort(held)
	return slices.Compact(held), nil
}

// policy is a resource's current access policy.
func (b *Broker) policy(resource string) (*iampb.Policy, error) {
	kind, err := iam.ParseResource(resource)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.exists(kind, resource) {
		return nil, catalog.NotFound(resource)
	}
	if stored, there := b.ledger.Document(iam.DocumentKind, resource); there {
		return iam.Decode(stored)
	}
	return iam.Unset(), nil
}

// exists says whether there is a resource of that kind and name. The caller holds b.mu.
func (b *Broker) exists(kind iam.Kind, name string) bool {
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
