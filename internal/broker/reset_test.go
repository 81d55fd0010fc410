package broker

import (
	"fmt"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

func TestResetLeavesNothing(t *testing.T) {
	b := newBench(t)
	if err := b.Reset(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.topicWith(&pubsubpb.Subscription{})
	for i := range 3 * resetConcurrency {
		if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: fmt.Sprintf("projects/p%d/topics/ttt", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.SetPolicy(b.ctx, topicName, viewer(), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Reset(b.ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if len(b.topics) != 0 || len(b.subscriptions) != 0 {
			t.Errorf("%d topics and %d subscriptions are left", len(b.topics), len(b.subscriptions))
		}
		b.restart()
	}
	b.topicWith(&pubsubpb.Subscription{})
	if p := b.policyOf(topicName); len(p.Bindings) != 0 {
		t.Errorf("a policy is left: %v", p)
	}
}
