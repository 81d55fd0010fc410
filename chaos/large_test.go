package chaos

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	largeTries     = 3 // pairs of windows, of which the best count: other programs of a busy machine disturb single ones
	largeName      = "projects/large/subscriptions/huge"
	largeOrdinary  = "projects/large/topics/ordinary"
	largeHonest    = 8 // goroutines that publish ordinary messages
	largeEach      = 4 * time.Millisecond
	largeOrdinaryB = 1000 // bytes of an ordinary message
)

// prepared is a codec that sends requests which are encoded already: encoding takes the processors of whoever is measured.
type prepared struct{}

func (prepared) Name() string { return "proto" }

func (prepared) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (prepared) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}

// largeRun is a broker with little memory, and two kinds of publishers.
type largeRun struct {
	large, ordinary *grpc.ClientConn
	mu              sync.Mutex
	accepted        map[string]bool // ids of large messages
	refused         int
}

// TestLargePublishesAtOnce publishes more large messages at once than fit into the broker's memory, for some time, beside publishers of
// ordinary ones. Each large publish must be taken or refused with RESOURCE_EXHAUSTED, what was taken be delivered and nothing else,
// and the ordinary ones not become much slower.
func TestLargePublishesAtOnce(t *testing.T) {
	b := newBroker(t)
	b.Env = []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", *memoryLimit*7/8)}
	ready(t, b)
	group := confine(t, b)
	r := &largeRun{large: dial(t, b.Addr), ordinary: dial(t, b.Addr), accepted: map[string]bool{}}
	topics, subscriptions := pb.NewPublisherClient(r.ordinary), pb.NewSubscriberClient(r.ordinary)
	for _, topic := range []string{topicOf(largeName), largeOrdinary} {
		if _, err := topics.CreateTopic(t.Context(), &pb.Topic{Name: topic}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := subscriptions.CreateSubscription(t.Context(), &pb.Subscription{Name: largeName, Topic: topicOf(largeName), AckDeadlineSeconds: 600}); err != nil {
		t.Fatal(err)
	}
	peak := watch(t, b)
	r.window(t, 0) // until buffers have their size
	without, with := r.window(t, 0), r.window(t, *memoryLarge)
	for try := 1; try < largeTries && largeSlowed(without, with) > *largeSlower; try++ {
		without, with = min(without, r.window(t, 0)), min(with, r.window(t, *memoryLarge))
	}
	slower := largeSlowed(without, with)
	t.Logf("an ordinary publish takes %v, and %v beside %d large ones at once (99th percentile): %.1f times as long, or as a write of one", without, with, *memoryLarge, slower)
	if slower > *largeSlower {
		t.Errorf("ordinary publishes become %.1f times as slow, more than %.1f", slower, *largeSlower)
	}
	if len(r.accepted) == 0 {
		t.Error("no large message was taken")
	}
	r.deliver(t)
	t.Logf("%d large messages were taken and delivered, %d refused; at most %d MiB resident, of %d MiB", len(r.accepted), r.refused, statusMiB(t, b, "VmHWM:"), *memoryLimit)
	if most := max(int(peak.Load()), statusMiB(t, b, "VmHWM:")); most > *memoryLimit {
		t.Errorf("the broker took %d MiB, more than %d MiB", most, *memoryLimit)
	}
	group.killedNobody(t)
}

// largeWrite is about what the disk takes for one large message, for which an ordinary one may have to wait: without others it is so much faster
// on a machine with nothing else to do that a multiple of that would say nothing about memory.
const largeWrite = 10 * time.Millisecond

// largeSlowed is how many times as long an ordinary publish takes beside large ones.
func largeSlowed(without, with time.Duration) float64 {
	return float64(with) / float64(max(without, largeWrite))
}

// window publishes ordinary messages for a while, beside so many large ones at a time, and gives the 99th percentile of what they took.
func (r *largeRun) window(t *testing.T, large int) time.Duration {
	t.Helper()
	storm, calm := context.WithCancel(t.Context())
	var storming sync.WaitGroup
	for range large {
		storming.Go(func() { r.publishLarge(storm, t) })
	}
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	until := time.Now().Add(*largeWindow)
	for range largeHonest {
		all.Go(func() {
			mine := r.publishOrdinary(t, until)
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	calm()
	storming.Wait()
	if t.Failed() {
		t.FailNow()
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// publishOrdinary publishes one message now and then.
func (r *largeRun) publishOrdinary(t *testing.T, until time.Time) (took []time.Duration) {
	client := pb.NewPublisherClient(r.ordinary)
	request := &pb.PublishRequest{Topic: largeOrdinary, Messages: []*pb.PubsubMessage{{Data: make([]byte, largeOrdinaryB)}}}
	tick := time.NewTicker(largeEach)
	defer tick.Stop()
	for began := time.Now(); began.Before(until); began = <-tick.C {
		began = time.Now()
		if _, err := client.Publish(t.Context(), request); err != nil {
			t.Errorf("an ordinary publish: %v", err)
			return took
		}
		took = append(took, time.Since(began))
	}
	return took
}

// largeRequest is encoded once, and sent by everyone.
var largeRequest = sync.OnceValues(func() ([]byte, error) {
	return proto.Marshal(&pb.PublishRequest{
		Topic: topicOf(largeName), Messages: []*pb.PubsubMessage{{Data: bytes.Repeat([]byte("x"), memoryLargeBytes)}},
	})
})

// publishLarge publishes one large message after the other. What is under way when the storm ends is waited for.
func (r *largeRun) publishLarge(storm context.Context, t *testing.T) {
	request, err := largeRequest()
	if err != nil {
		t.Error(err)
		return
	}
	for storm.Err() == nil {
		response := new(pb.PublishResponse)
		err := r.large.Invoke(t.Context(), "/google.pubsub.v1.Publisher/Publish", request, response, grpc.ForceCodecV2(prepared{}))
		switch status.Code(err) {
		case codes.OK:
			r.mu.Lock()
			r.accepted[response.MessageIds[0]] = true
			r.mu.Unlock()
		case codes.ResourceExhausted:
			r.mu.Lock()
			r.refused++
			r.mu.Unlock()
			time.Sleep(100 * time.Millisecond) // as clients do when they are refused
		default:
			t.Errorf("publish of 10 MB: %v, want it to be taken or RESOURCE_EXHAUSTED", err)
			return
		}
	}
}

// deliver receives all large messages: those that were taken, and no others.
func (r *largeRun) deliver(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), memoryWithin)
	defer cancel()
	st, err := pb.NewSubscriberClient(r.large).StreamingPull(ctx)
	if err == nil {
		err = st.Send(&pb.StreamingPullRequest{Subscription: largeName, StreamAckDeadlineSeconds: 600, MaxOutstandingMessages: 10})
	}
	came := map[string]bool{}
	for err == nil && len(came) < len(r.accepted) {
		var response *pb.StreamingPullResponse
		if response, err = st.Recv(); err != nil {
			break
		}
		request := new(pb.StreamingPullRequest)
		for _, m := range response.ReceivedMessages {
			request.AckIds = append(request.AckIds, m.AckId)
			came[m.Message.MessageId] = true
			if !r.accepted[m.Message.MessageId] || len(m.Message.Data) != memoryLargeBytes {
				t.Errorf("message %s of %d bytes was not taken", m.Message.MessageId, len(m.Message.Data))
			}
		}
		err = st.Send(request)
	}
	if err != nil {
		t.Errorf("after %d of %d large messages: %v", len(came), len(r.accepted), err)
	}
}
