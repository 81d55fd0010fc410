package chaos

import (
	"context"
	"math/rand/v2"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/check"
)

const (
	// sought is the subscription that is moved about.
	sought = "projects/one/subscriptions/letters-sought"

	seekEvery   = 700 * time.Millisecond
	seekBackMax = 3 * time.Second
)

// seeker moves a subscription back and forth, and at last back, so that the end of the run shows what that brought back.
type seeker struct {
	load   *load
	random *rand.Rand
	call   int64
}

func (s *seeker) run() {
	for {
		select {
		case <-s.load.publishing.Done():
			for !s.seek(time.Now().Add(-seekBackMax)) {
				if s.load.reading.Err() != nil {
					return
				}
			}
			return
		case <-time.After(seekEvery):
		}
		to := time.Now().Add(-time.Duration(s.random.Int64N(int64(seekBackMax))))
		if s.random.IntN(3) == 0 {
			to = time.Now().Add(time.Hour)
		}
		s.seek(to)
	}
}

// seek reports whether the broker said that it was done.
func (s *seeker) seek(to time.Time) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.load.patience)
	defer cancel()
	s.call++
	e := check.Event{Process: "seeker", Op: check.OpSeek, Phase: check.PhaseInvoke, Call: s.call, Subscription: sought, PublishTimeNS: to.UnixNano()}
	s.load.history.Record(e)
	_, err := pb.NewSubscriberClient(s.load.conn).Seek(ctx, &pb.SeekRequest{Subscription: sought, Target: &pb.SeekRequest_Time{Time: timestamppb.New(to)}})
	switch status.Code(err) {
	case codes.OK:
		e.Phase = check.PhaseOK
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		e.Phase = check.PhaseUnknown
	default:
		e.Phase = check.PhaseFail
		s.load.t.Errorf("seek: %v", err)
	}
	if err != nil {
		e.Detail = err.Error()
	}
	s.load.history.Record(e)
	return err == nil
}
