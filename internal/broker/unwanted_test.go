package broker

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const wantsYes = `attributes.want = "yes"`

// passedMax is as many messages as are passed over at a time.
const passedMax = 10_000

// publishWanted publishes n messages, numbered from first; of each so many the last is wanted.
func (b *bench) publishWanted(first, n, each int) {
	b.t.Helper()
	for n > 0 {
		request := &pubsubpb.PublishRequest{Topic: topicName}
		for range min(n, 1000) {
			want := "no"
			if (first+1)%each == 0 {
				want = "yes"
			}
			request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{
				Data: []byte(strconv.Itoa(first)), Attributes: map[string]string{"want": want},
			})
			first, n = first+1, n-1
		}
		b.publishRequest(request)
	}
}

func TestAFilteredSubscriptionGetsWhatItWantsAndAcknowledgesTheRest(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprint("ordered ", ordered), func(t *testing.T) {
			b, w := witnessed(t)
			b.topicWith(&pubsubpb.Subscription{Filter: wantsYes, EnableMessageOrdering: ordered})
			id := b.topic(topicName).durable.ID
			b.publishWanted(0, 20, 5)
			s := b.stream(delivery.Credit{})
			list := b.now(s)
			b.expect("what is wanted", list, "4", "9", "14", "19")
			b.ack(list[0], list[2])
			b.until("space up to the first message that is out", func() bool { return w.trim(id) == 9 })
			b.ack(list[1], list[3])
			b.until("all space", func() bool { return w.trim(id) == 20 })
			s.Leave()
		})
	}
}

func TestTheSweeperPassesOverWhatNobodyWantsWhenNobodyTakes(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	id := b.topic(topicName).durable.ID
	b.publishWanted(0, 3*passedMax, 4*passedMax)
	b.until("space of what is not wanted", func() bool { return w.trim(id) == 3*passedMax })
	b.publishWanted(3*passedMax, 2*passedMax, 4*passedMax)
	b.until("space up to what is wanted", func() bool { return w.trim(id) == 4*passedMax-1 })
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.expect("what is wanted", list, strconv.Itoa(4*passedMax-1))
	b.ack(list...)
	b.until("all space", func() bool { return w.trim(id) == 5*passedMax })
	s.Leave()
}

// The message at which the sweeper stands may be acknowledged by somebody who got it before a restart.
func TestTheSweeperGoesOnWhenTheMessageThatIsWantedIsDone(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	id := b.topic(topicName).durable.ID
	b.publishWanted(0, 10, 4)
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.restart()
	b.until("the sweeper stands at it", func() bool { return w.trim(id) == 3 })
	b.ack(list[0])
	b.until("the sweeper stands at the next", func() bool { return w.trim(id) == 7 })
}

func TestWhatWasPassedOverStaysSoAfterARestart(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	b.publishWanted(0, 12, 3)
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	b.expect("before", list, "2", "5", "8", "11")
	b.ack(list[1])
	b.restart() // the sweeper has not told the log yet
	s = b.stream(delivery.Credit{})
	b.expect("after", b.now(s), "2", "8", "11")
	s.Leave()
}

// enqueueWitness adds up the notes that were enqueued.
type enqueueWitness struct {
	engine.Engine
	mu           sync.Mutex
	notes, bytes int
}

type enqueueShard struct {
	engine.Shard
	witness *enqueueWitness
}

func (w *enqueueWitness) Own(ctx context.Context, id engine.ShardID, m engine.Machine) (engine.Shard, error) {
	shard, err := w.Engine.Own(ctx, id, m)
	return &enqueueShard{shard, w}, err
}

func (s *enqueueShard) Enqueue(recs []engine.Record) error {
	s.witness.mu.Lock()
	for i := range recs {
		s.witness.notes++
		s.witness.bytes += len(recs[i].Body)
	}
	s.witness.mu.Unlock()
	return s.Shard.Enqueue(recs)
}

func TestPassingOverManyMessagesCostsTheLogLittle(t *testing.T) {
	const messages = 100_000
	b := newBench(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	w := &enqueueWitness{Engine: memory.Open(new(memory.Store), b.clock)}
	b.engine = w
	b.open()
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	b.publishWanted(0, messages, 1000)
	s := b.stream(delivery.Credit{})
	list := b.now(s)
	if len(list) != messages/1000 {
		t.Fatal(len(list), "messages")
	}
	b.until("the log knows", func() bool { return b.durable().Floor() == 999 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notes > 2 || w.bytes > messages/1000*8 {
		t.Errorf("%d notes with %d bytes for %d messages", w.notes, w.bytes, messages)
	}
	s.Leave()
}

func TestAMessageThatIsNotWantedCostsNoAllocation(t *testing.T) {
	const messages = 100
	b := newBench(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	quiet := &quietEngine{Engine: b.engine}
	b.engine = quiet
	b.open()
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	quiet.shard.quiet = true

	request := &pubsubpb.PublishRequest{Topic: topicName}
	for i := range messages {
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{Data: make([]byte, 1024), Attributes: map[string]string{"want": strconv.Itoa(i)}})
	}
	raw, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var p wire.Publish
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	list := make([]*delivery.Subscription, 1)
	round := func() {
		if err := p.Scan(raw); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Publish(b.ctx, &p); err != nil {
			t.Fatal(err)
		}
		if list, err := s.TakeNow(b.ctx, messages, 1<<20); err != nil || len(list) > 0 {
			t.Fatal(len(list), err)
		}
		list[0] = b.sub()
		b.office.PassOver(b.ctx, list) // which tells the log
	}
	for range 100 {
		round()
	}
	if perCall := testing.AllocsPerRun(500, round); perCall > 6 {
		t.Errorf("%.1f allocations for %d messages published and passed over", perCall, messages)
	} else {
		t.Logf("%.1f allocations for %d messages published and passed over", perCall, messages)
	}
}
