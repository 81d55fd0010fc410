package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

const endpoint = "http://localhost/push"

func pushed(name string) *pubsubpb.Subscription {
	return &pubsubpb.Subscription{Name: name, PushConfig: &pubsubpb.PushConfig{PushEndpoint: endpoint}}
}

// pushChanges gives the names of the subscriptions of which the broker says that they changed since it was asked last.
func (b *bench) pushChanges() map[string]bool {
	b.t.Helper()
	names := make(map[string]bool)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	changed, _ := b.PushChanges(ctx) // which waits for nothing
	for _, s := range changed {
		names[s.Name()] = true
	}
	return names
}

func (b *bench) wantPushChanges(what string, names ...string) {
	b.t.Helper()
	got := b.pushChanges()
	for _, name := range names {
		if !got[name] {
			b.t.Errorf("%s: nothing is said of %s", what, name)
		}
	}
	if len(got) != len(names) {
		b.t.Errorf("%s: changes of %v, want of %v", what, got, names)
	}
}

func TestPushersAreToldOfEveryChange(t *testing.T) {
	b := newBench(t)
	const first, second, third = "projects/p/subscriptions/first", "projects/p/subscriptions/second", "projects/p/subscriptions/third"
	b.topicWith(pushed(first), &pubsubpb.Subscription{Name: second}, pushed(third))
	b.wantPushChanges("creation", first, third)
	b.wantPushChanges("nothing")
	for _, push := range []*pubsubpb.PushConfig{{PushEndpoint: endpoint}, {PushEndpoint: endpoint + "/x"}, nil} {
		if err := b.ModifyPushConfig(b.ctx, second, push); err != nil {
			t.Fatal(err)
		}
		b.wantPushChanges("modification", second)
	}
	update := &pubsubpb.Subscription{Name: second, Labels: map[string]string{"a": "b"}}
	if _, err := b.UpdateSubscription(b.ctx, update, &fieldmaskpb.FieldMask{Paths: []string{"labels"}}); err != nil {
		t.Fatal(err)
	}
	b.wantPushChanges("a change of one that is pulled")
	if err := b.DeleteSubscription(b.ctx, third); err != nil {
		t.Fatal(err)
	}
	b.wantPushChanges("deletion", third)
	b.restart()
	b.wantPushChanges("restart", first)
	b.Drain()
	b.wantPushChanges("drain", first)
}

func TestWaitForPushChangesEnds(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.PushChanges(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	told := make(chan error)
	go func() {
		changed, err := b.PushChanges(context.Background())
		if err == nil && len(changed) != 1 {
			err = errors.New("more than the one that was made")
		}
		told <- err
	}()
	b.topicWith(pushed(subName))
	if err := <-told; err != nil {
		t.Error(err)
	}
}

func TestPushTargetSaysWhatThePusherNeeds(t *testing.T) {
	b := newBench(t)
	s := pushed(subName)
	s.AckDeadlineSeconds, s.EnableMessageOrdering, s.RetryPolicy = 42, true, &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second)}
	b.topicWith(s)
	sub, err := b.Subscription(subName)
	if err != nil {
		t.Fatal(err)
	}
	target, gone := sub.PushTarget()
	if target == nil || gone {
		t.Fatalf("%v, gone %v", target, gone)
	}
	if target.Subscription != subName || target.Config.PushEndpoint != endpoint || target.AckDeadline != 42*time.Second || !target.Ordered || !target.Retry {
		t.Errorf("%+v", target)
	}
	if err := b.ModifyPushConfig(b.ctx, subName, nil); err != nil {
		t.Fatal(err)
	}
	if target, gone := sub.PushTarget(); target != nil || gone {
		t.Errorf("pulled: %v, gone %v", target, gone)
	}
	b.Drain()
	if target, gone := sub.PushTarget(); target != nil || gone {
		t.Errorf("draining: %v, gone %v", target, gone)
	}
	b.restart()
	if sub, err = b.Subscription(subName); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteSubscription(b.ctx, subName); err != nil {
		t.Fatal(err)
	}
	if target, gone := sub.PushTarget(); target != nil || !gone {
		t.Errorf("deleted: %v, gone %v", target, gone)
	}
}

func TestOnlyThoseWhoPushTakeFromAPushSubscription(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{})
	sub, err := b.Subscription(subName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.OpenPush(time.Second); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("push from one that is pulled: %v", err)
	}
	puller, err := sub.OpenPull()
	if err != nil {
		t.Fatal(err)
	}
	defer puller.Leave()
	if err := b.ModifyPushConfig(b.ctx, subName, &pubsubpb.PushConfig{PushEndpoint: endpoint}); err != nil {
		t.Fatal(err)
	}
	if _, err := puller.TakeNow(b.ctx, 1, 1); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("pull after the change to push: %v", err)
	}
	if _, err := sub.OpenPull(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("pull from one that is pushed: %v", err)
	}
	pusher, err := sub.OpenPush(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer pusher.Leave()
	if err := b.ModifyPushConfig(b.ctx, subName, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := pusher.TakeNow(b.ctx, 1, 1); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("push after the change to pull: %v", err)
	}
}

func TestDocumentsArePutFoundAndDeleted(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"one", "two"} {
		if err := b.PutDocument(b.ctx, "kind", name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.DeleteDocument(b.ctx, "kind", "one"); err != nil {
		t.Fatal(err)
	}
	b.restart()
	found := make(map[string]string)
	b.Documents("kind", func(name string, body []byte) bool { found[name] = string(body); return true })
	if len(found) != 1 || found["two"] != "two" {
		t.Errorf("%v", found)
	}
}
