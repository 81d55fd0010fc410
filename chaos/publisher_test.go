package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/check"
)

// publisher sends batches to one topic, one call after the other, so that its messages have an order.
type publisher struct {
	*load
	name   string
	topic  string
	random *rand.Rand
	call   int64
}

func (p *publisher) run() {
	tick := time.NewTicker(*publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.publishing.Done():
			return
		case <-tick.C:
			p.publish(messagesPerCall, messageBytes)
		}
	}
}

// publish makes one call and records it. It returns the call's error.
func (p *publisher) publish(count, size int) error {
	p.call++
	r := &pb.PublishRequest{Topic: p.topic}
	var events []check.Event
	key := fmt.Sprintf("%s-%d", p.name, p.call%int64(p.keys))
	if p.topic != parcels {
		key = ""
	}
	for i := range count {
		payload := fmt.Sprintf("%s-%d-%d", p.name, p.call, i)
		m := &pb.PubsubMessage{Data: p.data(payload, size), Attributes: map[string]string{"number": fmt.Sprint(i), "publisher": p.name}, OrderingKey: key}
		r.Messages = append(r.Messages, m)
		events = append(events, check.Event{Process: p.name, Op: check.OpPublish, Phase: check.PhaseInvoke, Call: p.call, Topic: p.topic, Key: key,
			Payload: payload, SHA256: digest(m), Bytes: int64(len(m.Data))})
	}
	p.history.Record(events...)
	// The context outlives the end of publishing: a call that is under way gets its answer.
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	answer, err := pb.NewPublisherClient(p.conn).Publish(ctx, r, grpc.WaitForReady(true))
	outcome := outcomeOf(err)
	if err == nil && len(answer.MessageIds) != count {
		err = fmt.Errorf("%d message ids for %d messages", len(answer.MessageIds), count)
		p.t.Error(err)
		outcome = check.PhaseUnknown
	}
	for i := range events {
		// Only what the outcome adds: the invocation has told the rest.
		events[i] = check.Event{Process: p.name, Op: check.OpPublish, Phase: outcome, Call: p.call, Topic: p.topic, Payload: events[i].Payload}
		if err != nil {
			events[i].Detail = err.Error()
		} else {
			events[i].MessageID = answer.MessageIds[i]
		}
	}
	p.history.Record(events...)
	if err == nil {
		p.accepted.Add(int64(count))
	}
	return err
}

// data begins with the payload id, so that a receiver can tell which message it is; the rest is noise.
func (p *publisher) data(payload string, size int) []byte {
	data := append([]byte(payload), ' ')
	for len(data) < size {
		data = append(data, byte(p.random.Uint32()))
	}
	return data
}

// payloadOf is the id that data begins with.
func payloadOf(data []byte) string {
	payload, _, _ := strings.Cut(string(data[:min(len(data), 100)]), " ")
	return payload
}

// digest is the hash that histories carry.
func digest(m *pb.PubsubMessage) string {
	h := sha256.New()
	h.Write(m.Data)
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		if !strings.HasPrefix(name, "CloudPubSubDeadLetterSource") && !strings.HasPrefix(name, "PosthasteDeadLetter") {
			fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(m.Attributes[name]), m.Attributes[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// outcomeOf says whether an error is a definite refusal or leaves open what happened.
func outcomeOf(err error) check.Phase {
	switch status.Code(err) {
	case codes.OK:
		return check.PhaseOK
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.ResourceExhausted, codes.PermissionDenied,
		codes.Unauthenticated, codes.OutOfRange, codes.Unimplemented:
		return check.PhaseFail
	default:
		return check.PhaseUnknown
	}
}
