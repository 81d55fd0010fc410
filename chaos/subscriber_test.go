package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/check"
)

// reopenAfter is the pause before a stream or a pull that failed is tried again.
const reopenAfter = 20 * time.Millisecond

// lateSpread is how long before or after the end of its lease a message is acknowledged by readers that are late.
const lateSpread = 300 * time.Millisecond

// responsesAheadMax is how many responses wait for their messages to be settled; more wait unread.
const responsesAheadMax = 1 << 12

// unorderedWait is how long to wait before an acknowledgement that came before that of an earlier message of its key is tried again.
const unorderedWait = time.Second

// subscriber reads one subscription, by streams one after the other or by pulls.
type subscriber struct {
	*load
	plan   plan
	name   string
	random *rand.Rand
	life   int  // streams opened so far
	dying  bool // a message brought the subscriber down
	call   atomic.Int64
}

// runStreams opens a stream again whenever it ends, until the run is over.
func (s *subscriber) runStreams() {
	for s.reading.Err() == nil {
		s.life++
		s.runStream(fmt.Sprintf("%s/%d", s.name, s.life))
		s.pause()
	}
}

func (s *subscriber) pause() {
	select {
	case <-s.reading.Done():
	case <-time.After(reopenAfter):
	}
}

// runStream lives as long as one stream.
func (s *subscriber) runStream(process string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := pb.NewSubscriberClient(s.conn).StreamingPull(ctx)
	if err != nil {
		return
	}
	limits := s.plan.limits
	s.history.Record(check.Event{Process: process, Op: check.OpStream, Phase: check.PhaseInvoke, Subscription: s.plan.name, Limits: &limits})
	first := &pb.StreamingPullRequest{Subscription: s.plan.name, StreamAckDeadlineSeconds: streamDeadline, ClientId: s.name,
		MaxOutstandingMessages: limits.Messages, MaxOutstandingBytes: limits.Bytes}
	err = stream.Send(first)
	// When the run ends, the stream is closed in an orderly way: what it sent before is then taken in.
	life, abrupt, end := s.lifetime()
	defer end()
	leave := func() {
		s.history.Record(check.Event{Process: process, Op: check.OpClose, Phase: check.PhaseInvoke, Subscription: s.plan.name})
		if abrupt && s.reading.Err() == nil {
			cancel()
		}
		_ = stream.CloseSend()
	}
	stop := context.AfterFunc(life, leave)
	arrivals := s.arrivals(process, stream)
	for response := range arrivals {
		if err != nil || stream.Context().Err() != nil {
			continue // the stream is over: what it brought goes back
		}
		choice := s.take(process, response.ReceivedMessages)
		if choice.onStream != nil && stop() { // else the sending side is closed, or about to be
			err = stream.Send(choice.onStream)
			stop = context.AfterFunc(life, leave)
		}
		// A call may wait for a broker that is down, while the time of the next delivery must be noted when it comes.
		s.readers.Go(func() { s.acknowledge(process, choice.byCall) })
		s.acknowledgeAfter(choice.after, process, choice.late)
		if s.dying {
			s.dying, err = false, errPoisoned
			cancel()
		}
	}
	stop()
}

// arrivals reads a stream to its end and notes what comes when it comes: whoever decides what becomes of it may have to wait until the
// broker takes that in.
func (s *subscriber) arrivals(process string, stream grpc.BidiStreamingClient[pb.StreamingPullRequest, pb.StreamingPullResponse]) <-chan *pb.StreamingPullResponse {
	responses := make(chan *pb.StreamingPullResponse, responsesAheadMax)
	s.readers.Go(func() {
		defer close(responses)
		for {
			response, err := stream.Recv()
			if err != nil {
				closed := check.Event{Process: process, Op: check.OpStream, Phase: check.PhaseOK, Subscription: s.plan.name}
				if err != io.EOF {
					closed.Phase, closed.Detail = check.PhaseFail, fmt.Sprint(err)
				}
				s.history.Record(closed)
				return
			}
			s.confirm(process, response)
			s.record(process, response.ReceivedMessages)
			responses <- response
		}
	})
	return responses
}

