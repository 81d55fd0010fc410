package iam

import (
	"context"
	"slices"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// DocumentKind is the kind of the documents that hold policies, by the names of their resources. Whoever deletes a resource deletes its
// policy with it.
const DocumentKind = "iam-policy"

// Resources is who has the resources and keeps documents.
type Resources interface {
	// Exists says whether there is a resource of that kind and name.
	Exists(kind Kind, name string) bool
	// Document is a document; nil when there is none.
	Document(kind, name string) []byte
	// ChangeDocument puts what change gives in a document's place. Meanwhile nobody else makes, changes or deletes what has the name.
	ChangeDocument(ctx context.Context, kind, name string, change func() ([]byte, error)) error
}

// Policies are the access policies of resources. They are not enforced.
type Policies struct{ Resources Resources }

// Get gives a resource's access policy in the version that a client asks for: NOT_FOUND when there is no such resource.
func (p Policies) Get(resource string, version int32) (*iampb.Policy, error) {
	policy, err := p.current(resource)
	if err != nil {
		return nil, err
	}
	return Show(policy, version)
}

// Set changes a resource's access policy: NOT_FOUND when there is no such resource, ABORTED when the policy that was sent has the etag of
// another one than the current.
func (p Policies) Set(ctx context.Context, resource string, in *iampb.Policy, mask *fieldmaskpb.FieldMask) (next *iampb.Policy, err error) {
	err = p.Resources.ChangeDocument(ctx, DocumentKind, resource, func() ([]byte, error) {
		current, err := p.current(resource)
		if err != nil {
			return nil, err
		}
		if next, err = Set(current, in, mask); err != nil {
			return nil, err
		}
		return Encode(next), nil
	})
	return next, err
}

// Test gives those of the permissions that the caller holds on a resource: none when there is no such resource. As policies are not
// enforced, everybody holds all of them.
func (p Policies) Test(resource string, permissions []string) ([]string, error) {
	kind, err := ParseResource(resource)
	if err != nil {
		return nil, err
	}
	if err := CheckPermissions(kind, permissions); err != nil || !p.Resources.Exists(kind, resource) {
		return nil, err
	}
	held := slices.Clone(permissions)
	slices.Sort(held)
	return slices.Compact(held), nil
}

// current is a resource's policy as it is stored.
func (p Policies) current(resource string) (*iampb.Policy, error) {
	kind, err := ParseResource(resource)
	if err != nil {
		return nil, err
	}
	if !p.Resources.Exists(kind, resource) {
		return nil, catalog.NotFound(resource)
	}
	if stored := p.Resources.Document(DocumentKind, resource); stored != nil {
		return Decode(stored)
	}
	return Unset(), nil
}
