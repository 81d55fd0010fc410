package push

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/broker"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const (
	topicName = "projects/p/topics/topic"
	subPrefix = "projects/p/subscriptions/"

	// patience bounds every wait for something that must happen. It is what a hang costs, not what anything may take.
	patience = 2 * time.Minute
)

// post office: a broker over the model engine and a service that pushes for it.
type office struct {
	t testing.TB
	*broker.Broker
	end     func() // ends the service and waits for that
	restart func() // ends the service, and closes the broker and opens it again
	ended   chan struct{}
}

type noTokens struct{}

func (noTokens) Token(context.Context, string, string) (string, error) {
	return "", errors.New("no token today")
}

func open(t testing.TB, changes ...func(*Options)) *office {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	engine := memory.Open(new(memory.Store), clock.System())
	b, err := broker.Open(context.Background(), engine, broker.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, Broker: b, ended: make(chan struct{})}
	o.restart = func() {
		o.end()
		if err := o.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if o.Broker, err = broker.Open(context.Background(), engine, broker.Options{Logger: quiet}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.CreateTopic(context.Background(), &pubsubpb.Topic{Name: topicName}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	options := Options{Tokens: noTokens{}, Logger: quiet, Grace: 300 * time.Millisecond}
	for _, change := range changes {
		change(&options)
	}
	service := New(b, options)
	go func() {
		defer close(o.ended)
		if err := service.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	o.end = func() {
		stop()
		<-o.ended
	}
	t.Cleanup(func() {
		o.end()
		if err := o.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return o
}

// subscribe makes a push subscription, with the longest deadline there is: no post is made again because its answer took its time.
func (o *office) subscribe(id, url string, changes ...func(*pubsubpb.Subscription)) string {
	o.t.Helper()
	s := &pubsubpb.Subscription{Name: subPrefix + id, Topic: topicName, PushConfig: &pubsubpb.PushConfig{PushEndpoint: url}, AckDeadlineSeconds: 600}
	for _, change := range changes {
		change(s)
	}
	if _, err := o.CreateSubscription(context.Background(), s); err != nil {
		o.t.Fatal(err)
	}
	return s.Name
}

func (o *office) publish(n, bytes int) { o.publishWith(n, bytes, "key") }

// publishWith publishes messages with an attribute of that name.
func (o *office) publishWith(n, bytes int, attribute string) {
	o.t.Helper()
	request := &pubsubpb.PublishRequest{Topic: topicName}
	for range min(n, 1000, 1+(1<<20)/bytes) {
		request.Messages = append(request.Messages, &pubsubpb.PubsubMessage{Data: make([]byte, bytes), Attributes: map[string]string{attribute: "value"}})
	}
	for n > 0 {
		request.Messages = request.Messages[:min(n, len(request.Messages))]
		raw, err := proto.Marshal(request)
		if err != nil {
			o.t.Fatal(err)
		}
		var p wire.Publish
		if err := p.Scan(raw); err != nil {
			o.t.Fatal(err)
		}
		if _, err := o.Publish(context.Background(), &p); err != nil {
			o.t.Fatal(err)
		}
		n -= len(request.Messages)
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// hall is an endpoint that lets nobody out before it is told to, and counts who is in.
type hall struct {
	*httptest.Server
	inside, came atomic.Int64
	door         chan struct{}
	once         sync.Once
}

func newHall(t testing.TB) *hall {
	h := &hall{door: make(chan struct{})}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h.came.Add(1)
		h.inside.Add(1)
		defer h.inside.Add(-1)
		select {
		case <-h.door:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { h.open(); h.Close() })
	return h
}

func (h *hall) open() { h.once.Do(func() { close(h.door) }) }

func TestWaitingMessagesCostNoGoroutines(t *testing.T) {
	o, h := open(t), newHall(t)
	before := runtime.NumGoroutine()
	o.subscribe("slow", h.URL)
	o.publish(3000, 10)
	eventually(t, "the first window is out", func() bool { return h.inside.Load() == windowFirst })
	// Each connection has two goroutines on either side, each post a worker.
	if more := runtime.NumGoroutine() - before; more > 8*windowFirst+8 {
		t.Errorf("%d goroutines for a window of %d", more, windowFirst)
	}
	h.open()
	eventually(t, "all have come", func() bool { return h.came.Load() == 3000 })
}

func TestWindowNeverExceedsItsBound(t *testing.T) {
	o := open(t)
	var inside, most, came atomic.Int64
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := inside.Add(1)
		for {
			was := most.Load()
			if n <= was || most.CompareAndSwap(was, n) {
				break
			}
		}
		time.Sleep(time.Millisecond)
		inside.Add(-1)
		came.Add(1)
	}))
	t.Cleanup(e.Close)
	o.subscribe("sub", e.URL)
	o.publish(5000, 10)
	eventually(t, "all have come", func() bool { return came.Load() >= 5000 })
	if most.Load() > limit.PushOutstandingMax || most.Load() <= windowFirst {
		t.Errorf("up to %d posts at a time", most.Load())
	}
}

func TestBodiesOnTheirWayAreBounded(t *testing.T) {
	o, h := open(t), newHall(t)
	o.subscribe("sub", h.URL)
	o.publish(12, 6<<20)
	eventually(t, "some posts are out", func() bool { return h.inside.Load() >= 2 })
	if n := h.inside.Load(); n > 3 {
		t.Errorf("%d posts of 8 MiB each are out at a time, want at most %d bytes and one more", n, bytesMost)
	}
	h.open()
	eventually(t, "all have come", func() bool { return h.came.Load() == 12 })
}

func TestEndWaitsForItsGraceOnly(t *testing.T) {
	o, h := open(t), newHall(t)
	o.subscribe("sub", h.URL)
	o.publish(1, 10)
	eventually(t, "the post is out", func() bool { return h.inside.Load() == 1 })
	began := time.Now()
	o.end()
	if took := time.Since(began); took < 250*time.Millisecond || took > patience {
		t.Errorf("the end took %v, want the grace of 300ms", took)
	}
}

func TestEndTakesInTheAnswersOfItsGrace(t *testing.T) {
	o, h := open(t, func(o *Options) { o.Grace = patience }), newHall(t)
	name := o.subscribe("sub", h.URL)
	o.publish(1, 10)
	eventually(t, "the post is out", func() bool { return h.inside.Load() == 1 })
	time.AfterFunc(50*time.Millisecond, h.open)
	o.restart() // which ends the lease, so that only an acknowledgement keeps the message from coming again
	if err := o.ModifyPushConfig(t.Context(), name, nil); err != nil {
		t.Fatal(err)
	}
	sub, err := o.Subscription(name)
	if err != nil {
		t.Fatal(err)
	}
	taker, err := sub.OpenPull()
	if err != nil {
		t.Fatal(err)
	}
	defer taker.Leave()
	if left, err := taker.TakeNow(t.Context(), 10, 1000); err != nil || len(left) != 0 {
		t.Errorf("%d messages are left, %v", len(left), err)
	}
}

func TestManySubscriptionsComeAndGo(t *testing.T) {
	o := open(t)
	var came atomic.Int64
	e := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	t.Cleanup(e.Close)
	var names []string
	for i := range 50 {
		names = append(names, o.subscribe("s"+string(rune('a'+i/26))+string(rune('a'+i%26)), e.URL))
	}
	o.publish(20, 10)
	eventually(t, "all have come", func() bool { return came.Load() == 50*20 })
	for _, name := range names {
		if err := o.DeleteSubscription(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the pumps have ended", func() bool { return running("(*pump).run(") == 0 })
}

// running is how many goroutines have a function on their stack.
func running(function string) int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), function)
}

func TestEndpointThatMovesIsFollowed(t *testing.T) {
	o, first, second := open(t), newHall(t), newHall(t)
	second.open()
	name := o.subscribe("sub", first.URL)
	o.publish(3, 10)
	eventually(t, "the posts are out", func() bool { return first.inside.Load() == 3 })
	if err := o.ModifyPushConfig(t.Context(), name, &pubsubpb.PushConfig{PushEndpoint: second.URL}); err != nil {
		t.Fatal(err)
	}
	o.publish(5, 10)
	eventually(t, "the new endpoint has what is new", func() bool { return second.came.Load() == 5 })
	first.open()
	eventually(t, "the old endpoint has answered", func() bool { return first.inside.Load() == 0 })
	if first.came.Load() != 3 {
		t.Errorf("%d posts came to the old endpoint", first.came.Load())
	}
}

func TestWithoutATokenNothingIsPosted(t *testing.T) {
	o, h := open(t), newHall(t)
	h.open()
	o.subscribe("sub", h.URL, func(s *pubsubpb.Subscription) {
		s.PushConfig.AuthenticationMethod = &pubsubpb.PushConfig_OidcToken_{OidcToken: &pubsubpb.PushConfig_OidcToken{ServiceAccountEmail: "a@b"}}
	})
	plain := newHall(t)
	plain.open()
	o.subscribe("plain", plain.URL)
	o.publish(1, 10)
	eventually(t, "the other endpoint has the message", func() bool { return plain.came.Load() == 1 })
	if h.came.Load() != 0 {
		t.Error("a message was posted without its token")
	}
}

func TestMessagesThatCannotBeSaidInHeadersDoNotHoldUpOthers(t *testing.T) {
	still := clock.NewManual(time.Unix(1_800_000_000, 0)) // a pause, for which the endpoint is blamed, would never end
	o, h := open(t, func(o *Options) { o.Clock = still }), newHall(t)
	h.open()
	o.subscribe("sub", h.URL, func(s *pubsubpb.Subscription) {
		s.PushConfig.Wrapper = &pubsubpb.PushConfig_NoWrapper_{NoWrapper: &pubsubpb.PushConfig_NoWrapper{WriteMetadata: true}}
	})
	o.publishWith(200, 10, "no header")
	for range 10 {
		o.publish(10, 10)
		o.publishWith(20, 10, "no header")
	}
	eventually(t, "the others have come", func() bool { return h.came.Load() == 100 })
}

func TestRootsNameWhatIsWrong(t *testing.T) {
	if roots, err := Roots(""); roots != nil || err != nil {
		t.Errorf("no file: %v, %v, want the system's", roots, err)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := Roots(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("no such file: %v", err)
	}
	if err := os.WriteFile(name, []byte("-----BEGIN CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Roots(name); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("useless file: %v", err)
	}
}

// answerer is the cheapest HTTP server there is, so that the benchmark measures what posts.
func answerer(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
		answered.Add(1)
	})}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

var answered atomic.Int64

func BenchmarkDelivery(b *testing.B) {
	o := open(b)
	o.subscribe("sub", answerer(b))
	answered.Store(0)
	b.ReportAllocs()
	b.ResetTimer()
	o.publish(b.N, 1024)
	for answered.Load() < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
