package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/posthaste-io/posthaste/internal/ackset"
	"github.com/posthaste-io/posthaste/internal/engine"
)

// Op is what a record says. Values are part of the storage format: they are never given another meaning.
type Op byte

// The notes, drawn field by field; v is an unsigned varint, s a varint length with that many bytes, … the rest of the note.
//
//	OpTopic               op v:id s:name …config
//	OpTopicDeleted        op v:id
//	OpSubscription        op v:id v:topic s:name …config
//	OpSubscriptionDeleted op v:id
//	OpAcked               op v:id v:seeks …offsets (package ackset)
//	OpAckedBefore         op v:id v:seeks v:offset      everything before the offset is done
//	OpFailed              op v:id v:seeks v:at (v:offset v:failures v:reason v:wait)*   at in Unix milliseconds, wait in milliseconds
//	OpDocument            op s:kind s:name …body
//	OpDocumentDeleted     op s:kind s:name
//	OpSeek                op v:id v:epoch v:time v:stale v:before v:open
//	OpSeekSnapshot        op v:id v:epoch v:time v:stale v:snapshot
//	OpSnapshot            op v:id v:subscription v:ordered v:latest s:name …config
//	OpSnapshotDeleted     op v:id
//	OpDetached            op v:id
//	OpActive              op v:id v:time        used, in Unix seconds
//
// seeks is how many seeks of the subscription had been applied when the acknowledgement was made, or the failure.
const (
	OpBlock               Op = 0 // not a note: the record is a block
	OpTopic               Op = 1
	OpTopicDeleted        Op = 2
	OpSubscription        Op = 3
	OpSubscriptionDeleted Op = 4
	OpAcked               Op = 5
	OpAckedBefore         Op = 6
	OpFailed              Op = 7
	OpDocument            Op = 8
	OpDocumentDeleted     Op = 9
	OpSeek                Op = 10
	OpSeekSnapshot        Op = 11
	OpSnapshot            Op = 12
	OpSnapshotDeleted     Op = 13
	OpDetached            Op = 20
	OpActive              Op = 21
)

// opNames is for people who read a dump.
var opNames = [...]string{"block", "topic", "topic deleted", "subscription", "subscription deleted", "acked", "acked before", "failed", "document", "document deleted",
	"seek", "seek to snapshot", "snapshot", "snapshot deleted",
	OpDetached: "subscription detached", OpActive: "active"}

func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("op %d", byte(o))
}

// AppendTopic appends the note that puts a topic: a new one when the number is new, else a new configuration.
func AppendTopic(dst []byte, id engine.TopicID, name string, config []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpTopic)), uint64(id))
	return append(appendString(dst, name), config...)
}

// AppendTopicDeleted appends the note that deletes a topic.
func AppendTopicDeleted(dst []byte, id engine.TopicID) []byte {
	return binary.AppendUvarint(append(dst, byte(OpTopicDeleted)), uint64(id))
}

// AppendSubscription appends the note that puts a subscription: a new one when the number is new, else a new configuration.
func AppendSubscription(dst []byte, id SubscriptionID, topic engine.TopicID, name string, config []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpSubscription)), uint64(id))
	dst = binary.AppendUvarint(dst, uint64(topic))
	return append(appendString(dst, name), config...)
}

// AppendSubscriptionDeleted appends the note that deletes a subscription and its backlog.
func AppendSubscriptionDeleted(dst []byte, id SubscriptionID) []byte {
	return binary.AppendUvarint(append(dst, byte(OpSubscriptionDeleted)), uint64(id))
}

// AppendAcked appends the note that a subscription is done with the offsets. seeks is [Subscription.Seeks] as it was when that was
// decided: a note that comes behind another seek in the log has no effect.
func AppendAcked(dst []byte, id SubscriptionID, seeks uint64, offsets []uint64) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpAcked)), uint64(id))
	return ackset.AppendOffsets(binary.AppendUvarint(dst, seeks), offsets)
}

// AppendAckedRuns appends the note that a subscription is done with the offsets of the runs, none of which is empty; seeks as for
// AppendAcked.
func AppendAckedRuns(dst []byte, id SubscriptionID, seeks uint64, runs []ackset.Run) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpAcked)), uint64(id))
	return ackset.AppendRuns(binary.AppendUvarint(dst, seeks), runs)
}

// AppendAckedBefore appends the note that a subscription is done with everything before the offset; seeks as for AppendAcked.
func AppendAckedBefore(dst []byte, id SubscriptionID, seeks uint64, before engine.Offset) []byte {
	dst = binary.AppendUvarint(append(dst, byte(OpAckedBefore)), uint64(id))
	dst = binary.AppendUvarint(dst, seeks)
	return binary.AppendUvarint(dst, uint64(before))
}

