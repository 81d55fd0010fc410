package load

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// stamp is what the generator writes into the first bytes of a message's data and reads back on delivery.
//
//	0        8         16
//	| number | sent at |   little endian; sent at = nanoseconds on the generator's monotonic clock
type stamp struct {
	number uint64
	sentAt int64
}

const stampBytes = 16

func (s stamp) put(data []byte) {
	binary.LittleEndian.PutUint64(data, s.number)
	binary.LittleEndian.PutUint64(data[8:], uint64(s.sentAt))
}

// deliveryScanner walks over the messages of one StreamingPullResponse. Acknowledgement ids are appended to acks in the form of
// StreamingPullRequest.ack_ids, so that acks is a complete request once the response has been walked.
type deliveryScanner struct {
	cursor cursor
	acks   []byte
	stamp  stamp
	key    int // the number that is the message's ordering key; -1 without one
	head   [stampBytes]byte
}

// next moves to the next message; false at the end of the response.
func (s *deliveryScanner) next() (bool, error) {
	for s.cursor.left > 0 {
		number, kind, err := s.cursor.tag()
		if err != nil {
			return false, err
		}
		if number != fieldResponseReceived || kind != protowire.BytesType {
			if err := s.cursor.skipField(kind); err != nil {
				return false, err
			}
			continue
		}
		if err := s.received(); err != nil {
			return false, fmt.Errorf("scan received message: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// received reads one ReceivedMessage whose tag has been read.
func (s *deliveryScanner) received() error {
	size, err := s.cursor.length()
	if err != nil {
		return err
	}
	s.stamp, s.key = stamp{}, -1
	end := s.cursor.left - size
	acked := false
	for s.cursor.left > end {
		number, kind, err := s.cursor.tag()
		if err != nil {
			return err
		}
		switch {
		case number == fieldReceivedAckID && kind == protowire.BytesType:
			acked = true
			err = s.ackID()
		case number == fieldReceivedMessage && kind == protowire.BytesType:
			err = s.message()
		default:
			err = s.cursor.skipField(kind)
		}
		if err != nil {
			return err
		}
	}
	if s.cursor.left != end {
		return errTruncated
	}
	if !acked {
		return fmt.Errorf("message %d has no acknowledgement id", s.stamp.number)
	}
	return nil
}

func (s *deliveryScanner) ackID() error {
	n, err := s.cursor.length()
	if err != nil {
		return err
	}
	s.acks = protowire.AppendTag(s.acks, fieldStreamAckIDs, protowire.BytesType)
	s.acks = protowire.AppendVarint(s.acks, uint64(n))
	s.acks, err = s.cursor.appendTo(s.acks, n)
	return err
}

// message reads the stamp at the start of a PubsubMessage's data and leaves out the rest.
func (s *deliveryScanner) message() error {
	size, err := s.cursor.length()
	if err != nil {
		return err
	}
	end := s.cursor.left - size
	for s.cursor.left > end {
		number, kind, err := s.cursor.tag()
		if err != nil {
			return err
		}
		switch {
		case number == fieldMessageData && kind == protowire.BytesType:
			err = s.data()
		case number == fieldMessageOrderingKey && kind == protowire.BytesType:
			err = s.orderingKey()
		default:
			err = s.cursor.skipField(kind)
		}
		if err != nil {
			return err
		}
	}
	if s.cursor.left != end {
		return errTruncated
	}
	return nil
}

func (s *deliveryScanner) orderingKey() error {
	size, err := s.cursor.length()
	if err != nil {
		return err
	}
	if size != orderingKeyDigits {
		return s.cursor.skip(size) // not of a work with keys
	}
	digits, err := s.cursor.appendTo(s.head[:0], size)
	if err != nil {
		return err
	}
	s.key = 0
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			s.key = -1
			return nil
		}
		s.key = 10*s.key + int(digit-'0')
	}
	return nil
}

func (s *deliveryScanner) data() error {
	size, err := s.cursor.length()
	if err != nil {
		return err
	}
	if size < stampBytes {
		return fmt.Errorf("message of %d bytes carries no stamp: it is not of this run", size)
	}
	head, err := s.cursor.appendTo(s.head[:0], stampBytes)
	if err != nil {
		return err
	}
	s.stamp.number = binary.LittleEndian.Uint64(head)
	s.stamp.sentAt = int64(binary.LittleEndian.Uint64(head[8:]))
	return s.cursor.skip(size - stampBytes)
}

func newDeliveryScanner(data mem.BufferSlice, acks []byte) deliveryScanner {
	return deliveryScanner{cursor: newCursor(data), acks: acks}
}
