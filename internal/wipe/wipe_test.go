package wipe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// double keeps names, and what was deleted in which order.
type double struct {
	subscriptions, snapshots, topics []string
	schemas                          []string
	fail                             map[string]codes.Code

	mu      sync.Mutex
	deleted []string
}

func (d *double) Names() (subscriptions, snapshots, topics []string) {
	return d.subscriptions, d.snapshots, d.topics
}

func (d *double) remove(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deleted = append(d.deleted, name)
	if code, fails := d.fail[name]; fails {
		return status.Error(code, name)
	}
	return nil
}

func (d *double) DeleteSubscription(ctx context.Context, name string) error {
	return d.remove(ctx, name)
}
func (d *double) DeleteSnapshot(ctx context.Context, name string) error { return d.remove(ctx, name) }
func (d *double) DeleteTopic(ctx context.Context, name string) error    { return d.remove(ctx, name) }

// schemas are a double's schemas.
type schemas struct{ *double }

func (d *double) Schemas() schemas { return schemas{d} }

func (s schemas) Names() []string                                     { return s.schemas }
func (s schemas) DeleteSchema(ctx context.Context, name string) error { return s.remove(ctx, name) }

func names(kind string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%04d", kind, i))
	}
	return list
}

func TestEverythingGoesSubscriptionsFirst(t *testing.T) {
	d := &double{subscriptions: names("a", 3*concurrency), snapshots: names("b", 1), topics: names("c", 2*concurrency)}
	d.schemas = names("d", 2)
	if err := All(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if want := slices.Concat(d.subscriptions, d.snapshots, d.topics, d.schemas); len(d.deleted) != len(want) {
		t.Errorf("%d were deleted, want %d", len(d.deleted), len(want))
	}
	kinds := make([]byte, 0, len(d.deleted))
	for _, name := range d.deleted {
		kinds = append(kinds, name[0])
	}
	if !slices.IsSorted(kinds) {
		t.Errorf("kinds in the order of their deletion: %s", kinds)
	}
}

func TestNothingToDelete(t *testing.T) {
	if err := All(t.Context(), new(double)); err != nil {
		t.Error(err)
	}
}

func TestAFailureDoesNotStopTheRest(t *testing.T) {
	d := &double{subscriptions: []string{"s1", "s2"}, topics: []string{"t"}, fail: map[string]codes.Code{"s1": codes.NotFound}}
	if err := All(t.Context(), d); err != nil {
		t.Errorf("what is gone already is no error: %v", err)
	}
	d.fail["s2"] = codes.Unavailable
	if err := All(t.Context(), d); err == nil || !slices.Contains(d.deleted[3:], "t") {
		t.Errorf("%v, deleted %v", err, d.deleted)
	}
}