// AppendDocument appends the note that puts a document: a value of the owner's that the ledger only keeps, such as a schema or an
// access policy. Kinds keep documents apart that may have the same name.
func AppendDocument(dst []byte, kind, name string, body []byte) []byte {
	return append(appendString(appendString(append(dst, byte(OpDocument)), kind), name), body...)
}

// AppendDocumentDeleted appends the note that deletes a document, if there is one.
func AppendDocumentDeleted(dst []byte, kind, name string) []byte {
	return appendString(appendString(append(dst, byte(OpDocumentDeleted)), kind), name)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// note is a parsed note. topic holds the second number whatever it means, but for acknowledgements.
type note struct {
	op    Op
	id    uint64
	topic uint64
	seeks uint64
	seek  Seek
	// of a snapshot
	ordered bool
	latest  int64
	kind    string
	name    string
	config  []byte // aliases the record
}

// bytes is a copy of the note's tail, which the ledger may keep.
func (n *note) bytes() []byte { return slices.Clone(n.config) }

var errNote = errors.New("ledger: malformed note")

func parseNote(b []byte) (n note, err error) {
	if len(b) == 0 {
		return n, errNote
	}
	n.op, b = Op(b[0]), b[1:]
	r := reader{rest: b}
	if n.op != OpDocument && n.op != OpDocumentDeleted {
		n.id = r.number()
	}
	switch n.op {
	case OpDocument, OpDocumentDeleted:
		n.kind, n.name = r.text(), r.text()
	case OpSubscription:
		n.topic, n.name = r.number(), r.text()
	case OpTopic:
		n.name = r.text()
	case OpAcked:
		n.seeks = r.number()
	case OpAckedBefore, OpFailed:
		n.seeks, n.topic = r.number(), r.number()
	case OpSeek:
		n.seek = r.seek()
	case OpSeekSnapshot:
		n.seek.Sought, n.topic = r.sought(), r.number()
	case OpSnapshot:
		n.topic, n.ordered, n.latest, n.name = r.number(), r.number() != 0, int64(r.number()), r.text()
	case OpActive:
		n.topic = r.number()
	}
	if r.bad {
		return n, fmt.Errorf("%w: %v", errNote, n.op)
	}
	n.config = r.rest
	return n, nil
}

// reader takes fields from the front of a buffer; after a malformed one it stays bad.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) take() []byte {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.take()) }

// runs appends the offsets of an OpAcked to dst.
func (n *note) runs(dst []ackset.Run) ([]ackset.Run, error) {
	runs, rest, err := ackset.DecodeOffsets(dst, n.config)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes after the offsets", errNote, len(rest))
	}
	return runs, err
}

func (n *note) describeAcked() string {
	runs, err := n.runs(nil)
	if err != nil {
		return fmt.Sprintf("acked subscription=%d: %v", n.id, err)
	}
	count := uint64(0)
	for _, run := range runs {
		count += run.To - run.From
	}
	return fmt.Sprintf("acked subscription=%d offsets=%d", n.id, count)
}

// Describe writes a note in one line for people.
func Describe(body []byte) string {
	n, err := parseNote(body)
	switch {
	case err != nil:
		return err.Error()
	case n.op == OpAcked:
		return n.describeAcked()
	case n.op == OpFailed:
		return n.describeFailed()
	case n.op == OpAckedBefore:
		return fmt.Sprintf("acked before subscription=%d offset=%d", n.id, n.topic)
	case n.op == OpActive:
		return fmt.Sprintf("active subscription=%d time=%d", n.id, n.topic)
	case n.op == OpDocument:
		return fmt.Sprintf("document %s %q (%d bytes)", n.kind, n.name, len(n.config))
	case n.op == OpDocumentDeleted:
		return fmt.Sprintf("document deleted %s %q", n.kind, n.name)
	case n.op == OpSeek:
		return fmt.Sprintf("seek subscription=%d before=%d open=%d", n.id, n.seek.Before, n.seek.Open)
	case n.op == OpSeekSnapshot:
		return fmt.Sprintf("seek subscription=%d snapshot=%d", n.id, n.topic)
	case n.op == OpSnapshot:
		return fmt.Sprintf("snapshot %d %q of subscription %d", n.id, n.name, n.topic)
	case n.op == OpSubscription:
		return fmt.Sprintf("subscription %d %q of topic %d", n.id, n.name, n.topic)
	case n.op == OpTopic:
		return fmt.Sprintf("topic %d %q", n.id, n.name)
	}
	return fmt.Sprintf("%v %d", n.op, n.id)
}

// Structural says whether a note changes which resources there are or how they are configured, rather than what became of messages.
func Structural(body []byte) bool {
	return len(body) > 0 && Op(body[0]) != OpAcked && Op(body[0]) != OpAckedBefore && Op(body[0]) != OpFailed && Op(body[0]) != OpActive
}
