package chaos

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/check"
)

const (
	replayEvery = 50 * time.Millisecond
	replayMax   = 50     // ids a call
	staleMax    = 20_000 // ids kept; a later one takes the place of one chosen by chance
	invalidID   = "PERMANENT_FAILURE_INVALID_ACK_ID"
	unorderedID = "TRANSIENT_FAILURE_UNORDERED_ACK_ID"
)

// staleIDs keeps ack ids of an exactly-once subscription that can no longer hold, whatever the timing: a later delivery of the message has
// been received, or an acknowledgement was confirmed or refused for good. It sends them again and again; all must be refused. Methods do
// nothing on nil.
type staleIDs struct {
	random *rand.Rand
	// overtaking: what was received later need not have been sent later. When a key is taken back, what is on its way to one stream may
	// arrive after the same on another.
	overtaking bool

	mu       sync.Mutex
	newest   map[string]string // ack id by payload
	kept     []string
	replaced int // ids so far that a later delivery replaced
	refused  int // replays so far
}

func newStaleIDs(random *rand.Rand, overtaking bool) *staleIDs {
	return &staleIDs{random: random, overtaking: overtaking, newest: make(map[string]string)}
}

// received takes deliveries.
func (s *staleIDs) received(messages []*pb.ReceivedMessage) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		payload := payloadOf(m.Message.Data)
		if before, again := s.newest[payload]; again {
			s.replaced++
			if !s.overtaking {
				s.keep(before)
			}
		}
		s.newest[payload] = m.AckId
	}
}

// settled takes the outcome of acknowledgements.
func (s *staleIDs) settled(events []check.Event) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if e.Phase == check.PhaseOK || e.Detail == invalidID {
			s.keep(e.AckID)
		}
	}
}

// keep is called with the lock held.
func (s *staleIDs) keep(id string) {
	if len(s.kept) < staleMax {
		s.kept = append(s.kept, id)
	} else {
		s.kept[s.random.IntN(staleMax)] = id
	}
}

// pick chooses ids, and whether they are to be acknowledged or given back.
func (s *staleIDs) pick() (ids []string, ack bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) > 0 {
		for range replayMax {
			ids = append(ids, s.kept[s.random.IntN(len(s.kept))])
		}
	}
	return ids, s.random.IntN(4) > 0
}

// run replays until the run is over, or one id was taken.
func (s *staleIDs) run(l *load, subscription string) {
	tick := time.NewTicker(replayEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.reading.Done():
			return
		case <-tick.C:
		}
		if ids, ack := s.pick(); len(ids) > 0 && !s.replay(l, subscription, ids, ack) {
			return
		}
	}
}

// replay sends ids once. It returns false when one was taken.
func (s *staleIDs) replay(l *load, subscription string, ids []string, ack bool) bool {
	ctx, cancel := context.WithTimeout(l.reading, l.patience)
	defer cancel()
	var err error
	if ack {
		_, err = pb.NewSubscriberClient(l.conn).Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: subscription, AckIds: ids}, grpc.WaitForReady(true))
	} else {
		r := &pb.ModifyAckDeadlineRequest{Subscription: subscription, AckIds: ids, AckDeadlineSeconds: 0}
		_, err = pb.NewSubscriberClient(l.conn).ModifyAckDeadline(ctx, r, grpc.WaitForReady(true))
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true // the broker was down
	}
	refused := refusedIDs(err)
	for _, id := range ids {
		if refused[id] != invalidID {
			l.t.Errorf("%s: stale ack id %s was taken (acknowledged: %v): %q, %v", subscription, id, ack, refused[id], err)
			return false
		}
	}
	s.mu.Lock()
	s.refused += len(ids)
	s.mu.Unlock()
	return true
}

// counts are how many ids were replaced by later deliveries, and how many replays were refused.
func (s *staleIDs) counts() (replaced, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replaced, s.refused
}

// refusedIDs is what an exactly-once subscription refused of a call, with the reasons; nil when the error does not speak of single ids.
func refusedIDs(err error) map[string]string {
	if status.Code(err) != codes.InvalidArgument {
		return nil
	}
	details := status.Convert(err).Details()
	if len(details) == 0 {
		return nil
	}
	info, is := details[0].(*errdetails.ErrorInfo)
	if !is || info.Reason != "EXACTLY_ONCE_ACKID_FAILURE" {
		return nil
	}
	return info.Metadata
}
