package google

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/broker"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// ackScratch is what reading ack ids needs.
type ackScratch struct {
	ack    wire.Acknowledge
	modify wire.ModifyAckDeadline
	ids    []wire.AckID
}

var ackScratches = sync.Pool{New: func() any { return new(ackScratch) }}

func (s *server) acknowledge(ctx context.Context, request []byte) (*wire.Raw, error) {
	scratch := ackScratches.Get().(*ackScratch)
	defer ackScratches.Put(scratch)
	if err := scratch.ack.Scan(request); err != nil {
		return nil, err
	}
	sub, err := s.readIDs(scratch, scratch.ack.Subscription, scratch.ack.AckIDs)
	if err != nil {
		return nil, err
	}
	return empty(), sub.Ack(ctx, scratch.ids, true)
}

func (s *server) modifyAckDeadline(_ context.Context, request []byte) (*wire.Raw, error) {
	scratch := ackScratches.Get().(*ackScratch)
	defer ackScratches.Put(scratch)
	if err := scratch.modify.Scan(request); err != nil {
		return nil, err
	}
	sub, err := s.readIDs(scratch, scratch.modify.Subscription, scratch.modify.AckIDs)
	if err != nil {
		return nil, err
	}
	deadline, err := ackDeadline(scratch.modify.AckDeadlineSeconds)
	if err != nil {
		return nil, err
	}
	sub.Modify(scratch.ids, deadline)
	return empty(), nil
}

// readIDs finds the subscription of a unary request and reads its ack ids into scratch.ids. One malformed id fails the request.
func (s *server) readIDs(scratch *ackScratch, name []byte, texts [][]byte) (*broker.Subscription, error) {
	sub, err := s.broker.Subscription(string(name))
	if err != nil {
		return nil, err
	}
	if len(texts) == 0 {
		return nil, status.Error(codes.InvalidArgument, "You have not specified an ack ID in the request.")
	}
	scratch.ids, err = s.decodeIDs(scratch.ids[:0], sub, texts)
	return sub, err
}

// decodeIDs appends the ack ids. An id that this broker did not give out, or for another subscription, is malformed.
func (s *server) decodeIDs(dst []wire.AckID, sub *broker.Subscription, texts [][]byte) ([]wire.AckID, error) {
	key := s.broker.AckKey()
	for _, text := range texts {
		id, ok := key.Decode(text)
		if !ok || id.Subscription != sub.ID() {
			return dst, status.Errorf(codes.InvalidArgument, "You have passed an invalid ack ID to the service (ack_id=%s).", text)
		}
		dst = append(dst, id)
	}
	return dst, nil
}

// ackDeadline checks a new ack deadline: 0 to 600 seconds.
func ackDeadline(seconds int32) (time.Duration, error) {
	d := time.Duration(seconds) * time.Second
	if d < 0 || d > limit.AckDeadlineMax {
		return 0, status.Errorf(codes.InvalidArgument,
			"Invalid ack deadline given (ack_deadline=%d). The ack deadline must be between 0 and 600 seconds.", seconds)
	}
	return d, nil
}
