package google

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// outcome is what became of the ack ids of a request to an exactly-once subscription, as texts, in copies of their own.
type outcome struct {
	done      [][]byte
	invalid   [][]byte // malformed, expired or superseded
	unordered [][]byte // an earlier message of the ordering key is still out
	repeated  [][]byte // of done, those that an error names as to be asked for again
	void      bool     // of invalid, one is of a lease that there was
}

// Words of google.rpc.ErrorInfo that Google's clients look for.
const (
	ackIDFailure     = "EXACTLY_ONCE_ACKID_FAILURE"
	pubsubDomain     = "pubsub.googleapis.com"
	invalidAckID     = "PERMANENT_FAILURE_INVALID_ACK_ID"
	unorderedAckID   = "TRANSIENT_FAILURE_UNORDERED_ACK_ID"
	repeatAckID      = "TRANSIENT_FAILURE_REPEAT_REQUEST"
	ackIDFailureText = "Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids have expired or the acknowledgement ids were malformed."
)

// err is nil when all succeeded, and else tells the client which did not; those that it does not name, or names as to be repeated, succeeded.
func (o *outcome) err() error {
	if len(o.invalid)+len(o.unordered) == 0 {
		return nil
	}
	failed := make(map[string]string, len(o.invalid)+len(o.unordered))
	for _, text := range o.invalid {
		failed[string(text)] = invalidAckID
	}
	for _, text := range o.unordered {
		failed[string(text)] = unorderedAckID
	}
	for _, text := range o.done {
		delete(failed, string(text)) // it was in the request twice, and succeeded once
	}
	if len(failed) == 0 {
		return nil
	}
	for _, text := range o.repeated {
		failed[string(text)] = repeatAckID
	}
	// Clients read the first detail only.
	info := &errdetails.ErrorInfo{Reason: ackIDFailure, Domain: pubsubDomain, Metadata: failed}
	detailed, err := status.New(codes.InvalidArgument, ackIDFailureText).WithDetails(info)
	if err != nil {
		panic("bug: an ErrorInfo cannot be encoded: " + err.Error())
	}
	return detailed.Err()
}

// add files an id under what became of it.
func (o *outcome) add(text []byte, v delivery.Verdict) {
	text = slices.Clone(text)
	switch v {
	case delivery.Done:
		o.done = append(o.done, text)
	case delivery.Unordered:
		o.unordered = append(o.unordered, text)
	default:
		o.invalid = append(o.invalid, text)
	}
}

func (o *outcome) empty() bool { return len(o.done)+len(o.invalid)+len(o.unordered) == 0 }

// join adds what another request brought.
func (o *outcome) join(other *outcome) {
	o.done = append(o.done, other.done...)
	o.invalid = append(o.invalid, other.invalid...)
	o.unordered = append(o.unordered, other.unordered...)
}

// given is an ack id as it came and as it was read.
type given struct {
	id   wire.AckID
	text []byte
}

// split decodes ack ids; malformed ones are filed as such, the others are returned.
func (s *server) split(o *outcome, sub *delivery.Subscription, texts [][]byte) (good []given) {
	for _, text := range texts {
		if id, ok := s.decodeID(sub, text); ok {
			good = append(good, given{id, text})
		} else {
			o.add(text, delivery.Unknown)
		}
	}
	return good
}

// inOrder makes the acknowledgements of one request a set: earlier messages come first, since one of an ordering key counts only behind
// those before it and clients collect ack ids in no order, and an id that is there twice is there once.
func inOrder(ids []given) []given {
	slices.SortStableFunc(ids, func(a, b given) int { return cmp.Compare(a.id.Offset, b.id.Offset) })
	return slices.CompactFunc(ids, func(a, b given) bool { return a.id == b.id })
}

