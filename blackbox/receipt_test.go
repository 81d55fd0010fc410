package blackbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A message that comes back ends the leases after it, also of messages whose receipt their subscriber has yet to tell. Google's clients for Go
// and Node drop every message of such a request that the answer does not name, so that the others must be named as to be tried again.
func TestWithExactlyOnceAndOrderAnExtensionBesideEndedLeasesIsAskedForAgain(t *testing.T) {
	const again = "TRANSIENT_FAILURE_REPEAT_REQUEST"
	for client, named := range map[string]bool{
		"gl-go/1.26.0 gccl/2.8.1 gapic/2.8.1 gax/2.15.0 grpc/1.80.0": true, "gl-node/24.1.0 grpc/1.14.0 gapic/5.3.1": true,
		"gl-python/3.13.0 grpc/1.76.0": false, "gl-java/21 gapic/1.150.0": false, "": false,
	} {
		t.Run(client, func(t *testing.T) {
			s := common(t)
			topic, sub := s.pair(t, "beside", exactlyOnce, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
			s.publishKeyed(t, topic, "k", "a")
			s.publishKeyed(t, topic, "k", "b")
			s.publishKeyed(t, topic, "l", "c")
			got := ackIDs(s.pull(t, sub, 3))
			a, b, c := got[0], got[1], got[2]
			modify := func(seconds int32, ids ...string) error {
				ctx := metadata.AppendToOutgoingContext(limited(t), "x-goog-api-client", client)
				_, err := s.sub.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: ids, AckDeadlineSeconds: seconds})
				return err
			}
			if err := modify(0, a); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{b: permanent}
			if named {
				want[c] = again
			}
			wantFailures(t, modify(60, b, c), want)
			if err := modify(60, c); err != nil {
				t.Errorf("the same again: %v", err)
			}
			wantFailures(t, modify(60, c, "nonsense"), map[string]string{"nonsense": permanent})
			wantFailures(t, modify(0, b, c), map[string]string{b: permanent}) // one that came back cannot again
			wantFailures(t, modify(60, c), map[string]string{c: permanent})
		})
	}
}

func TestClientKeepsTheOrderWithExactlyOnceWhenMessagesFail(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	dead, _ := s.pair(t, "dead")
	topic, sub := s.pair(t, "work", exactlyOnce, func(r *pb.Subscription) {
		r.EnableMessageOrdering = true
		r.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: dead, MaxDeliveryAttempts: 100}
		r.RetryPolicy = &pb.RetryPolicy{MinimumBackoff: durationpb.New(100 * time.Millisecond), MaximumBackoff: durationpb.New(300 * time.Millisecond)}
	})
	const keys, each = 8, 30
	var mu sync.Mutex
	var next [keys]int // message that comes first
	came := make(chan struct{}, keys*each)
	receive(t, client, sub, pubsub.ReceiveSettings{NumGoroutines: 2, MaxOutstandingMessages: 10}, func(m *pubsub.Message) {
		key, number, _ := strings.Cut(string(m.Data), "/")
		k, _ := strconv.Atoi(key)
		i, _ := strconv.Atoi(number)
		mu.Lock()
		defer mu.Unlock()
		if i > next[k] {
			t.Errorf("message %d of key %d came before message %d", i, k, next[k])
		}
		if i >= next[k] {
			next[k] = i + 1
			came <- struct{}{}
		}
		if i%10 == 3 && *m.DeliveryAttempt < 5 || i%10 == 6 && *m.DeliveryAttempt < 3 {
			m.Nack()
			return
		}
		m.Ack()
	})
	publisher := client.Publisher(topic)
	publisher.EnableMessageOrdering = true
	defer publisher.Stop()
	for i := range each {
		for k := range keys {
			publisher.Publish(t.Context(), &pubsub.Message{Data: fmt.Appendf(nil, "%d/%d", k, i), OrderingKey: fmt.Sprint(k)})
		}
	}
	publisher.Flush()
	patience := limited(t)
	for i := range keys * each {
		select {
		case <-came:
		case <-patience.Done():
			t.Fatalf("%d of %d messages came", i, keys*each)
		}
	}
}

// Google's clients send the acknowledgements of a moment in several requests at once when there are many, the ids in no order.
func TestWithExactlyOnceAndOrderRequestsAtOnceAcknowledgeTogether(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "together", exactlyOnce, func(s *pb.Subscription) { s.EnableMessageOrdering = true })
	const messages, requests = 60, 3
	for i := range messages {
		s.publishKeyed(t, topic, "k", strconv.Itoa(i))
	}
	var parts [requests][]string
	for i, id := range ackIDs(s.pull(t, sub, messages)) {
		parts[i%requests] = append(parts[i%requests], id)
	}
	answers := make(chan error, requests)
	for _, ids := range parts {
		go func() {
			var err error
			for range 5 { // a busy machine may send one much later than another
				if _, err = s.sub.Acknowledge(t.Context(), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ids}); err == nil {
					break
				}
				if details := status.Convert(err).Details(); len(details) > 0 {
					ids = slices.Collect(maps.Keys(details[0].(*errdetails.ErrorInfo).Metadata))
				}
			}
			answers <- err
		}()
	}
	for range requests {
		if err := <-answers; err != nil {
			t.Errorf("acknowledgements that together are in order: %v", err)
		}
	}
}
