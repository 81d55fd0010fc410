package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	streamDeadlineSeconds = 60        // ack deadline of the generator's streams and subscriptions
	ackRequestBytesAim    = 256 << 10 // acknowledgements of several responses travel together up to this size
	ackBufferBytes        = 64 << 10
	ackBuffersWaiting     = 16
)

// Flow is what one stream may hold unacknowledged.
type Flow struct {
	MessagesMax int64
	BytesMax    int64
}

// DefaultFlow lets a stream run ahead of its acknowledgements far enough to keep a fast server busy.
func DefaultFlow() Flow { return Flow{MessagesMax: 20_000, BytesMax: 64 << 20} }

// ackBuffers are for requests of acknowledgements. gRPC's own pool clears what it hands out, which would cost more than the scan.
var ackBuffers mem.BufferPool = &ackPool{}

type ackPool struct {
	free sync.Pool
}

// Get returns a buffer of n bytes with any content.
func (p *ackPool) Get(n int) *[]byte {
	if buffer, ok := p.free.Get().(*[]byte); ok && cap(*buffer) >= n {
		*buffer = (*buffer)[:n]
		return buffer
	}
	buffer := make([]byte, n)
	return &buffer
}

// Put takes a buffer back.
func (p *ackPool) Put(buffer *[]byte) { p.free.Put(buffer) }

// pullStream is one StreamingPull: the receiver scans responses and hands encoded acknowledgements to the sender.
type pullStream struct {
	stream  grpc.ClientStream
	clock   clock
	tracker *tracker
	poison  uint64                                    // 0: none; else every such message fails
	nacks   []byte                                    // encoded as StreamingPullRequest.modify_deadline_ack_ids
	keep    func(acks []byte, numbers []uint64) error // instead of acknowledging; nil: acknowledge
	order   *order                                    // nil: messages have no keys
	confirm bool                                      // acknowledgements are unary calls, and what they say counts
	acks    chan ackBatch
	numbers []uint64
	keys    []int
	refused error // by Receive
	latency Histogram

	countFrom atomic.Int64 // deliveries of messages sent before this time are not in latency
}

// Receive scans one response; gRPC calls it from RecvMsg, so only the receiver runs it.
func (s *pullStream) Receive(data mem.BufferSlice) error {
	s.refused = s.scan(data)
	return s.refused
}

func (s *pullStream) scan(data mem.BufferSlice) error {
	nanoseconds, now := s.clock.now(), time.Now()
	s.numbers, s.keys = s.numbers[:0], s.keys[:0]
	buffer := ackBuffers.Get(ackBufferBytes)
	scanner := newDeliveryScanner(data, (*buffer)[:0])
	sentAt, alike := int64(0), uint64(0)
	acked, nacked := 0, 0
	for {
		ok, err := scanner.next()
		if err != nil {
			return fmt.Errorf("scan response: %w", err)
		}
		if !ok {
			break
		}
		s.numbers = append(s.numbers, scanner.stamp.number)
		if s.poison > 0 && scanner.stamp.number%s.poison == 0 {
			s.nacks = appendRetagged(s.nacks, scanner.acks[acked:], fieldStreamModifyAckIDs)
			scanner.acks = scanner.acks[:acked]
			nacked++
		}
		acked = len(scanner.acks)
		if s.order != nil {
			s.keys = append(s.keys, scanner.key)
		}
		if scanner.stamp.sentAt != sentAt { // messages of one call come together and share their time
			s.record(sentAt, nanoseconds, alike)
			sentAt, alike = scanner.stamp.sentAt, 0
		}
		alike++
	}
	s.record(sentAt, nanoseconds, alike)
	scanner.acks = s.appendNacks(scanner.acks, nacked)
	*buffer = scanner.acks
	if s.order != nil {
		if err := s.order.follow(s.keys, s.numbers); err != nil {
			return err
		}
	}
	if s.keep != nil {
		err := s.keep(scanner.acks, s.numbers)
		ackBuffers.Put(buffer)
		if err != nil {
			return err
		}
		return s.tracker.markAll(s.numbers, now)
	}
	if len(scanner.acks) > 0 {
		batch := ackBatch{ids: buffer}
		if s.confirm {
			batch.numbers = slices.Clone(s.numbers)
		}
		select {
		case s.acks <- batch: // before the messages count as received: the last acknowledgement waits here when the run ends
		case <-s.stream.Context().Done():
			return s.stream.Context().Err()
		}
	}
	if s.confirm {
		return nil // they count once they are acknowledged for certain
	}
	return s.tracker.markAll(s.numbers, now)
}

// ackBatch is the acknowledgements of one response.
type ackBatch struct {
	ids     *[]byte  // encoded as in StreamingPullRequest.ack_ids, and in AcknowledgeRequest.ack_ids, whose number is the same
	numbers []uint64 // the messages' numbers, in the same order; only with confirm
}

// appendNacks appends to a request that so many messages have failed: their deadline is now.
func (s *pullStream) appendNacks(dst []byte, count int) []byte {
	dst = append(dst, s.nacks...)
	s.nacks = s.nacks[:0]
	for range count {
		dst = protowire.AppendTag(dst, fieldStreamModifySeconds, protowire.VarintType)
		dst = protowire.AppendVarint(dst, 0)
	}
	return dst
}

func (s *pullStream) record(sentAt, receivedAt int64, messages uint64) {
	if messages > 0 && sentAt >= s.countFrom.Load() {
		s.latency.Record(time.Duration(receivedAt-sentAt), messages)
	}
}

