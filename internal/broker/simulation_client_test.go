package broker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/check"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// publish sends a few messages of one key in one call.
func (s *simulation) publish() error {
	s.calls++
	key := ""
	if s.dice.IntN(3) > 0 {
		key = fmt.Sprint("key", s.dice.IntN(s.keys))
	}
	request := &pubsubpb.PublishRequest{Topic: s.someTopic()}
	var events []check.Event
	for range 1 + s.dice.IntN(5) {
		s.published++
		payload, class := fmt.Sprint("m", s.published), string("ab"[s.dice.IntN(2)])
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{
			Data: []byte(payload + strings.Repeat(" ", s.dice.IntN(200))), Attributes: map[string]string{"class": class}, OrderingKey: key,
		})
		events = append(events, check.Event{
			Process: "publisher", Op: check.OpPublish, Phase: check.PhaseInvoke, Call: s.calls, Topic: request.Topic, Key: key, Class: class,
			Payload: payload, SHA256: class,
		})
	}
	raw, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	for _, e := range events {
		s.emit(e)
	}
	var p wire.Publish
	if err := p.Scan(raw); err != nil {
		return err
	}
	first, err := s.Publish(s.ctx, &p)
	for i, e := range events {
		e.Phase, e.MessageID = check.PhaseOK, fmt.Sprint(first+uint64(i))
		if err != nil {
			e.Phase, e.MessageID = check.PhaseFail, ""
		}
		s.emit(e)
	}
	return nil
}

func (s *simulation) openStream() error {
	limits := delivery.Credit{}
	if s.dice.IntN(2) == 0 {
		limits.MessagesMax = 1 + s.dice.Int64N(20)
	}
	if s.dice.IntN(3) == 0 {
		limits.BytesMax = 1 + s.dice.Int64N(1000)
	}
	return s.attach(s.subs[s.dice.IntN(len(s.subs))], limits)
}

func (s *simulation) attach(sub *simulatedSub, limits delivery.Credit) error {
	target, err := s.Subscription(sub.name)
	if err != nil {
		return err
	}
	taker, err := target.OpenStream(limits, streamDeadline)
	if err != nil {
		return err
	}
	s.calls++
	stream := &simulatedStream{name: fmt.Sprint("stream", s.calls), sub: sub, taker: taker}
	s.streams = append(s.streams, stream)
	s.emit(check.Event{
		Process: stream.name, Op: check.OpStream, Phase: check.PhaseInvoke, Subscription: sub.alias,
		Limits: &check.Limits{Messages: limits.MessagesMax, Bytes: limits.BytesMax},
	})
	return s.poll(stream)
}

const streamDeadline = 10 * time.Second

func (s *simulation) closeStream() error {
	if len(s.streams) == 0 {
		return nil
	}
	i := s.dice.IntN(len(s.streams))
	stream := s.streams[i]
	s.streams = slices.Delete(s.streams, i, i+1)
	s.emit(check.Event{Process: stream.name, Op: check.OpStream, Phase: check.PhaseOK, Subscription: stream.sub.alias})
	stream.taker.Leave()
	s.office.Wait()
	return s.pollAll()
}

// poll takes what a stream can get.
func (s *simulation) poll(stream *simulatedStream) error {
	for {
		taken, err := stream.taker.TakeNow(s.ctx, 1+s.dice.IntN(10), 1<<20)
		s.office.Wait()
		if err != nil || len(taken) == 0 {
			return err
		}
		s.receive(stream.sub, stream.name, taken, streamDeadline)
	}
}

