package google

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/delivery"
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
	sub, exactly, err := s.subscription(scratch.ack.Subscription, scratch.ack.AckIDs)
	if err != nil {
		return nil, err
	}
	if exactly {
		outcome, err := s.ackInTurn(ctx, sub, scratch.ack.AckIDs)
		if err != nil {
			return nil, err
		}
		return empty(), outcome.err()
	}
	if scratch.ids, err = s.decodeIDs(scratch.ids[:0], sub, scratch.ack.AckIDs); err != nil {
		return nil, err
	}
	return empty(), sub.Ack(ctx, scratch.ids, nil, true)
}

func (s *server) modifyAckDeadline(ctx context.Context, request []byte) (*wire.Raw, error) {
	scratch := ackScratches.Get().(*ackScratch)
	defer ackScratches.Put(scratch)
	if err := scratch.modify.Scan(request); err != nil {
		return nil, err
	}
	sub, exactly, err := s.subscription(scratch.modify.Subscription, scratch.modify.AckIDs)
	if err != nil {
		return nil, err
	}
	deadline, err := ackDeadline(scratch.modify.AckDeadlineSeconds)
	if err != nil {
		return nil, err
	}
	if exactly {
		outcome := s.modifyExactly(sub, scratch.modify.AckIDs, func(int) time.Duration { return deadline })
		if deadline > 0 {
			outcome.nameExtended(ctx, sub)
		}
		return empty(), outcome.err()
	}
	if scratch.ids, err = s.decodeIDs(scratch.ids[:0], sub, scratch.modify.AckIDs); err != nil {
		return nil, err
	}
	sub.Modify(scratch.ids, nil, deadline)
	return empty(), nil
}

// subscription finds the subscription of a unary request with ack ids, and says whether it delivers exactly once.
func (s *server) subscription(name []byte, texts [][]byte) (sub *delivery.Subscription, exactly bool, err error) {
	if sub, err = s.broker.Subscription(string(name)); err != nil {
		return nil, false, err
	}
	if len(texts) == 0 {
		return nil, false, status.Error(codes.InvalidArgument, "You have not specified an ack ID in the request.")
	}
	exactly, _ = sub.Properties()
	return sub, exactly, nil
}

// decodeIDs appends the ack ids. An id that this broker did not give out, or for another subscription, is malformed and fails them all.
func (s *server) decodeIDs(dst []wire.AckID, sub *delivery.Subscription, texts [][]byte) ([]wire.AckID, error) {
	for _, text := range texts {
		id, ok := s.decodeID(sub, text)
		if !ok {
			return dst, catalog.BadAckID(text)
		}
		dst = append(dst, id)
	}
	return dst, nil
}

func (s *server) decodeID(sub *delivery.Subscription, text []byte) (wire.AckID, bool) {
	id, ok := s.broker.AckKey().Decode(text)
	return id, ok && id.Subscription == sub.ID()
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
