package blackbox

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// holder is a stream with limits, and a record of what it holds.
type holder struct {
	*stream
	messagesMax int
	bytesMax    int
	until       map[string]time.Time // by ack id: the message is held that long, at least
	size        map[string]int
	received    int
}

// settle makes something of a message: done, given back, or held until its lease ends.
func (h *holder) settle(r *rand.Rand, id string) error {
	request := new(pb.StreamingPullRequest)
	switch n := r.IntN(50); {
	case n < 20:
		request.AckIds = []string{id}
		delete(h.until, id)
	case n < 48:
		request.ModifyDeadlineAckIds, request.ModifyDeadlineSeconds = []string{id}, []int32{0}
		delete(h.until, id)
	default:
		request.ModifyDeadlineAckIds, request.ModifyDeadlineSeconds = []string{id}, []int32{1}
		h.until[id] = time.Now().Add(time.Second)
	}
	return h.Send(request)
}

// arrive takes in a message and says whether it should not have been sent.
func (h *holder) arrive(m *pb.ReceivedMessage, at time.Time) error {
	count, size := 0, 0
	for id, until := range h.until {
		if !until.After(at) {
			delete(h.until, id) // its lease had ended
			continue
		}
		count, size = count+1, size+h.size[id]
	}
	own := proto.Size(&pb.PubsubMessage{Data: m.Message.Data})
	h.until[m.AckId], h.size[m.AckId] = at.Add(10*time.Second), own
	h.received++
	if count+1 > h.messagesMax {
		return fmt.Errorf("holds %d messages, of at most %d", count+1, h.messagesMax)
	}
	if count > 0 && size+own > h.bytesMax {
		return fmt.Errorf("holds %d messages of %d bytes, of at most %d", count+1, size+own, h.bytesMax)
	}
	return nil
}

// work receives and settles for a while, and until it has received enough.
func (h *holder) work(r *rand.Rand, while time.Duration) error {
	over, late := time.After(while), time.After(patience)
	for {
		select {
		case response := <-h.responses:
			for _, m := range response.ReceivedMessages {
				if err := h.arrive(m, response.at); err != nil {
					return err
				}
			}
			for _, m := range response.ReceivedMessages {
				if err := h.settle(r, m.AckId); err != nil {
					return err
				}
			}
		case err := <-h.ended:
			return err
		case <-over:
			if h.received >= heldLeast {
				return nil
			}
			over = time.After(100 * time.Millisecond) // a busy machine takes longer
		case <-late:
			return nil
		}
	}
}

// heldLeast is how many messages each holder must receive, so that there was something to count.
const heldLeast = 50

func TestFlowControlHoldsUnderNacksAndExpiriesOfSeveralStreams(t *testing.T) {
	t.Parallel()
	const streams = 4
	s := common(t)
	topic, sub := s.pair(t, "x")
	for range 5 {
		r := &pb.PublishRequest{Topic: topic}
		for i := range 1000 {
			// Some are bigger than a whole stream may hold: they come alone.
			r.Messages = append(r.Messages, &pb.PubsubMessage{Data: bytes.Repeat([]byte("x"), []int{10, 100, 400, 900, 2500}[i%5])})
		}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	holders := make([]*holder, streams)
	errs := make([]error, streams)
	var all sync.WaitGroup
	for i := range holders {
		first := open(sub)
		first.MaxOutstandingMessages, first.MaxOutstandingBytes = int64(3+i), 2000
		h := &holder{stream: s.stream(t, first), messagesMax: 3 + i, bytesMax: 2000, until: map[string]time.Time{}, size: map[string]int{}}
		holders[i] = h
		all.Go(func() { errs[i] = h.work(rand.New(rand.NewPCG(1, uint64(i))), 5*time.Second) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	for i, h := range holders {
		if h.received < heldLeast {
			t.Errorf("stream %d received no more than %d messages", i, h.received)
		}
	}
}

// TestASlowSubscriptionCostsTheOthersLittle drains a subscription again and again, with and without a slow neighbour on the same topic that
// holds a backlog and never acknowledges. Machines that run tests are noisy: a round is compared with the one right before it, which had the
// same weather, the best of these counts, and half as much again is slow.
func TestASlowSubscriptionCostsTheOthersLittle(t *testing.T) {
	const (
		rounds   = 20
		messages = 20_000
		slowMost = 1.5
	)
	s := own(t)
	var alone time.Duration // of the round before
	best := math.Inf(1)
	for round := range rounds {
		slow := round%2 == 1
		topic, fast := s.pair(t, fmt.Sprint("round", round))
		if slow {
			neighbour := s.subscription(t, fmt.Sprint("slow", round), topic)
			first := open(neighbour)
			first.MaxOutstandingMessages = 1
			s.stream(t, first)
		}
		st := s.stream(t, open(fast))
		data := make([]string, 1000)
		for i := range data {
			data[i] = fmt.Sprintf("%01000d", i)
		}
		began := time.Now()
		for range messages / len(data) {
			s.publish(t, topic, data...)
			for _, m := range st.take(t, len(data)) {
				st.send(t, &pb.StreamingPullRequest{AckIds: []string{m.AckId}})
			}
		}
		took := time.Since(began)
		st.cancel()
		if !slow {
			alone = took
			continue
		}
		t.Logf("%d messages in %v alone, in %v beside a slow subscription", messages, alone, took)
		if best = min(best, took.Seconds()/alone.Seconds()); best <= slowMost {
			return
		}
	}
	t.Errorf("beside a slow subscription it took %.2f times as long at best, want %v", best, slowMost)
}
