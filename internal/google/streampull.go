package google

import (
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// pullStream is one StreamingPull. Two goroutines serve it: the handler's sends, because it is the one whose return ends the stream
// with a status; the other receives, and ends when the stream does.
type pullStream struct {
	server  *server
	stream  grpc.ServerStream
	request *request // the one that was read last
	sub     *delivery.Subscription
	taker   *delivery.Taker
	pings   bool // answer keep-alives: the client asked for protocol version 1 or higher

	mu              sync.Mutex
	ended           error   // io.EOF: the client is done sending; another: what the stream is to end with
	pong            bool    // a keep-alive is to be answered
	acked, modified outcome // to be confirmed
}

func streamingPull(srv any, stream grpc.ServerStream) error {
	s := srv.(*server)
	var first wire.StreamingPull
	request := s.intake.open(stream.Context())
	err := s.intake.first(stream.Context(), request)
	if err == nil {
		err = refusal(first.Scan(request.Data))
	}
	var p *pullStream
	if err == nil {
		p, err = s.openStream(stream, &first)
	}
	if err != nil {
		s.intake.release(request)
		if errors.Is(err, io.EOF) {
			return nil // opened and closed without a word
		}
		return err
	}
	p.request = request
	defer p.leave()
	if err := p.settle(&first); err != nil {
		s.intake.release(request)
		return err
	}
	go p.receive()
	return p.send()
}

// leave gives back what the stream holds. Its context ends before it does when the client cancelled it or is gone.
func (p *pullStream) leave() {
	if p.stream.Context().Err() != nil {
		p.taker.Abandon()
		return
	}
	p.taker.Leave()
}

// openStream checks a stream's first request.
func (s *server) openStream(stream grpc.ServerStream, first *wire.StreamingPull) (*pullStream, error) {
	sub, err := s.broker.Subscription(string(first.Subscription))
	if err != nil {
		return nil, err
	}
	deadline, err := streamDeadline(first.StreamAckDeadlineSeconds)
	if err != nil {
		return nil, err
	}
	p := &pullStream{server: s, stream: stream, sub: sub, pings: first.ProtocolVersion >= 1}
	credit := delivery.Credit{MessagesMax: first.MaxOutstandingMessages, BytesMax: first.MaxOutstandingBytes}
	p.taker, err = sub.OpenStream(credit, deadline)
	return p, err
}

// streamDeadline checks stream_ack_deadline_seconds: 10 to 600.
func streamDeadline(seconds int32) (time.Duration, error) {
	d := time.Duration(seconds) * time.Second
	if d < limit.StreamAckDeadlineMin || d > limit.StreamAckDeadlineMax {
		return 0, status.Errorf(codes.InvalidArgument,
			"Invalid stream ack deadline given (stream_ack_deadline_seconds=%d). The stream ack deadline must be between 10 and 600 seconds.", seconds)
	}
	return d, nil
}

// receive takes the client's requests until the stream ends.
func (p *pullStream) receive() {
	defer p.server.intake.release(p.request)
	var r wire.StreamingPull
	for {
		err := p.server.intake.another(p.stream.Context(), p.request)
		if err == nil {
			err = r.Scan(p.request.Data)
		}
		if err == nil {
			err = p.follow(&r)
		}
		if err != nil {
			p.mu.Lock()
			p.ended = refusal(err)
			p.mu.Unlock()
			p.taker.Kick()
			return
		}
	}
}

// follow obeys a request after the first.
func (p *pullStream) follow(r *wire.StreamingPull) error {
	switch {
	case len(r.Subscription) > 0:
		return status.Error(codes.InvalidArgument, "The subscription may only be set in the first request of a stream.")
	case r.MaxOutstandingMessages != 0 || r.MaxOutstandingBytes != 0:
		return status.Error(codes.InvalidArgument, "The flow control settings may only be set in the first request of a stream.")
	case r.ProtocolVersion != 0:
		return status.Error(codes.InvalidArgument, "The protocol version may only be set in the first request of a stream.")
	}
	if r.StreamAckDeadlineSeconds != 0 {
		deadline, err := streamDeadline(r.StreamAckDeadlineSeconds)
		if err != nil {
			return err
		}
		p.taker.SetDeadline(deadline)
	}
	if err := p.settle(r); err != nil {
		return err
	}
	if p.pings && len(r.AckIDs) == 0 && len(r.ModifyDeadlineAckIDs) == 0 {
		p.mu.Lock()
		p.pong = true
		p.mu.Unlock()
		p.taker.Kick()
	}
	return nil
}

// settle does what a request says of messages: acknowledgements first. Nothing of a request with a mistake is done.
func (p *pullStream) settle(r *wire.StreamingPull) error {
	if len(r.AckIDs) == 0 && len(r.ModifyDeadlineAckIDs) == 0 && len(r.ModifyDeadlineSeconds) == 0 {
		return nil
	}
	if len(r.ModifyDeadlineAckIDs) != len(r.ModifyDeadlineSeconds) {
		return status.Error(codes.InvalidArgument, "The lists of ack IDs and of ack deadlines to modify must have the same length.")
	}
	for _, seconds := range r.ModifyDeadlineSeconds {
		if _, err := ackDeadline(seconds); err != nil {
			return err
		}
	}
	if exactly, _ := p.sub.Properties(); exactly {
		return p.settleExactly(r)
	}
	scratch := ackScratches.Get().(*ackScratch)
	defer ackScratches.Put(scratch)
	var err error
	if scratch.ids, err = p.server.decodeIDs(scratch.ids[:0], p.sub, r.AckIDs); err != nil {
		return err
	}
	acks := len(scratch.ids)
	if scratch.ids, err = p.server.decodeIDs(scratch.ids, p.sub, r.ModifyDeadlineAckIDs); err != nil {
		return err
	}
	if acks > 0 {
		if err := p.sub.Ack(p.stream.Context(), scratch.ids[:acks], nil, false); err != nil {
			return err
		}
	}
	p.modify(scratch.ids[acks:], r.ModifyDeadlineSeconds)
	return nil
}

// settleExactly is settle for an exactly-once subscription: what became of each id is told on the stream once it is durable.
func (p *pullStream) settleExactly(r *wire.StreamingPull) error {
	acked, err := p.server.ackExactly(p.stream.Context(), p.sub, r.AckIDs)
	if err != nil {
		return err
	}
	modified := p.server.modifyExactly(p.sub, r.ModifyDeadlineAckIDs, func(i int) time.Duration {
		return time.Duration(r.ModifyDeadlineSeconds[i]) * time.Second
	})
	p.mu.Lock()
	p.acked.join(&acked)
	p.modified.join(&modified)
	p.mu.Unlock()
	p.taker.Kick()
	return nil
}

// modify applies deadlines position by position, runs of equal ones together.
func (p *pullStream) modify(ids []wire.AckID, seconds []int32) {
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && seconds[n] == seconds[0] {
			n++
		}
		p.sub.Modify(ids[:n], nil, time.Duration(seconds[0])*time.Second)
		ids, seconds = ids[n:], seconds[n:]
	}
}