// lifetime is how long a stream is to live, and whether it is then torn down rather than closed.
func (s *subscriber) lifetime() (life context.Context, abrupt bool, end context.CancelFunc) {
	if s.plan.churn == 0 || s.draining.Load() {
		return s.reading, false, func() {}
	}
	life, end = context.WithTimeout(s.reading, time.Duration(s.random.Int64N(int64(2*s.plan.churn))))
	return life, s.random.IntN(2) == 0, end
}

// choice is what becomes of the messages of a response.
type choice struct {
	onStream *pb.StreamingPullRequest // to be sent at once, and recorded as sent; nil for nothing
	byCall   []*pb.ReceivedMessage    // to be acknowledged by a call
	late     []*pb.ReceivedMessage    // likewise, after a while
	after    time.Duration
}

// take decides what becomes of each message, and records that.
func (s *subscriber) take(process string, messages []*pb.ReceivedMessage) (c choice) {
	onStream := &pb.StreamingPullRequest{}
	var events []check.Event
	settle := func(op check.Op, m *pb.ReceivedMessage, seconds int32) {
		events = append(events, check.Event{Process: process, Op: op, Phase: check.PhaseInvoke, Subscription: s.plan.name, AckID: m.AckId,
			DeadlineNS: int64(seconds) * 1e9})
		if op == check.OpAck {
			onStream.AckIds = append(onStream.AckIds, m.AckId)
			return
		}
		onStream.ModifyDeadlineAckIds = append(onStream.ModifyDeadlineAckIds, m.AckId)
		onStream.ModifyDeadlineSeconds = append(onStream.ModifyDeadlineSeconds, seconds)
	}
	seconds := 1 + s.random.Int32N(2)
	c.after = time.Duration(seconds)*time.Second - lateSpread + time.Duration(s.random.Int64N(int64(2*lateSpread)))
	for _, m := range messages {
		choice := s.random.IntN(100)
		switch {
		case s.plan.poison && poisonous(payloadOf(m.Message.Data)):
			if s.dying = s.dying || choice < 5 && !s.draining.Load(); !s.dying {
				settle(check.OpNack, m, 0)
			}
		case s.plan.late && choice < 40 && !s.draining.Load():
			settle(check.OpExtend, m, seconds)
			c.late = append(c.late, m)
		case s.draining.Load() || s.plan.poison || choice < 76:
			settle(check.OpAck, m, 0)
		case choice < 86:
			c.byCall = append(c.byCall, m)
		case choice < 91:
			settle(check.OpNack, m, 0)
		case choice < 95:
			settle(check.OpExtend, m, 1) // and let it expire soon
		case choice < 98:
			settle(check.OpExtend, m, streamDeadline-1) // and let it expire late
		default: // let it expire at the stream's deadline
		}
	}
	s.history.Record(events...)
	if len(events) > 0 {
		c.onStream = onStream
	}
	return c
}

// acknowledgeAfter makes a call after a while, unless the run is over by then.
func (s *subscriber) acknowledgeAfter(wait time.Duration, process string, messages []*pb.ReceivedMessage) {
	if len(messages) == 0 {
		return
	}
	s.readers.Go(func() {
		select {
		case <-s.reading.Done():
		case <-time.After(wait):
			s.acknowledge(process, messages)
		}
	})
}

// confirm records what an exactly-once subscription says of acknowledgements and deadlines on the stream. One that was refused for the
// time being had no effect.
func (s *subscriber) confirm(process string, r *pb.StreamingPullResponse) {
	var events []check.Event
	add := func(op check.Op, phase check.Phase, ids []string) {
		for _, id := range ids {
			events = append(events, check.Event{Process: process, Op: op, Phase: phase, Subscription: s.plan.name, AckID: id})
		}
	}
	acks, deadlines := r.GetAcknowledgeConfirmation(), r.GetModifyAckDeadlineConfirmation()
	add(check.OpAck, check.PhaseOK, acks.GetAckIds())
	add(check.OpAck, check.PhaseFail, acks.GetInvalidAckIds())
	add(check.OpAck, check.PhaseFail, acks.GetUnorderedAckIds())
	add(check.OpAck, check.PhaseUnknown, acks.GetTemporaryFailedAckIds())
	add(check.OpExtend, check.PhaseOK, deadlines.GetAckIds()) // or a nack: the same confirmation is for both
	add(check.OpExtend, check.PhaseFail, deadlines.GetInvalidAckIds())
	add(check.OpExtend, check.PhaseUnknown, deadlines.GetTemporaryFailedAckIds())
	s.history.Record(events...)
	var again []*pb.ReceivedMessage
	for _, id := range acks.GetUnorderedAckIds() {
		again = append(again, &pb.ReceivedMessage{AckId: id})
	}
	s.acknowledgeAfter(unorderedWait, process, again)
}

