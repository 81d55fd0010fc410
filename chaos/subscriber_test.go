package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/check"
)

// reopenAfter is the pause before a stream or a pull that failed is tried again.
const reopenAfter = 20 * time.Millisecond

// subscriber reads one subscription, by streams one after the other or by pulls.
type subscriber struct {
	*load
	plan   plan
	name   string
	random *rand.Rand
	life   int  // streams opened so far
	dying  bool // a message brought the subscriber down
	call   int64
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
	stop := context.AfterFunc(s.reading, func() { _ = stream.CloseSend() })
	for err == nil {
		var response *pb.StreamingPullResponse
		if response, err = stream.Recv(); err != nil {
			break
		}
		request, byCall := s.take(process, response.ReceivedMessages)
		if request != nil && stop() { // else the sending side is closed, or about to be
			err = stream.Send(request)
			stop = context.AfterFunc(s.reading, func() { _ = stream.CloseSend() })
		}
		// A call may wait for a broker that is down, while the time of the next delivery must be noted when it comes.
		s.call++
		call := s.call
		s.readers.Go(func() { s.acknowledge(process, call, byCall) })
		if s.dying {
			s.dying, err = false, errPoisoned
		}
	}
	stop()
	end := check.Event{Process: process, Op: check.OpStream, Phase: check.PhaseOK, Subscription: s.plan.name}
	if err != io.EOF {
		end.Phase, end.Detail = check.PhaseFail, fmt.Sprint(err)
	}
	s.history.Record(end)
}

// take records deliveries and decides what becomes of each: what is to be sent on the stream at once, which is recorded as sent, and what
// is to be acknowledged by a call.
func (s *subscriber) take(process string, messages []*pb.ReceivedMessage) (request *pb.StreamingPullRequest, byCall []*pb.ReceivedMessage) {
	s.record(process, messages)
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
	for _, m := range messages {
		choice := s.random.IntN(100)
		switch {
		case s.plan.poison && poisonous(payloadOf(m.Message.Data)):
			if s.dying = s.dying || choice < 5 && !s.draining.Load(); !s.dying {
				settle(check.OpNack, m, 0)
			}
		case s.draining.Load() || s.plan.poison || choice < 75:
			settle(check.OpAck, m, 0)
		case choice < 85:
			byCall = append(byCall, m)
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
	if len(events) == 0 {
		return nil, byCall
	}
	return onStream, byCall
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
	s.received.Add(int64(len(messages)))
}

// sizeOf is what flow control counts: the message as it was published, without what the broker added.
func sizeOf(m *pb.PubsubMessage) int64 {
	return int64(proto.Size(&pb.PubsubMessage{Data: m.Data, Attributes: m.Attributes, OrderingKey: m.OrderingKey}))
}

// acknowledge makes a call, whose answer confirms the acknowledgements.
func (s *subscriber) acknowledge(process string, call int64, messages []*pb.ReceivedMessage) {
	if len(messages) == 0 {
		return
	}
	r := &pb.AcknowledgeRequest{Subscription: s.plan.name}
	var events []check.Event
	for _, m := range messages {
		r.AckIds = append(r.AckIds, m.AckId)
		events = append(events, check.Event{Process: process, Op: check.OpAck, Phase: check.PhaseInvoke, Call: call, Subscription: s.plan.name, AckID: m.AckId})
	}
	s.history.Record(events...)
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := pb.NewSubscriberClient(s.conn).Acknowledge(ctx, r, grpc.WaitForReady(true))
	outcome := outcomeOf(err)
	if outcome == check.PhaseFail && !s.plan.config.ExactlyOnce { // which refuses ids that were valid before a crash
		s.t.Errorf("%s: acknowledge: %v", process, err)
	}
	for i := range events {
		events[i].Phase = outcome
		if err != nil {
			events[i].Detail = err.Error()
		}
	}
	s.history.Record(events...)
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
		s.call++
		s.acknowledge(s.name, s.call, keep)
	}
}