// send hands out messages until the stream ends, and gives its status. Each response carries the subscription's properties: to
// clients, a response without them says that the subscription has none.
func (p *pullStream) send() error {
	e := encoder{key: p.server.broker.AckKey(), epoch: p.server.broker.Epoch(), subscription: p.sub.ID()}
	ctx := p.stream.Context()
	for greet := true; ; greet = false {
		var messages []delivery.Delivery
		if !greet {
			var err error
			if messages, err = p.taker.Take(ctx, limit.StreamResponseCountMax, limit.StreamResponseBytesAim); err != nil {
				return err
			}
		}
		p.mu.Lock()
		ended, more := p.ended, p.pong || greet
		p.pong = false
		acked, modified := p.acked, p.modified
		p.acked, p.modified = outcome{}, outcome{}
		p.mu.Unlock()
		more = more || !acked.empty() || !modified.empty()
		switch {
		case errors.Is(ended, io.EOF):
			return nil
		case ended != nil:
			return ended
		case len(messages) == 0 && !more:
			continue
		}
		response := e.response(messages)
		exactlyOnce, ordered := p.sub.Properties()
		response.Data = wire.AppendSubscriptionProperties(response.Data, exactlyOnce, ordered)
		response.Data = appendConfirmations(response.Data, &acked, &modified)
		if err := p.stream.SendMsg(response); err != nil {
			response.Free()
			return err
		}
	}
}

// appendConfirmations appends what an exactly-once subscription's client waits for.
func appendConfirmations(dst []byte, acked, modified *outcome) []byte {
	if !acked.empty() {
		dst = wire.AppendAckConfirmation(dst, &wire.AckConfirmation{Done: acked.done, Invalid: acked.invalid, Unordered: acked.unordered})
	}
	if !modified.empty() {
		dst = wire.AppendModackConfirmation(dst, &wire.ModackConfirmation{Done: modified.done, Invalid: modified.invalid})
	}
	return dst
}
