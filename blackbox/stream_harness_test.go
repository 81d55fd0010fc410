package blackbox

import (
	"context"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// stream is an open StreamingPull whose responses a goroutine collects; the goroutine ends with the stream.
type stream struct {
	pb.Subscriber_StreamingPullClient
	cancel    context.CancelFunc
	responses chan received
	ended     chan error // gets the stream's last error; io.EOF means status OK
}

// received is a response with the time of its arrival.
type received struct {
	*pb.StreamingPullResponse
	at time.Time
}

// stream opens a StreamingPull with the given first request.
func (s *server) stream(t *testing.T, first *pb.StreamingPullRequest) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	raw, err := s.sub.StreamingPull(ctx)
	if err != nil {
		t.Fatalf("streaming pull: %v", err)
	}
	st := &stream{Subscriber_StreamingPullClient: raw, cancel: cancel, responses: make(chan received, 10_000), ended: make(chan error, 1)}
	go func() {
		for {
			response, err := raw.Recv()
			if err != nil {
				st.ended <- err
				return
			}
			st.responses <- received{response, time.Now()}
		}
	}()
	if first != nil {
		st.send(t, first)
	}
	return st
}

func (st *stream) send(t *testing.T, r *pb.StreamingPullRequest) {
	t.Helper()
	if err := st.Send(r); err != nil {
		t.Fatalf("send on stream: %v", err)
	}
}

// delivered is a message with the time of its arrival.
type delivered struct {
	*pb.ReceivedMessage
	at time.Time
}

// take reads until n messages have come.
func (st *stream) take(t *testing.T, n int) []delivered {
	t.Helper()
	var got []delivered
	limit := time.After(patience)
	for len(got) < n {
		select {
		case r := <-st.responses:
			for _, m := range r.ReceivedMessages {
				got = append(got, delivered{m, r.at})
			}
		case err := <-st.ended:
			t.Fatalf("stream ended after %d of %d messages: %v", len(got), n, err)
		case <-limit:
			t.Fatalf("%d messages came, want %d", len(got), n)
		}
	}
	return got
}

// silent checks that no message comes for a while. Responses without messages do not count.
func (st *stream) silent(t *testing.T, while time.Duration) {
	t.Helper()
	limit := time.After(while)
	for {
		select {
		case r := <-st.responses:
			if len(r.ReceivedMessages) > 0 {
				t.Fatalf("%d messages came, want silence: %q", len(r.ReceivedMessages), dataOf(r.ReceivedMessages))
			}
		case err := <-st.ended:
			t.Fatalf("stream ended: %v, want silence", err)
		case <-limit:
			return
		}
	}
}

// end waits for the stream's end and returns its error.
func (st *stream) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-st.ended:
		return err
	case <-time.After(patience):
		t.Fatal("stream did not end")
		return nil
	}
}

// plain gives the messages without their times.
func plain(messages []delivered) []*pb.ReceivedMessage {
	bare := make([]*pb.ReceivedMessage, 0, len(messages))
	for _, m := range messages {
		bare = append(bare, m.ReceivedMessage)
	}
	return bare
}

// open is the usual first request.
func open(sub string) *pb.StreamingPullRequest {
	return &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 60}
}
