package broker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// fullShard refuses blocks while it is full, and counts appends of blocks with others.
type fullShard struct {
	engine.Shard
	full     atomic.Bool
	forwards atomic.Int32
}

type fullEngine struct {
	engine.Engine
	shard *fullShard
}

func (e *fullEngine) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	shard, err := e.Engine.Own(ctx, id, m)
	e.shard = &fullShard{Shard: shard}
	return e.shard, err
}

func (s *fullShard) Append(ctx context.Context, records []engine.Record) error {
	if len(records) == 2 {
		s.forwards.Add(1)
		if s.full.Load() {
			return engine.ErrFull
		}
	}
	return s.Shard.Append(ctx, records)
}

// onFull puts the bench on an engine that can be full.
func onFull(t *testing.T, b *bench) *fullEngine {
	t.Helper()
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	e := &fullEngine{Engine: b.engine}
	b.engine = e
	b.open()
	return e
}

func TestOnAFullDiskDeadMessagesStay(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	e := onFull(t, b)
	b.publish("x")
	e.shard.full.Store(true)
	s := b.stream(delivery.Credit{})
	b.exhaust(s, "x")
	if letters := b.mourned(); len(letters) != 0 {
		t.Fatalf("dead letters %v on a full disk", letters)
	}
	e.shard.full.Store(false)
	b.clock.Advance(2 * time.Second)
	if got := b.exhaust(s, "x"); !slices.Equal(got, []int32{6}) {
		t.Errorf("attempts %v, want 6", got)
	}
	if letters := b.mourned(); len(letters) != 1 {
		t.Errorf("dead letters %v", letters)
	}
}

func TestManyDeadMessagesAreForwardedTogether(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	e := onFull(t, b)
	const count = 1000
	for i := range count {
		b.publish(fmt.Sprint(i))
	}
	s := b.stream(delivery.Credit{})
	for range attemptsMax {
		b.takeFull(s)
		b.clock.Advance(11 * time.Second)
	}
	letters := b.mourned()
	if len(letters) != count || letters[0].text != "0" || letters[count-1].text != "999" {
		t.Errorf("%d dead letters, want %d in order", len(letters), count)
	}
	if n := e.shard.forwards.Load(); n > count/500+1 {
		t.Errorf("%d appends for %d dead letters", n, count)
	}
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *safeBuffer) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.buf.String(), text)
}

func TestTheLogWarnsOfDeadLettersThatReachNobody(t *testing.T) {
	b := newBench(t)
	var log safeBuffer
	b.logger = slog.New(slog.NewTextHandler(&log, nil))
	b.office.Logger = b.logger
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: graveName}); err != nil {
		t.Fatal(err)
	}
	b.topicWith(&pubsubpb.Subscription{DeadLetterPolicy: deadLetters(graveName)})
	if log.count("has no subscription") != 1 {
		t.Error("no warning that the dead letter topic has no subscription")
	}
	if err := b.DeleteTopic(b.ctx, graveName); err != nil {
		t.Fatal(err)
	}
	change := &pubsubpb.Subscription{Name: subName, AckDeadlineSeconds: 20}
	if _, err := b.UpdateSubscription(b.ctx, change, &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}}); err != nil {
		t.Fatal(err)
	}
	if log.count("does not exist") != 1 {
		t.Error("no warning that the dead letter topic does not exist")
	}
	b.publish("x")
	s := b.stream(delivery.Credit{})
	for range 10 {
		b.exhaust(s, "x")
		b.clock.Advance(7 * time.Second)
	}
	if n := log.count("cannot be forwarded and"); n < 1 || n > 2 {
		t.Errorf("%d warnings in 70 seconds that dead letters cannot be forwarded, want one a minute", n)
	}
}
