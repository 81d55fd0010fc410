package chaos

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	slowWindows    = 6 // half of them beside the slow subscriber
	slowPublishers = 4
	slowPerCall    = 250
	slowMessage    = 1000 // bytes
	slowTopic      = "projects/one/topics/shared"
	fastName       = "projects/one/subscriptions/fast"
	slowName       = "projects/one/subscriptions/slow"
)

// slowRun is a broker under as much load as it takes, and one subscription that keeps up.
type slowRun struct {
	pb.PublisherClient
	pb.SubscriberClient
	received atomic.Int64
}

// TestSlowConsumer measures what a subscriber that reads nothing costs the other subscription of its topic, and the broker in memory.
// Windows with it and without it alternate, so that both meet the same machine; where it seems to cost too much there are twice as many, of which
// a busy machine leaves some alone.
func TestSlowConsumer(t *testing.T) {
	b := newBroker(t)
	ready(t, b)
	conn := dial(t, b.Addr)
	r := &slowRun{PublisherClient: pb.NewPublisherClient(conn), SubscriberClient: pb.NewSubscriberClient(conn)}
	if _, err := r.CreateTopic(t.Context(), &pb.Topic{Name: slowTopic}); err != nil {
		t.Fatal(err)
	}
	r.subscribe(t, fastName)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range slowPublishers {
		all.Go(func() { r.publish(ctx, t) })
	}
	all.Go(func() { r.read(ctx, t) })
	r.window(t) // until buffers have their size
	best, most := map[bool]float64{}, 0
	cost := func() float64 { return 100 * (1 - best[true]/best[false]) }
	for n := 0; n < slowWindows || n < 2*slowWindows && cost() > *slowCost; n++ {
		slow := n%2 == 1
		if slow {
			r.subscribe(t, slowName)
			stall(ctx, t, conn)
		}
		rate := r.window(t)
		best[slow] = max(best[slow], rate)
		most = max(most, statusMiB(t, b, "VmRSS:"))
		t.Logf("window %d: slow subscriber %-5v %6.1f MB/s, %d MiB of memory at most", n, slow, rate, most)
		if slow {
			if _, err := r.DeleteSubscription(t.Context(), &pb.DeleteSubscriptionRequest{Subscription: slowName}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%.1f MB/s alone, %.1f MB/s beside a slow subscriber: it costs %.1f %%", best[false], best[true], cost())
	if cost() > *slowCost {
		t.Errorf("a slow subscriber costs the other one %.1f %%, more than %.1f %%", cost(), *slowCost)
	}
	if most > *slowMemory {
		t.Errorf("the broker took %d MiB, more than %d MiB", most, *slowMemory)
	}
}

func (r *slowRun) subscribe(t *testing.T, name string) {
	t.Helper()
	if _, err := r.CreateSubscription(t.Context(), &pb.Subscription{Name: name, Topic: slowTopic, AckDeadlineSeconds: 600}); err != nil {
		t.Fatal(err)
	}
}

// stall opens a stream without limits and never reads from it.
func stall(ctx context.Context, t *testing.T, conn grpc.ClientConnInterface) {
	t.Helper()
	st, err := pb.NewSubscriberClient(conn).StreamingPull(ctx)
	if err == nil {
		err = st.Send(&pb.StreamingPullRequest{Subscription: slowName, StreamAckDeadlineSeconds: 600})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (r *slowRun) publish(ctx context.Context, t *testing.T) {
	request := &pb.PublishRequest{Topic: slowTopic}
	for i := range slowPerCall {
		request.Messages = append(request.Messages, &pb.PubsubMessage{Data: fmt.Appendf(nil, "%0*d", slowMessage, i)})
	}
	for ctx.Err() == nil {
		if _, err := r.Publish(ctx, request); err != nil && ctx.Err() == nil {
			t.Errorf("publish: %v", err)
			return
		}
	}
}

// read receives and acknowledges all that comes.
func (r *slowRun) read(ctx context.Context, t *testing.T) {
	st, err := r.StreamingPull(ctx)
	if err == nil {
		err = st.Send(&pb.StreamingPullRequest{Subscription: fastName, StreamAckDeadlineSeconds: 600})
	}
	for err == nil {
		var response *pb.StreamingPullResponse
		if response, err = st.Recv(); err != nil || len(response.ReceivedMessages) == 0 {
			continue
		}
		request := new(pb.StreamingPullRequest)
		for _, m := range response.ReceivedMessages {
			r.received.Add(int64(len(m.Message.Data)))
			request.AckIds = append(request.AckIds, m.AckId)
		}
		err = st.Send(request)
	}
	if ctx.Err() == nil && status.Code(err) != codes.Canceled {
		t.Errorf("stream: %v", err)
	}
}

// window is how much comes in a while, in MB/s.
func (r *slowRun) window(t *testing.T) float64 {
	t.Helper()
	before, began := r.received.Load(), time.Now()
	select {
	case <-time.After(*slowWindow): // the passing of time is what is measured
	case <-t.Context().Done():
	}
	return float64(r.received.Load()-before) / time.Since(began).Seconds() / 1e6
}
