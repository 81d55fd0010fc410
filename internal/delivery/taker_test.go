package delivery

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/engine"
)

func TestMessagesReachASubscriptionInOrderAndAreGoneOnceAcknowledged(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	b.publish("a", "b")
	b.publish("c")
	s := b.stream(Credit{})
	first := b.now(s)
	b.expect("first", first, "a", "b", "c")
	b.ack(first[0], first[2])
	b.clock.Advance(11 * time.Second)
	again := b.now(s)
	b.expect("after the deadline", again, "b")
	b.ack(again...)
	b.clock.Advance(time.Minute)
	b.expect("after all acks", b.now(s))
	s.Leave()
}

func TestABrokenStreamGivesItsMessagesBackAtOnce(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	b.publish("a", "b", "c")
	first, second := b.stream(Credit{}), b.stream(Credit{})
	held := b.now(first)
	b.expect("first stream", held, "a", "b", "c")
	b.ack(held[1])
	b.expect("second stream, all being held", b.now(second))
	first.Leave()
	b.expect("second stream", b.now(second), "a", "c")
	second.Leave()
}

func TestAPullKeepsItsLeasesAfterItEnded(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{AckDeadlineSeconds: 20})
	b.publish("a")
	p, err := b.sub.OpenPull()
	if err != nil {
		t.Fatal(err)
	}
	b.expect("pull", b.now(p), "a")
	p.Leave()
	s := b.stream(Credit{})
	b.clock.Advance(19 * time.Second)
	b.expect("before the subscription's deadline", b.now(s))
	b.clock.Advance(1200 * time.Millisecond)
	b.expect("after it", b.now(s), "a")
	s.Leave()
}

func TestANackOrANewDeadlineTakesEffectAtOnce(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	b.publish("a", "b")
	s := b.stream(Credit{})
	held := b.now(s)
	b.sub.Modify(ids(held[:1]), nil, 0)
	again := b.now(s)
	b.expect("after a nack", again, "a")
	b.sub.Modify(ids(held[1:]), nil, time.Minute)
	b.ack(again...)
	b.clock.Advance(59 * time.Second)
	b.expect("before the longer deadline", b.now(s))
	b.clock.Advance(2 * time.Second)
	b.expect("after it", b.now(s), "b")
	s.Leave()
}

func TestFlowControlHoldsToTheMessage(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	for i := range 50 {
		b.publish(fmt.Sprintf("%05d", i))
	}
	size := int64(len("00000") + 2) // what is stored of a message: its data, tag and length
	tests := []struct {
		credit Credit
		want   int
	}{{Credit{MessagesMax: 7}, 7}, {Credit{BytesMax: 5 * size}, 5}, {Credit{BytesMax: 1}, 1}, {Credit{}, 50}, {Credit{MessagesMax: 3, BytesMax: 100 * size}, 3}}
	for _, test := range tests {
		s := b.stream(test.credit)
		held := b.now(s)
		if len(held) != test.want {
			t.Errorf("%+v: %d messages out, want %d", test.credit, len(held), test.want)
		}
		s.Leave()
	}
	s := b.stream(Credit{MessagesMax: 2})
	for range 25 {
		held := b.now(s)
		if len(held) != 2 {
			t.Fatalf("%d messages out, want 2", len(held))
		}
		b.ack(held...)
	}
	s.Leave()
}

