package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"
)

// holdDeadlineSeconds is the ack deadline of streams that hold a backlog: the longest there is.
const holdDeadlineSeconds = 600

// Fill publishes that many messages, a multiple of what a call carries, numbered from 0.
func (c *Client) Fill(ctx context.Context, topic string, shape Shape, inFlight int, messages uint64) error {
	p, err := c.newPublisher([]string{topic}, shape, inFlight)
	if err != nil {
		return err
	}
	if messages == 0 || messages%uint64(shape.MessagesPerCall) != 0 {
		return fmt.Errorf("fill: %d messages are no multiple of %d", messages, shape.MessagesPerCall)
	}
	p.limit = messages
	if err := p.run(ctx); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return nil
}

// Held is a backlog that was delivered and not acknowledged. Its streams are open until Close: what they hold would otherwise go back.
type Held struct {
	client       *Client
	subscription string
	subscriber   *subscriber

	mu         sync.Mutex
	ids        []byte // encoded as in AcknowledgeRequest.ack_ids, all of one length
	fieldBytes int
	numbers    []uint32
}

// Hold receives that many messages, acknowledges none and keeps their ack ids: about 60 bytes for each. It fails on a message that comes
// twice, and when nothing came for stallMax.
func (c *Client) Hold(ctx context.Context, subscription string, streams int, messages uint64, stallMax time.Duration) (*Held, error) {
	h := &Held{client: c, subscription: subscription}
	s, err := c.subscribe(ctx, subscription, 0, reception{streams: streams, deadline: holdDeadlineSeconds,
		flow: Flow{MessagesMax: int64(messages) + 1, BytesMax: 1 << 50}, keep: h.add})
	if err != nil {
		return nil, fmt.Errorf("hold: %w", err)
	}
	h.subscriber = s
	if err := s.wait(ctx, messages, stallMax); err != nil {
		return nil, errors.Join(fmt.Errorf("hold: %w", err), h.Close())
	}
	if unique, duplicates, _ := s.tracker.progress(); unique != messages || duplicates > 0 {
		return nil, errors.Join(fmt.Errorf("hold: %d messages came, %d of them again, want %d", unique, duplicates, messages), h.Close())
	}
	return h, nil
}

func (h *Held) add(acks []byte, numbers []uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(numbers) == 0 {
		return nil
	}
	if h.fieldBytes == 0 {
		h.fieldBytes = len(acks) / len(numbers)
	}
	if len(acks) != h.fieldBytes*len(numbers) {
		return fmt.Errorf("%d acknowledgement ids take %d bytes, and others had %d each", len(numbers), len(acks), h.fieldBytes)
	}
	h.ids = append(h.ids, acks...)
	for _, number := range numbers {
		h.numbers = append(h.numbers, uint32(number))
	}
	return nil
}

// Len is how many messages are held.
func (h *Held) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.numbers)
}

// AckAtRandom acknowledges that many of the held messages, chosen and ordered at random, by confirmed calls with 1,000 ids, inFlight at a
// time. It returns how long that took, and the numbers of the messages that are still held. To be called once.
func (h *Held) AckAtRandom(ctx context.Context, count, inFlight int, seed uint64) (elapsed time.Duration, left []uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if count > len(h.numbers) {
		return 0, nil, fmt.Errorf("acknowledge %d of %d messages", count, len(h.numbers))
	}
	order := rand.New(rand.NewPCG(seed, 1)).Perm(len(h.numbers))
	var next atomic.Int64
	start := time.Now()
	err = h.client.spread(ctx, inFlight, inFlight, func(ctx context.Context, worker, _ int) error {
		head := appendSubscription(nil, h.subscription)
		var ids []byte
		for {
			from := int(next.Add(confirmIDsMax)) - confirmIDsMax
			if from >= count {
				return nil
			}
			ids = ids[:0]
			for _, i := range order[from:min(from+confirmIDsMax, count)] {
				ids = append(ids, h.ids[i*h.fieldBytes:][:h.fieldBytes]...)
			}
			request := &Encoded{Buffers: mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(ids)}}
			if err := h.client.connection(worker).Invoke(ctx, acknowledgeMethod, request, emptyReply{}); err != nil {
				return fmt.Errorf("acknowledge at random: %w", err)
			}
		}
	})
	elapsed = time.Since(start)
	for _, i := range order[count:] {
		left = append(left, uint64(h.numbers[i]))
	}
	return elapsed, left, err
}

// Close ends the streams. What they hold goes back to the subscription.
func (h *Held) Close() error { return ignoreCanceled(h.subscriber.close()) }

// DrainExactly receives and acknowledges until it has these messages, and fails if one that is not among them comes before.
func (c *Client) DrainExactly(ctx context.Context, subscription string, streams int, want []uint64, stallMax time.Duration) error {
	s, err := c.subscribe(ctx, subscription, 0, reception{streams: streams})
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if err := s.wait(ctx, uint64(len(want)), stallMax); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), s.close())
	}
	if err := s.close(); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	unique, _, _ := s.tracker.progress()
	for _, number := range want {
		if !s.tracker.has(number) {
			return fmt.Errorf("drain: %w: not message %d, and one in its place that had been acknowledged", ErrLost, number)
		}
		unique--
	}
	if unique > 0 {
		return fmt.Errorf("drain: %d messages came that had been acknowledged", unique)
	}
	return nil
}