// record writes down deliveries.
func (s *subscriber) record(process string, messages []*pb.ReceivedMessage) {
	events := make([]check.Event, 0, len(messages))
	for _, m := range messages {
		events = append(events, check.Event{
			Process: process, Op: check.OpReceive, Phase: check.PhaseOK, Subscription: s.plan.name,
			Key: m.Message.OrderingKey, Payload: payloadOf(m.Message.Data), SHA256: digest(m.Message), Bytes: sizeOf(m.Message),
			MessageID: m.Message.MessageId, PublishTimeNS: m.Message.PublishTime.AsTime().UnixNano(), AckID: m.AckId,
			Attempt: int(m.DeliveryAttempt), DeadlineNS: streamDeadline * int64(time.Second),
		})
	}
	s.history.Record(events...)
	s.plan.replay.received(messages)
	s.received.Add(int64(len(messages)))
}

// sizeOf is what flow control counts: the message as it was published, without what the broker added.
func sizeOf(m *pb.PubsubMessage) int64 {
	return int64(proto.Size(&pb.PubsubMessage{Data: m.Data, Attributes: m.Attributes, OrderingKey: m.OrderingKey}))
}

// acknowledge makes a call, whose answer confirms the acknowledgements. As Google's clients do, it tries again where an earlier message of the
// key was not acknowledged yet, until the ack id holds no longer.
func (s *subscriber) acknowledge(process string, messages []*pb.ReceivedMessage) {
	if len(messages) == 0 {
		return
	}
	call := s.call.Add(1)
	r := &pb.AcknowledgeRequest{Subscription: s.plan.name}
	var events []check.Event
	for _, m := range messages {
		r.AckIds = append(r.AckIds, m.AckId)
		events = append(events, check.Event{Process: process, Op: check.OpAck, Phase: check.PhaseInvoke, Call: call, Subscription: s.plan.name, AckID: m.AckId})
	}
	s.history.Record(events...)
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	_, err := pb.NewSubscriberClient(s.conn).Acknowledge(ctx, r, grpc.WaitForReady(true))
	outcome := outcomeOf(err)
	refused := refusedIDs(err)
	if outcome == check.PhaseFail && (refused == nil || !s.plan.config.ExactlyOnce) {
		s.t.Errorf("%s: acknowledge: %v", process, err)
	}
	var again []*pb.ReceivedMessage
	for i := range events {
		events[i].Phase = outcome
		if err != nil {
			events[i].Detail = err.Error()
		}
		if reason, is := refused[events[i].AckID]; is {
			events[i].Detail = reason
			if reason == unorderedID {
				again = append(again, messages[i])
			}
		} else if refused != nil {
			events[i].Phase, events[i].Detail = check.PhaseOK, ""
		}
	}
	s.history.Record(events...)
	s.plan.replay.settled(events)
	s.acknowledgeAfter(unorderedWait, process, again)
}

// runPulls reads by pulls and acknowledges by calls.
func (s *subscriber) runPulls() {
	for s.reading.Err() == nil {
		answer, err := pb.NewSubscriberClient(s.conn).Pull(s.reading, &pb.PullRequest{Subscription: s.plan.name, MaxMessages: 100}, grpc.WaitForReady(true))
		if err != nil {
			s.pause()
			continue
		}
		s.record(s.name, answer.ReceivedMessages)
		var keep []*pb.ReceivedMessage
		for _, m := range answer.ReceivedMessages {
			if s.draining.Load() || s.random.IntN(100) < 93 {
				keep = append(keep, m) // the others expire
			}
		}
		s.acknowledge(s.name, keep)
	}
}
