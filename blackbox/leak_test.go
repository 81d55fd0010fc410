package blackbox

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// goroutines is how many the broker has, with where they are.
func goroutines(t *testing.T, profiles string) (count int, where string) {
	t.Helper()
	response, err := http.Get("http://" + profiles + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "goroutine profile: total %d", &count); err != nil {
		t.Fatalf("%.100s: %v", text, err)
	}
	return count, string(text)
}

// TestNoGoroutineIsLeft makes calls of every kind, ends half of them rudely, and sees the broker come to rest as it was.
func TestNoGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	profiles, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s := own(t, "--pprof", profiles)
	const spare = 5 // the profile's own, and what the runtime adds when it first needs it
	round := func(i int) {
		endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		client := &server{addr: s.addr, broker: s.broker, project: s.project, PublisherClient: pb.NewPublisherClient(conn), sub: pb.NewSubscriberClient(conn)}
		topic, sub := client.pair(t, fmt.Sprint("pull", i))
		push := client.subscription(t, fmt.Sprint("push", i), topic, func(r *pb.Subscription) { r.PushConfig = &pb.PushConfig{PushEndpoint: endpoint.URL} })
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for n := range 40 {
			calls.Go(func() { client.occupy(ctx, sub, n) })
		}
		for range 20 {
			client.publish(t, topic, "a", "b", "c")
		}
		time.Sleep(100 * time.Millisecond) // lets calls be in the middle of something; nothing depends on it
		cancel()
		calls.Wait()
		if i%2 == 0 {
			for _, name := range []string{sub, push} {
				if _, err := client.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: name}); err != nil {
					t.Error(err)
				}
			}
		} else if _, err := client.sub.ModifyPushConfig(limited(t), &pb.ModifyPushConfigRequest{Subscription: push, PushConfig: &pb.PushConfig{}}); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		endpoint.Close()
		http.DefaultClient.CloseIdleConnections()
	}
	round(0) // starts what is started once
	round(1)
	before, _ := goroutines(t, profiles)
	for i := range 8 {
		round(2 + i)
	}
	var after int
	var where string
	deadline := time.Now().Add(patience)
	for after = before + spare + 1; after > before+spare && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		http.DefaultClient.CloseIdleConnections()
		after, where = goroutines(t, profiles)
	}
	if after > before+spare {
		t.Errorf("%d goroutines are left of %d before:\n%s", after, before, strings.TrimSpace(where))
	}
}

// occupy makes one call of several kinds, which ends with ctx if not before.
func (s *server) occupy(ctx context.Context, sub string, n int) {
	switch n % 4 {
	case 0:
		_, _ = s.sub.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: 1000}) // cut off
	case 1:
		if stream, err := s.sub.StreamingPull(ctx); err == nil {
			_ = stream.Send(&pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 10})
			for err == nil {
				_, err = stream.Recv()
			}
		}
	case 2:
		if stream, err := s.sub.StreamingPull(ctx); err == nil {
			_ = stream.Send(&pb.StreamingPullRequest{Subscription: sub + "-missing", StreamAckDeadlineSeconds: 10})
			<-ctx.Done() // without reading
		}
	case 3:
		request, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/v1/"+sub+":pull", strings.NewReader(`{"maxMessages":1}`))
		if err == nil {
			if response, err := http.DefaultClient.Do(request); err == nil {
				_ = response.Body.Close()
			}
		}
	}
}
