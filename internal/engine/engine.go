// Package engine states what Posthaste asks of a storage engine, and nothing about how one keeps it.
//
// A shard is one ordered log with one owner. Everything durable is a record of that log: blocks of messages, acknowledgements,
// topics and subscriptions. Whoever owns a shard sees its records, in log order, through a [Machine]; message bytes are read
// back by topic and offset. The local disk log is an engine with one shard; a replicated log gives the same contract many times over.
//
// The contract, which package enginetest checks for every implementation:
//
//  1. A record whose Append returned nil is seen by every later owner.
//  2. The records of one Append become durable together or not at all.
//  3. Offsets of a topic are dense, grow in log order, and are never given out twice, whatever is trimmed or restarted.
//  4. Apply is called once for each durable record, in log order, before the Append that brought it returns.
//  5. No record of an older epoch stands after a record of a newer one.
//  6. Bytes that fail their checksum are never returned and never skipped: Read answers [ErrCorrupt].
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// ShardID numbers the shards of a cluster; the local engine has shard 0 only.
type ShardID uint16

// TopicID identifies a topic inside its shard. Identifiers are given out by the owner and are never used again.
type TopicID uint64

// Offset is the place of a message in its topic, counted from 0.
type Offset uint64

// Everything, as a trim point, says that the topic is gone: the engine forgets it, its next offset too.
const Everything Offset = math.MaxUint64

// Kind tells what a record's body holds.
type Kind uint8

// KindBlock is the only kind that an engine looks into; all others are notes, state of the owner that an engine carries unread.
const (
	KindBlock Kind = 1
	KindNote  Kind = 2
)

// Record is one entry of a shard's log.
type Record struct {
	Kind  Kind
	Topic TopicID // of a block
	Count uint32  // of a block: how many messages Body holds, at least 1
	// Body is, for a block, the messages as field 2 of a PublishRequest (tag 0x12, length, PubsubMessage bytes), one after the other;
	// for a note, whatever the owner encoded. Append has copied it when it returns. Apply may keep a note's body only until it returns
	// and gets no body for a block.
	Body []byte
	// Stamp is written by Append and Enqueue, for blocks only.
	Stamp Stamp
}

// Stamp is what the log gives to a block.
type Stamp struct {
	First Offset // of the block's first message; the others follow without gaps
	ID    uint64 // message id of the first message, unique in the shard and growing; the others follow without gaps
	Time  int64  // publish time of all its messages: Unix nanoseconds, whole milliseconds, never falling within a shard
}

// Block is a run of messages that one publish brought, as Read gives it.
type Block struct {
	Stamp
	Count uint32
	Body  []byte // valid until the Batch is released; see Record.Body
}

// End is the offset that follows the block's last message.
func (b *Block) End() Offset { return b.First + Offset(b.Count) }

// Batch receives what Read finds. The zero value is ready; it is used again and again by one goroutine.
type Batch struct {
	// BytesMax bounds how much a Read returns: it stops before the block that would pass it, but returns at least one. 0 means one block.
	BytesMax int
	Blocks   []Block
	pins     []Pin
}

// Pin holds memory that blocks of a batch point into.
type Pin interface{ Unpin() }

// Keep adds a pin that Release will drop; engines call it.
func (b *Batch) Keep(p Pin) { b.pins = append(b.pins, p) }

// Release lets go of the memory behind the blocks and empties the batch.
func (b *Batch) Release() {
	for i, p := range b.pins {
		p.Unpin()
		b.pins[i] = nil
	}
	clear(b.Blocks)
	b.pins, b.Blocks = b.pins[:0], b.Blocks[:0]
}

// Machine is the owner's state that a shard's log builds up. An engine calls it from one goroutine at a time.
type Machine interface {
	// Apply takes the next durable record. An error while a shard is being opened refuses the shard; later it fails the shard.
	Apply(r *Record) error
	// Save writes the whole state as it is after the last Apply.
	Save(w io.Writer) error
	// Restore replaces the state, which is empty, by one that Save wrote.
	Restore(r io.Reader) error
}

// Engine opens shards.
type Engine interface {
	// Own claims a shard, shutting out every earlier owner, and rebuilds m: Restore at most once, then Apply for what came after.
	Own(ctx context.Context, s ShardID, m Machine) (Shard, error)
	Close() error
}

// Shard is a log that the caller owns. Its methods are safe for concurrent use.
type Shard interface {
	// Epoch grows with every change of owner, a restart included. It is at least 1.
	Epoch() uint64
	// Append makes the records durable together and returns when they are, and have been applied. When ctx ends first, the outcome is unknown.
	// Blocks are refused with ErrFull while space is short; notes are taken as long as the log can be written at all.
	Append(ctx context.Context, recs []Record) error
	// Enqueue is Append without the wait: the records have their place in the log when it returns and are durable within LazyMax.
	Enqueue(recs []Record) error
	// Read fills into with consecutive blocks of a topic, beginning with the one that holds from or, if that is gone, the next one
	// there is. Nothing found is not an error. Only durable blocks are returned.
	Read(ctx context.Context, t TopicID, from Offset, into *Batch) error
	// OffsetAt is the first offset of the topic with a publish time of at least unixNano: the topic's end when there is none.
	OffsetAt(ctx context.Context, t TopicID, unixNano int64) (Offset, error)
	// Trim says that nobody needs the topic's messages before the offset. It is a hint, forgotten at a restart.
	Trim(t TopicID, before Offset)
	// Failed is closed when the log can no longer be written; Append then answers ErrFailed.
	Failed() <-chan struct{}
	// Release makes everything enqueued durable and gives the shard back.
	Release(ctx context.Context) error
}

// Errors that callers branch on.
var (
	ErrFull    = errors.New("engine: not enough free space for messages")
	ErrFailed  = errors.New("engine: the log failed and takes no more records")
	ErrFenced  = errors.New("engine: another owner has the shard")
	ErrClosed  = errors.New("engine: closed")
	ErrCorrupt = errors.New("engine: stored bytes are damaged")
)

// CorruptError names the place of damage. It is an ErrCorrupt.
type CorruptError struct {
	File   string
	Offset int64 // bytes from the start of File
	Topic  TopicID
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) hold.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