func TestFewMessagesSpreadOverAllWhoWait(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	const streams, messages = 4, 40
	counts := make([]int, streams)
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	total := 0
	for i := range streams {
		s := b.stream(Credit{})
		all.Go(func() {
			defer s.Leave()
			for {
				list, err := s.Take(ctx, 1000, 1<<20)
				if err != nil {
					return
				}
				mu.Lock()
				counts[i] += len(list)
				if total += len(list); total == messages {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	b.asleep(streams)
	b.publish(slices.Repeat([]string{"x"}, messages)...)
	all.Wait()
	for i, n := range counts {
		if n < messages/streams/3 {
			t.Errorf("stream %d got %d of %d messages: %v", i, n, messages, counts)
		}
	}
}

func TestASleepingTakerIsWokenByAPublishAndByANack(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	first, second := b.stream(Credit{MessagesMax: 1}), b.stream(Credit{})
	var held []got
	done := make(chan []Delivery, 1)
	take := func() {
		list, err := second.Take(b.ctx, 10, 1<<20)
		if err != nil {
			t.Error(err)
		}
		done <- list
	}
	b.publish("a")
	held = b.now(first)
	go take()
	b.asleep(1)
	b.sub.Modify(ids(held), nil, 0)
	if list := <-done; len(list) != 1 {
		t.Fatalf("woken by a nack with %d messages", len(list))
	}
	go take()
	b.asleep(1)
	b.publish("b")
	if list := <-done; len(list) != 1 {
		t.Fatalf("woken by a publish with %d messages", len(list))
	}
	first.Leave()
	second.Leave()
}

func TestDeletingASubscriptionEndsItsTakers(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	s := b.stream(Credit{})
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Take(b.ctx, 1, 1); err != nil {
				ended <- err
				return
			}
		}
	}()
	b.asleep(1)
	b.sub.Delete()
	if err := <-ended; status.Code(err) != codes.NotFound {
		t.Errorf("the taker ended with %v", err)
	}
	s.Leave()
	if _, err := b.sub.OpenPull(); status.Code(err) != codes.NotFound {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAMessageReachesAStreamWithRoomForItWhenALargerOneHasGoneElsewhere(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	big := string(slices.Repeat([]byte("x"), 1000))
	narrow := b.stream(Credit{BytesMax: 600})
	b.publish(big[:500])
	if got := b.now(narrow); len(got) != 1 {
		t.Fatalf("the first: %d messages", len(got))
	}
	b.publish(big)
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	taken := make(chan int, 1)
	go func() {
		defer close(taken)
		for {
			deliveries, err := narrow.Take(ctx, 10, 1<<20)
			if err != nil {
				return
			}
			if len(deliveries) > 0 { // else it was kicked before there was anything for it
				taken <- len(deliveries)
				return
			}
		}
	}()
	for waits := false; !waits; runtime.Gosched() { // time stands still: no lease is to end
		b.sub.mu.Lock()
		waits = len(b.sub.queue.starved) > 0
		b.sub.mu.Unlock()
	}
	other := b.stream(Credit{MessagesMax: 1})
	if got := b.now(other); len(got) != 1 {
		t.Fatalf("the other stream: %d messages", len(got))
	}
	b.publish("small")
	select {
	case n := <-taken:
		if n != 1 {
			t.Errorf("%d messages", n)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the stream was never woken")
	}
	other.Leave()
}

// damaged is a shard in which the block at an offset is damaged.
type damaged struct {
	engine.Shard
	at engine.Offset
}

func (d *damaged) Read(ctx context.Context, topic engine.TopicID, from engine.Offset, into *engine.Batch) error {
	if from >= d.at {
		into.Blocks = into.Blocks[:0]
		return &engine.CorruptError{File: "seg-7.log", Offset: 4096, Topic: topic, Reason: "the body does not match"}
	}
	return d.Shard.Read(ctx, topic, from, into)
}

func TestDamageIsToldAsLossOfData(t *testing.T) {
	b := newBench(t, &pubsubpb.Subscription{})
	b.publish("a")
	shard := &damaged{Shard: b.office.Shard, at: 1}
	b.office.Shard = shard
	told := func(what string, s *Taker) {
		t.Helper()
		out, err := s.TakeNow(b.ctx, 10, 1<<20)
		if got := status.Convert(err); len(out) > 0 || got.Code() != codes.DataLoss || !strings.Contains(got.Message(), "seg-7.log at byte 4096") {
			t.Errorf("%s: %d messages, %v", what, len(out), err)
		}
	}
	s := b.stream(Credit{})
	held := b.now(s)
	b.expect("what comes before the damage", held, "a")
	b.publish("b")
	told("a message that was not delivered before", s)
	b.sub.Modify(ids(held), nil, 0)
	shard.at = 0
	told("a message that was", s)
	shard.at = 2
	b.expect("both, when they can be read", b.now(s), "a", "b")
	s.Leave()
}
