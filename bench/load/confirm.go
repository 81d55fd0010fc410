package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	acknowledgeMethod = "/google.pubsub.v1.Subscriber/Acknowledge"
	modifyMethod      = "/google.pubsub.v1.Subscriber/ModifyAckDeadline"

	confirmersPerStream = 4
	confirmIDsMax       = 1000 // in one call
)

// ErrRepeated says that a message came again although its acknowledgement had been confirmed, or had not been due yet.
var ErrRepeated = errors.New("messages of an exactly-once subscription were delivered again")

// confirmer acknowledges as Google's clients do on an exactly-once subscription: by unary calls with at most 1,000 ids, whose answers
// count. With receipts it first says of each message that it has come, by a new deadline, and waits for that answer, too. A call that
// fails, for one id or for all, fails the work.
type confirmer struct {
	conn         *grpc.ClientConn
	subscription string
	receipts     bool
	stream       *pullStream
	head         []byte // of either request: what comes before the ids
	ids          []byte
	receiptIDs   []byte
}

// confirmAll runs until the stream has ended, or until done is closed, when every message has been confirmed.
func (c *confirmer) confirmAll(ctx context.Context, done <-chan struct{}) error {
	for {
		select {
		case batch, open := <-c.stream.acks:
			if !open {
				return nil
			}
			if err := c.confirm(ctx, batch); err != nil {
				return err
			}
		case <-done:
			return nil
		}
	}
}

// confirm settles one response and those that wait behind it, and then counts their messages.
func (c *confirmer) confirm(ctx context.Context, batch ackBatch) error {
	c.ids = append(c.ids[:0], *batch.ids...)
	ackBuffers.Put(batch.ids)
	numbers := batch.numbers
	for rest := c.ids; len(numbers) > 0; {
		n := min(len(numbers), confirmIDsMax)
		size, err := fieldsLength(rest, n)
		if err != nil {
			return err
		}
		if err := c.settle(ctx, rest[:size]); err != nil {
			return err
		}
		if err := c.stream.tracker.markAll(numbers[:n], time.Now()); err != nil {
			return err
		}
		rest, numbers = rest[size:], numbers[n:]
	}
	return nil
}

// settle sends one request's worth of ids, which are encoded as fields.
func (c *confirmer) settle(ctx context.Context, ids []byte) error {
	if c.receipts {
		c.receiptIDs = appendRetagged(c.receiptIDs[:0], ids, fieldModifyAckIDs)
		c.head = appendSubscription(c.head[:0], c.subscription)
		c.head = protowire.AppendTag(c.head, fieldModifySeconds, protowire.VarintType)
		c.head = protowire.AppendVarint(c.head, streamDeadlineSeconds)
		if err := c.call(ctx, modifyMethod, c.receiptIDs); err != nil {
			return fmt.Errorf("receipts: %w", err)
		}
	}
	c.head = appendSubscription(c.head[:0], c.subscription)
	if err := c.call(ctx, acknowledgeMethod, ids); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

func (c *confirmer) call(ctx context.Context, method string, ids []byte) error {
	request := &Encoded{Buffers: mem.BufferSlice{mem.SliceBuffer(c.head), mem.SliceBuffer(ids)}}
	return c.conn.Invoke(ctx, method, request, emptyReply{})
}

// emptyReply is an answer without content.
type emptyReply struct{}

// Receive ignores it.
func (emptyReply) Receive(mem.BufferSlice) error { return nil }

func appendSubscription(dst []byte, name string) []byte {
	dst = protowire.AppendTag(dst, fieldAcknowledgeSubscription, protowire.BytesType)
	return protowire.AppendString(dst, name)
}

// fieldsLength is how many bytes the first n fields take.
func fieldsLength(fields []byte, n int) (int, error) {
	size := 0
	for range n {
		_, _, field := protowire.ConsumeField(fields[size:])
		if field < 0 {
			return 0, fmt.Errorf("acknowledgement ids: %w", protowire.ParseError(field))
		}
		size += field
	}
	return size, nil
}

// appendRetagged appends fields of bytes under another number.
func appendRetagged(dst, fields []byte, number protowire.Number) []byte {
	for len(fields) > 0 {
		_, _, tag := protowire.ConsumeTag(fields)
		value, size := protowire.ConsumeBytes(fields[tag:])
		dst = protowire.AppendTag(dst, number, protowire.BytesType)
		dst = protowire.AppendBytes(dst, value)
		fields = fields[tag+size:]
	}
	return dst
}