// receiveAll runs until the server ends the stream.
func (s *pullStream) receiveAll() error {
	defer close(s.acks)
	for {
		err := s.stream.RecvMsg(s)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if s.refused != nil {
			err = s.refused // gRPC has made a status of it
		}
		if err != nil {
			return fmt.Errorf("streaming pull: %w", err)
		}
	}
}

// sendAll sends acknowledgements as they come until done is closed, then what still waits, then tells the server that no more will come.
func (s *pullStream) sendAll(done <-chan struct{}) error {
	for {
		select {
		case batch, open := <-s.acks:
			if !open {
				return nil
			}
			if err := s.send(batch.ids); err != nil {
				return err
			}
		case <-done:
			return s.sendRest()
		}
	}
}

// sendNothing tells the server that no more will come once done is closed.
func (s *pullStream) sendNothing(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return s.stream.CloseSend()
	case <-ctx.Done():
		return nil
	}
}

func (s *pullStream) sendRest() error {
	for {
		select {
		case batch, open := <-s.acks:
			if !open {
				return nil
			}
			if err := s.send(batch.ids); err != nil {
				return err
			}
		default:
			return s.stream.CloseSend()
		}
	}
}

// send sends one request made of this buffer and of those that already wait: encoded requests that follow each other are one request.
func (s *pullStream) send(first *[]byte) error {
	size := len(*first)
	request := &Encoded{Buffers: mem.BufferSlice{mem.NewBuffer(first, ackBuffers)}}
gather:
	for size < ackRequestBytesAim {
		select {
		case batch, open := <-s.acks:
			if !open {
				break gather
			}
			size += len(*batch.ids)
			request.Buffers = append(request.Buffers, mem.NewBuffer(batch.ids, ackBuffers))
		default:
			break gather
		}
	}
	if err := s.stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) { // EOF: the receiver learns why
		return fmt.Errorf("send acknowledgements: %w", err)
	}
	return nil
}

// subscriber is all streams of one subscription.
type subscriber struct {
	tracker tracker
	streams []*pullStream
	group   *errgroup.Group
	broken  <-chan struct{} // closed when a stream failed
	finish  chan struct{}   // closed: send what waits, then half-close
	cancel  context.CancelFunc
}

// reception says how a subscription's messages are received.
type reception struct {
	streams     int
	deadline    int  // seconds; 0 = streamDeadlineSeconds
	flow        Flow // of each stream; zero = DefaultFlow
	keys        int  // ordering keys, whose order is checked; 0 = none
	confirm     bool // acknowledge as clients of exactly-once subscriptions do: see confirmAll
	receipts    bool // with confirm: first say that the messages have come
	keep        func(acks []byte, numbers []uint64) error
	poisonEvery uint64 // 0: none; else every such message is given back each time
}

// subscribe opens the streams and begins to receive. The caller must call close.
func (c *Client) subscribe(ctx context.Context, subscription string, firstConnection int, how reception) (*subscriber, error) {
	if how.flow == (Flow{}) {
		how.flow = DefaultFlow()
	}
	if how.deadline == 0 {
		how.deadline = streamDeadlineSeconds
	}
	var keys *order
	if how.keys > 0 {
		keys = newOrder(how.keys)
	}
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	s := &subscriber{group: group, broken: ctx.Done(), finish: make(chan struct{}), cancel: cancel}
	description := &grpc.StreamDesc{StreamName: "StreamingPull", ServerStreams: true, ClientStreams: true}
	for i := range how.streams {
		stream, err := c.connection(firstConnection+i).NewStream(ctx, description, streamMethod)
		if err == nil {
			opening := streamOpening(subscription, fmt.Sprintf("bench-%d", i), how.deadline, how.flow)
			err = stream.SendMsg(&Encoded{Buffers: mem.BufferSlice{mem.SliceBuffer(opening)}})
		}
		if err != nil {
			cancel()
			return nil, errors.Join(fmt.Errorf("open stream %d of %s: %w", i, subscription, err), ignoreCanceled(group.Wait()))
		}
		pull := &pullStream{stream: stream, clock: c.clock, tracker: &s.tracker, keep: how.keep, poison: how.poisonEvery, order: keys, confirm: how.confirm,
			acks: make(chan ackBatch, ackBuffersWaiting)}
		s.streams = append(s.streams, pull)
		group.Go(pull.receiveAll)
		if !how.confirm {
			group.Go(func() error { return pull.sendAll(s.finish) })
			continue
		}
		group.Go(func() error { return pull.sendNothing(ctx, s.finish) })
		for worker := range confirmersPerStream {
			confirmer := &confirmer{conn: c.connection(firstConnection + i + worker), subscription: subscription, receipts: how.receipts, stream: pull}
			group.Go(func() error { return confirmer.confirmAll(ctx, s.finish) })
		}
	}
	return s, nil
}

func ignoreCanceled(err error) error {
	if isTransport(err) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// halfCloseMax is how long a server may take to end a stream whose client has ended its side.
const halfCloseMax = 10 * time.Second

// failure returns why a stream is broken.
func (s *subscriber) failure() error {
	s.cancel()
	return s.group.Wait()
}

// close sends the acknowledgements that wait, ends the streams and returns the first error that was not the ending itself.
func (s *subscriber) close() error {
	close(s.finish)
	timer := time.AfterFunc(halfCloseMax, s.cancel)
	defer timer.Stop()
	defer s.cancel()
	return ignoreCanceled(s.group.Wait())
}

// latency gathers the delivery times; close must have returned.
func (s *subscriber) latency() *Histogram {
	all := &Histogram{}
	for _, stream := range s.streams {
		all.Merge(&stream.latency)
	}
	return all
}
