package google

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// pullMargin is how long before a client's deadline an empty answer is sent, so that it arrives instead of DEADLINE_EXCEEDED: half of the time
// that the client gives, if that is less.
const pullMargin = 500 * time.Millisecond

// answerBy is when a pull is answered at the latest. A zero deadline is none.
func answerBy(now, deadline time.Time) time.Time {
	until := now.Add(limit.PullWaitMax)
	if deadline.IsZero() {
		return until
	}
	left := deadline.Sub(now)
	if answer := now.Add(left - min(pullMargin, left/2)); answer.Before(until) {
		return answer
	}
	return until
}

func (s *server) pull(ctx context.Context, request []byte) (*wire.Raw, error) {
	var r wire.Pull
	if err := r.Scan(request); err != nil {
		return nil, err
	}
	sub, err := s.broker.Subscription(string(r.Subscription))
	if err != nil {
		return nil, err
	}
	if r.MaxMessages <= 0 {
		return nil, status.Error(codes.InvalidArgument, "You have passed an invalid argument to the service (argument=max_messages).")
	}
	taker, err := sub.OpenPull()
	if err != nil {
		return nil, err
	}
	defer taker.Leave()
	count := min(int(r.MaxMessages), limit.PullMessagesMax)
	messages, err := takeWithin(ctx, taker, count, r.ReturnImmediately)
	if err != nil || len(messages) == 0 {
		return empty(), err
	}
	e := encoder{key: s.broker.AckKey(), epoch: s.broker.Epoch(), subscription: sub.ID()}
	return e.response(messages), nil
}

// takeWithin waits for messages as long as the client does, a minute at the most.
func takeWithin(ctx context.Context, t *delivery.Taker, count int, immediately bool) ([]delivery.Delivery, error) {
	if immediately {
		return t.TakeNow(ctx, count, pullBytesAim)
	}
	deadline, _ := ctx.Deadline()
	wait, cancel := context.WithDeadline(ctx, answerBy(time.Now(), deadline))
	defer cancel()
	for {
		messages, err := t.Take(wait, count, pullBytesAim)
		switch {
		case len(messages) > 0:
			return messages, nil
		case wait.Err() != nil && ctx.Err() == nil:
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
}

// pullBytesAim leaves room for the message that passes it, so that a response stays below limit.PullResponseBytesMax unless a single
// message is that large.
const pullBytesAim = limit.PullResponseBytesMax / 4

// encoder writes received messages.
type encoder struct {
	key          wire.AckKey
	epoch        uint32
	subscription uint64
	text         []byte
}

func (e *encoder) response(messages []delivery.Delivery) *wire.Raw {
	size := 0
	for i := range messages {
		size += len(messages[i].Message) + receivedBytesMore
	}
	r := wire.NewRaw(size)
	r.Data = e.append(r.Data, messages)
	return r
}

// receivedBytesMore is at least what a message grows by: ack id, message id, publish time, attempt, tags and lengths.
const receivedBytesMore = 128

func (e *encoder) append(dst []byte, messages []delivery.Delivery) []byte {
	for i := range messages {
		m := &messages[i]
		e.text = e.key.Append(e.text[:0], wire.AckID{
			Epoch: e.epoch, Subscription: e.subscription, Offset: uint64(m.Offset), Slot: m.Handle.Slot, Turn: m.Handle.Turn,
		})
		dst = wire.AppendReceived(dst, e.text, m.Message, m.ID, m.Time, m.Attempt)
	}
	return dst
}
