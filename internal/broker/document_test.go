package broker

import (
	"bytes"
	"slices"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/iam"
)

func viewer() *iampb.Policy {
	return &iampb.Policy{Bindings: []*iampb.Binding{{Role: "roles/pubsub.viewer", Members: []string{"user:a@example.com"}}}}
}

func (b *bench) policies() iam.Policies { return iam.Policies{Resources: b.Broker} }

func (b *bench) policyOf(name string) *iampb.Policy {
	b.t.Helper()
	p, err := b.policies().Get(name, 3)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func TestAPolicySurvivesARestart(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	for _, name := range []string{topicName, subName} {
		if p := b.policyOf(name); len(p.Bindings) != 0 || p.Version != 0 || len(p.Etag) == 0 {
			t.Errorf("%s begins with the policy %v", name, p)
		}
		set, err := b.policies().Set(b.ctx, name, viewer(), nil)
		if err != nil {
			t.Fatal(err)
		}
		b.restart()
		if got := b.policyOf(name); !proto.Equal(got, set) {
			t.Errorf("after a restart %s has the policy %v, want %v", name, got, set)
		}
	}
}

func TestAPolicyEndsWithItsResource(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	unset := b.policyOf(topicName)
	for _, name := range []string{topicName, subName} {
		if _, err := b.policies().Set(b.ctx, name, viewer(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.DeleteSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTopic(b.ctx, topicName); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{topicName, subName} {
		if _, err := b.policies().Get(name, 0); status.Code(err) != codes.NotFound {
			t.Errorf("policy of the deleted %s: %v", name, err)
		}
		if _, err := b.policies().Set(b.ctx, name, viewer(), nil); status.Code(err) != codes.NotFound {
			t.Errorf("policy set on the deleted %s: %v", name, err)
		}
	}
	b.restart()
	b.topicWith(&pubsubpb.Subscription{})
	for _, name := range []string{topicName, subName} {
		if got := b.policyOf(name); !proto.Equal(got, unset) {
			t.Errorf("the new %s has the policy %v", name, got)
		}
	}
}

func TestOnlyTheNewestEtagMayReplaceAPolicy(t *testing.T) {
	b := newBench(t)
	b.topicWith()
	begin := b.policyOf(topicName)
	in := viewer()
	in.Etag = begin.Etag
	set, err := b.policies().Set(b.ctx, topicName, in, nil)
	if err != nil || bytes.Equal(set.Etag, begin.Etag) {
		t.Fatalf("set: %v, %v", set, err)
	}
	if _, err := b.policies().Set(b.ctx, topicName, in, nil); status.Code(err) != codes.Aborted {
		t.Errorf("set with an old etag: %v", err)
	}
	if got := b.policyOf(topicName); !proto.Equal(got, set) {
		t.Errorf("a refused policy left %v, want %v", got, set)
	}
}

func TestEveryCallerHoldsEveryPermissionOnWhatThereIs(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	for _, c := range []struct {
		resource string
		ask      []string
		held     []string
		code     codes.Code
	}{
		{topicName, []string{"pubsub.topics.publish", "pubsub.topics.get", "pubsub.topics.get"}, []string{"pubsub.topics.get", "pubsub.topics.publish"}, codes.OK},
		{subName, []string{"pubsub.subscriptions.consume"}, []string{"pubsub.subscriptions.consume"}, codes.OK},
		{"projects/p/topics/none", []string{"pubsub.topics.get"}, nil, codes.OK},
		{"projects/p/snapshots/none", []string{"pubsub.snapshots.get"}, nil, codes.OK},
		{"projects/p/schemas/none", []string{"pubsub.schemas.get"}, nil, codes.OK},
		{subName, []string{"pubsub.topics.get"}, nil, codes.InvalidArgument},
		{"projects/p/topics/none", []string{"pubsub.topics.create"}, nil, codes.InvalidArgument},
		{"projects/p/none/none", nil, nil, codes.InvalidArgument},
	} {
		held, err := b.policies().Test(c.resource, c.ask)
		if status.Code(err) != c.code || !slices.Equal(held, c.held) {
			t.Errorf("%s, %q: %q, %v; want %q, %v", c.resource, c.ask, held, err, c.held, c.code)
		}
	}
}
