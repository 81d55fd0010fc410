package broker

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const wantsYes = `attributes.want = "yes"`

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
			s := b.stream(Credit{})
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
	b.publishWanted(0, 3*passedMessagesMax, 4*passedMessagesMax)
	b.until("space of what is not wanted", func() bool { return w.trim(id) == 3*passedMessagesMax })
	b.publishWanted(3*passedMessagesMax, 2*passedMessagesMax, 4*passedMessagesMax)
	b.until("space up to what is wanted", func() bool { return w.trim(id) == 4*passedMessagesMax-1 })
	s := b.stream(Credit{})
	list := b.now(s)
	b.expect("what is wanted", list, strconv.Itoa(4*passedMessagesMax-1))
	b.ack(list...)
	b.until("all space", func() bool { return w.trim(id) == 5*passedMessagesMax })
	s.Leave()
}

// The message at which the sweeper stands may be acknowledged by somebody who got it before a restart.
func TestTheSweeperGoesOnWhenTheMessageThatIsWantedIsDone(t *testing.T) {
	b, w := witnessed(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	id := b.topic(topicName).durable.ID
	b.publishWanted(0, 10, 4)
	s := b.stream(Credit{})
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
	s := b.stream(Credit{})
	list := b.now(s)
	b.expect("before", list, "2", "5", "8", "11")
	b.ack(list[1])
	b.restart() // the sweeper has not told the log yet
	s = b.stream(Credit{})
	b.expect("after", b.now(s), "2", "8", "11")
	s.Leave()
}

func TestMessagesThatAreNotWantedTakeNoCredit(t *testing.T) {
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	b.publishWanted(0, 40, 10)
	s := b.stream(Credit{MessagesMax: 2})
	list := b.now(s)
	b.expect("the first two", list, "9", "19")
	b.expect("none beyond the credit", b.now(s))
	b.ack(list...)
	b.expect("the others", b.now(s), "29", "39")
	s.Leave()
}

// TestAFarMessageIsFound has more messages before the one that is wanted than are passed over at a time.
func TestAFarMessageIsFound(t *testing.T) {
	const far = 5*passedMessagesMax + 5
	b := newBench(t)
	b.topicWith(&pubsubpb.Subscription{Filter: wantsYes})
	b.publishWanted(0, far+3, far)
	t.Run("by one who does not wait", func(t *testing.T) {
		s := b.stream(Credit{})
		b.expect("what is wanted", b.now(s), strconv.Itoa(far-1))
		s.Leave()
	})
	b.restart()
	t.Run("by one who waits", func(t *testing.T) {
		s := b.stream(Credit{})
		defer s.Leave()
		for rounds := 1; ; rounds++ {
			list, err := s.Take(b.ctx, 10, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 1 {
				b.expect("what is wanted", []got{b.read(&list[0])}, strconv.Itoa(far-1))
				if rounds < 2 {
					t.Error("all was passed over in one go, with the lock held")
				}
				return
			}
		}
	})
	b.restart()
	t.Run("by another when the first leaves on the way", func(t *testing.T) {
		other := b.stream(Credit{})
		defer other.Leave()
		found := make(chan string)
		ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
		defer cancel()
		first := b.stream(Credit{})
		if list, err := first.Take(ctx, 10, 1<<20); err != nil || len(list) > 0 {
			t.Fatal(len(list), err)
		}
		go func() {
			for {
				list, err := other.Take(ctx, 10, 1<<20)
				if err != nil {
					found <- err.Error()
					return
				}
				if len(list) > 0 {
					found <- b.read(&list[0]).text
					return
				}
			}
		}()
		first.Leave()
		if text := <-found; text != strconv.Itoa(far-1) {
			t.Error("found", text)
		}
	})
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
	s := b.stream(Credit{})
	list := b.now(s)
	if len(list) != messages/1000 {
		t.Fatal(len(list), "messages")
	}
	b.until("the log knows", func() bool { return s.sub.durable.Floor() == 999 })
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
	s := b.stream(Credit{})
	defer s.Leave()
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
		if err := s.sub.tell(1); err != nil {
			t.Fatal(err)
		}
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