// ackExactly acknowledges and returns when that is durable.
func (s *server) ackExactly(ctx context.Context, sub *delivery.Subscription, texts [][]byte) (o outcome, err error) {
	good := inOrder(s.split(&o, sub, texts))
	ids := make([]wire.AckID, len(good))
	for i := range good {
		ids[i] = good[i].id
	}
	verdicts := make([]delivery.Verdict, len(ids))
	if err := sub.Ack(ctx, ids, verdicts, true); err != nil {
		return o, err
	}
	for i, v := range verdicts {
		o.add(good[i].text, v)
	}
	return o, nil
}

const (
	// turnWait is how long an acknowledgement that came before its turn waits before it is tried again.
	turnWait = 5 * time.Millisecond
	// turnsIdleMax is how often that is in vain before it is refused: the earlier ones are not on their way then.
	turnsIdleMax = 20
	// turnsMax bounds how often a request is tried, whether or not it gets on.
	turnsMax = 400
)

// ackInTurn is ackExactly for a request that may stand beside others on their way. Clients that have more acknowledgements than fit into one
// request send several at once with the ids of a key spread over them in no order; each can only be done as the others get on.
func (s *server) ackInTurn(ctx context.Context, sub *delivery.Subscription, texts [][]byte) (outcome, error) {
	o, err := s.ackExactly(ctx, sub, texts)
	for tries, idle := 0, 0; err == nil && len(o.unordered) > 0 && tries < turnsMax && idle < turnsIdleMax; tries++ {
		select {
		case <-time.After(turnWait):
		case <-ctx.Done():
			return o, nil
		}
		waiting := o.unordered
		o.unordered = nil
		var again outcome
		again, err = s.ackExactly(ctx, sub, waiting)
		o.join(&again)
		if idle++; len(o.unordered) < len(waiting) {
			idle = 0
		}
	}
	return o, err
}

// modifyExactly changes ack deadlines; deadline gives the one for each position of texts.
func (s *server) modifyExactly(sub *delivery.Subscription, texts [][]byte, deadline func(i int) time.Duration) (o outcome) {
	type change struct {
		given
		deadline time.Duration
	}
	changes := make([]change, 0, len(texts))
	for i, text := range texts {
		if id, ok := s.decodeID(sub, text); ok {
			changes = append(changes, change{given{id, text}, deadline(i)})
		} else {
			o.add(text, delivery.Unknown)
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(b.deadline, a.deadline) })
	var ids []wire.AckID
	for n := 0; len(changes) > 0; changes = changes[n:] {
		same := changes[0].deadline
		ids = ids[:0]
		for n = 0; n < len(changes) && changes[n].deadline == same; n++ {
			ids = append(ids, changes[n].id)
		}
		verdicts := make([]delivery.Verdict, n)
		sub.Modify(ids, verdicts, same)
		for i, v := range verdicts {
			o.add(changes[i].text, v)
			o.void = o.void || v == delivery.Expired || v == delivery.Stale
		}
	}
	return o
}

// repeatedMax bounds the requests in whose errors done ids are named: an error is sent as a header, of which clients for Node take 64 KiB, and
// an id takes about 120 bytes.
const repeatedMax = 400

// nameExtended prepares the error of a request for longer leases, some of which had ended.
//
// With message ordering, a message that comes back ends leases that its subscriber has not even heard of, so that the first extension of a
// whole response meets some that are void. Google's clients for Go and Node take an id that an error does not name for failed, drop its
// message and sit on the lease: later messages of the key overtake it. So the error asks them for what was extended again, which does no harm.
func (o *outcome) nameExtended(ctx context.Context, sub *delivery.Subscription) {
	if _, ordered := sub.Properties(); !ordered || !o.void || len(o.done)+len(o.invalid) > repeatedMax {
		return
	}
	headers, _ := metadata.FromIncomingContext(ctx)
	client := strings.Join(headers.Get("x-goog-api-client"), " ")
	if strings.Contains(client, "gl-go/") || strings.Contains(client, "gl-node/") {
		o.repeated = o.done
	}
}