// pollAll lets every stream look, in an order that the seed decides.
func (s *simulation) pollAll() error {
	for _, i := range s.dice.Perm(len(s.streams)) {
		if err := s.poll(s.streams[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulation) pull() error {
	sub := s.subs[s.dice.IntN(len(s.subs))]
	target, err := s.Subscription(sub.name)
	if err != nil {
		return err
	}
	taker, err := target.OpenPull()
	if err != nil {
		return err
	}
	taken, err := taker.TakeNow(s.ctx, 1+s.dice.IntN(5), 1<<20)
	if err != nil {
		return err
	}
	s.calls++
	s.receive(sub, fmt.Sprint("pull", s.calls), taken, sub.deadline)
	taker.Leave()
	return nil
}

func (s *simulation) receive(sub *simulatedSub, process string, taken []delivery.Delivery, deadline time.Duration) {
	target, err := s.Subscription(sub.name)
	if err != nil {
		panic(err)
	}
	for i := range taken {
		d := &taken[i]
		m := new(pubsubpb.PubsubMessage)
		if err := proto.Unmarshal(d.Message, m); err != nil {
			panic(err)
		}
		id := wire.AckID{Epoch: s.Epoch(), Subscription: target.ID(), Offset: uint64(d.Offset), Slot: d.Handle.Slot, Turn: d.Handle.Turn}
		r := receipt{sub: sub, process: process, id: id, text: fmt.Sprintf("%d.%d.%d.%d", id.Epoch, id.Slot, id.Turn, id.Offset)}
		older := func(o receipt) bool { return o.sub == sub && o.id.Offset == id.Offset }
		if i := slices.IndexFunc(s.held, older); i >= 0 {
			s.give(i) // clients go on with the newest receipt of a message
		}
		s.held = append(s.held, r)
		s.emit(check.Event{
			Process: process, Op: check.OpReceive, Phase: check.PhaseOK, Subscription: sub.alias, Key: m.OrderingKey, Class: m.Attributes["class"],
			Payload: strings.TrimSpace(string(m.Data)), SHA256: m.Attributes["class"], Bytes: int64(len(d.Message)), MessageID: fmt.Sprint(d.ID),
			PublishTimeNS: d.Time, AckID: r.text, Attempt: int(d.Attempt), DeadlineNS: int64(deadline),
		})
	}
}

// give takes a receipt out of the subscribers' hands.
func (s *simulation) give(i int) receipt {
	r := s.held[i]
	s.held = slices.Delete(s.held, i, i+1)
	s.settled = append(s.settled, r)
	return r
}

// settle lets a few receipts be acknowledged, given back, extended or forgotten.
func (s *simulation) settle() error {
	for range 1 + s.dice.IntN(4) {
		if len(s.held) == 0 {
			return nil
		}
		r := s.held[s.dice.IntN(len(s.held))]
		verb := s.dice.IntN(10)
		if verb != 9 {
			s.give(slices.Index(s.held, r))
		}
		var err error
		switch {
		case verb < 5:
			err = s.acknowledge(r, s.dice.IntN(2) == 0)
		case verb < 7:
			s.modify(r, 0)
		case verb == 9:
			s.modify(r, time.Second*time.Duration(1+s.dice.IntN(15)))
		}
		if err != nil {
			return err
		}
	}
	return s.pollAll()
}

// settleAgain lets a confused client use an ack id that it has used before, or has held for too long.
func (s *simulation) settleAgain() error {
	if len(s.settled) == 0 {
		return nil
	}
	r := s.settled[s.dice.IntN(len(s.settled))]
	if !r.sub.config.ExactlyOnce {
		return nil // an old id may well acknowledge there, or may not: nothing could be judged
	}
	if s.dice.IntN(2) == 0 {
		return s.acknowledge(r, true)
	}
	s.modify(r, 0)
	return s.pollAll()
}

func (s *simulation) acknowledge(r receipt, wait bool) error {
	target, err := s.Subscription(r.sub.name)
	if err != nil {
		return err
	}
	e := check.Event{Process: r.process, Op: check.OpAck, Phase: check.PhaseInvoke, Subscription: r.sub.alias, AckID: r.text}
	s.emit(e)
	verdicts := make([]delivery.Verdict, 1)
	err = target.Ack(s.ctx, []wire.AckID{r.id}, verdicts, wait)
	switch {
	case err != nil:
		return fmt.Errorf("acknowledge: %w", err)
	case r.sub.config.ExactlyOnce && verdicts[0] != delivery.Done:
		e.Phase = check.PhaseFail
	case !wait:
		return nil
	default:
		e.Phase = check.PhaseOK
	}
	s.emit(e)
	return nil
}

func (s *simulation) modify(r receipt, deadline time.Duration) {
	target, err := s.Subscription(r.sub.name)
	if err != nil {
		panic(err)
	}
	e := check.Event{
		Process: r.process, Op: check.OpNack, Phase: check.PhaseInvoke, Subscription: r.sub.alias, AckID: r.text, DeadlineNS: int64(deadline),
	}
	if deadline > 0 {
		e.Op = check.OpExtend
	}
	s.emit(e)
	verdicts := make([]delivery.Verdict, 1)
	target.Modify([]wire.AckID{r.id}, verdicts, deadline)
	s.office.Wait()
	if !r.sub.config.ExactlyOnce {
		return // nobody is told
	}
	e.Phase = check.PhaseOK
	if verdicts[0] != delivery.Done {
		e.Phase = check.PhaseFail
	}
	s.emit(e)
}
