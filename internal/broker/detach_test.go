package broker

import (
	"fmt"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
)

func wantError(t *testing.T, what string, err error, code codes.Code, text string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || s.Message() != text {
		t.Errorf("%s: %v, want %v: %s", what, err, code, text)
	}
}

func TestADetachedSubscriptionServesNobodyAndHoldsNothing(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a", "b", "c")
	id := b.topic(topicName).durable.ID
	s := b.stream(delivery.Credit{})
	held := b.now(s)
	if err := b.DetachSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		_, err := b.sub().OpenPull()
		wantError(t, "a pull", err, codes.FailedPrecondition, "Subscription is detached.")
		wantError(t, "a second detachment", b.DetachSubscription(b.ctx, subName), codes.FailedPrecondition, "Subscription already detached.")
		config, err := b.GetSubscription(subName)
		if err != nil || !config.Detached || config.Topic != topicName {
			t.Errorf("described as %v, %v", config, err)
		}
		if names, _, err := b.ListTopicSubscriptions(topicName, 0, ""); err != nil || len(names) > 0 {
			t.Errorf("its topic lists %q, %v", names, err)
		}
	}
	_, err := s.Take(b.ctx, 10, 1<<20)
	wantError(t, "the stream that was open", err, codes.FailedPrecondition, "Subscription is detached.")
	b.ack(held[:2]...) // comes too late, and does no harm
	s.Leave()
	check()
	b.publish("d")
	b.until("all space", func() bool { return w.trim(id) == 4 })
	update := &pubsubpb.Subscription{Name: subName, AckDeadlineSeconds: 77, Detached: false}
	if _, err := b.UpdateSubscription(b.ctx, update, &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}}); err != nil {
		t.Error(err)
	}
	check()
	b.restart()
	check()
	wantError(t, "a seek", b.SeekToTime(b.ctx, subName, 0), codes.FailedPrecondition, "Subscription is detached.")
}

func TestTheTopicOfADetachedSubscriptionCanBeForgotten(t *testing.T) {
	for _, topicFirst := range []bool{false, true} {
		t.Run(fmt.Sprint("topic deleted first ", topicFirst), func(t *testing.T) {
			b, w := witnessed(t)
			b.topicWith(&pubsubpb.Subscription{})
			b.publish("a")
			id := b.topic(topicName).durable.ID
			steps := []func() error{
				func() error { return b.DetachSubscription(b.ctx, subName) },
				func() error { return b.DeleteTopic(b.ctx, topicName) },
			}
			if topicFirst {
				steps[0], steps[1] = steps[1], steps[0]
			}
			for _, step := range steps {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			b.until("the engine forgets the topic", func() bool { return w.trim(id) == engine.Everything })
			for range 2 {
				config, err := b.GetSubscription(subName)
				if err != nil || !config.Detached || config.Topic != catalog.DeletedTopic {
					t.Errorf("described as %v, %v", config, err)
				}
				b.restart()
			}
			b.topicWith() // another of the name: it is not attached to that
			b.publish("b")
			if names, _, _ := b.ListTopicSubscriptions(topicName, 0, ""); len(names) > 0 {
				t.Errorf("attached again: %q", names)
			}
			if err := b.DeleteSubscription(b.ctx, subName); err != nil {
				t.Error(err)
			}
			b.restart()
			if _, err := b.GetSubscription(subName); status.Code(err) != codes.NotFound {
				t.Error("still there:", err)
			}
		})
	}
}

func TestADetachedSubscriptionOutlivesItsTopicAndStaysUsable(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	b.publish("a")
	s := b.stream(delivery.Credit{})
	held := b.now(s)
	if err := b.DetachSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteTopic(b.ctx, topicName); err != nil {
		t.Fatal(err)
	}
	s.Leave()
	b.ack(held...)
	for range 2 {
		change := &pubsubpb.Subscription{Name: subName, Labels: map[string]string{"a": "b"}}
		if _, err := b.UpdateSubscription(b.ctx, change, &fieldmaskpb.FieldMask{Paths: []string{"labels"}}); err != nil {
			t.Fatal(err)
		}
		b.restart()
	}
	if got, err := b.GetSubscription(subName); err != nil || got.Labels["a"] != "b" || !got.Detached {
		t.Errorf("%v, %v", got, err)
	}
}
