package load

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of google.pubsub.v1 that the generator writes or reads.
const (
	fieldRequestTopic    = 1 // PublishRequest.topic
	fieldRequestMessages = 2 // PublishRequest.messages

	fieldReplyMessageIDs = 1 // PublishResponse.message_ids

	fieldMessageData        = 1 // PubsubMessage.data
	fieldMessageAttributes  = 2 // PubsubMessage.attributes
	fieldMessageOrderingKey = 5 // PubsubMessage.ordering_key
	fieldEntryKey           = 1 // an entry of a map
	fieldEntryValue         = 2

	fieldStreamSubscription      = 1 // StreamingPullRequest.subscription
	fieldStreamAckIDs            = 2
	fieldStreamModifySeconds     = 3
	fieldStreamModifyAckIDs      = 4
	fieldStreamDeadline          = 5
	fieldStreamClientID          = 6
	fieldStreamMessagesMax       = 7
	fieldStreamBytesMax          = 8
	fieldAcknowledgeSubscription = 1 // AcknowledgeRequest.subscription and ModifyAckDeadlineRequest.subscription
	fieldModifySeconds           = 3 // ModifyAckDeadlineRequest.ack_deadline_seconds
	fieldModifyAckIDs            = 4 // ModifyAckDeadlineRequest.ack_ids
	fieldResponseReceived        = 1 // StreamingPullResponse.received_messages
	fieldReceivedAckID           = 1 // ReceivedMessage.ack_id
	fieldReceivedMessage         = 2
	tagResponseReceivedLength    = fieldResponseReceived<<3 | int(protowire.BytesType)
)

// publishReply counts the message ids of a PublishResponse; nothing else of it is looked at.
type publishReply struct {
	ids int
}

// Receive counts.
func (r *publishReply) Receive(data mem.BufferSlice) error {
	count, err := CountFields(data, fieldReplyMessageIDs)
	r.ids = count
	return err
}

// CountFields counts the top-level fields of that number in encoded bytes without decoding any of them.
func CountFields(data mem.BufferSlice, number protowire.Number) (int, error) {
	count := 0
	c := newCursor(data)
	for c.left > 0 {
		found, kind, err := c.tag()
		if err != nil {
			return 0, fmt.Errorf("count fields %d: %w", number, err)
		}
		if found == number {
			count++
		}
		if err := c.skipField(kind); err != nil {
			return 0, fmt.Errorf("count fields %d: %w", number, err)
		}
	}
	return count, nil
}
