package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/config"
)

// patience bounds the wait for what must happen.
const patience = 2 * time.Minute

// fakeStorage records what the server does to it, and serves streams that end when it is drained.
type fakeStorage struct {
	pubsubpb.UnimplementedSubscriberServer
	broken  chan struct{}
	drained chan struct{}
	once    sync.Once
	stuck   bool          // streams do not end when drained
	opened  chan struct{} // gets a value for each stream
	closed  error

	mutex  sync.Mutex
	events []string
}

func newFakeStorage() *fakeStorage {
	return &fakeStorage{broken: make(chan struct{}), drained: make(chan struct{}), opened: make(chan struct{}, 10)}
}

func (f *fakeStorage) event(e string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.events = append(f.events, e)
}

// order lists what happened so far.
func (f *fakeStorage) order() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return strings.Join(f.events, ", ")
}

func (f *fakeStorage) Options() []grpc.ServerOption { return nil }
func (f *fakeStorage) Web(*http.ServeMux)           {}
func (f *fakeStorage) Failed() <-chan struct{}      { return f.broken }

func (f *fakeStorage) Register(r grpc.ServiceRegistrar, _ *budget.Memory) {
	pubsubpb.RegisterSubscriberServer(r, f)
}

func (f *fakeStorage) Reset(context.Context) error {
	f.event("reset")
	return nil
}

func (f *fakeStorage) Drain() {
	f.event("drain")
	f.once.Do(func() { close(f.drained) })
}

func (f *fakeStorage) Close(context.Context) error {
	f.event("close")
	return f.closed
}

func (f *fakeStorage) StreamingPull(stream pubsubpb.Subscriber_StreamingPullServer) error {
	f.opened <- struct{}{}
	defer f.event("stream ends")
	drained := f.drained
	if f.stuck {
		drained = nil
	}
	select {
	case <-drained:
		return status.Error(codes.Unavailable, "The broker is shutting down.")
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// running is a server in a test.
type running struct {
	t       *testing.T
	address string
	stop    context.CancelFunc
	ended   chan error
}

// startServer runs a server on a fake storage, which open may delay or refuse, and waits until it announces itself, unless it ends.
func startServer(t *testing.T, open func(context.Context) (Storage, error), settings config.Config) *running {
	t.Helper()
	settings.Listen = "127.0.0.1:0"
	announced := make(chan net.Addr, 1)
	s := &Server{
		Settings: &settings, Log: slog.New(slog.DiscardHandler),
		Open:     func(ctx context.Context, _ *config.Config, _ *slog.Logger) (Storage, error) { return open(ctx) },
		Announce: func(bound net.Addr) error { announced <- bound; return nil },
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{t: t, stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- s.Run(ctx) }()
	t.Cleanup(stop)
	select {
	case bound := <-announced:
		r.address = bound.String()
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(patience):
		t.Fatal("the server neither announced itself nor ended")
	}
	return r
}

func startWith(t *testing.T, f *fakeStorage, grace time.Duration) *running {
	return startServer(t, func(context.Context) (Storage, error) { return f, nil }, config.Config{ShutdownGrace: grace})
}

func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(patience):
		r.t.Fatal("the server does not end")
		return nil
	}
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := http.Get("http://" + r.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// openStream opens a StreamingPull and waits until the server has it.
func (r *running) openStream(f *fakeStorage) pubsubpb.Subscriber_StreamingPullClient {
	r.t.Helper()
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	stream, err := pubsubpb.NewSubscriberClient(conn).StreamingPull(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-f.opened:
	case <-time.After(patience):
		r.t.Fatal("no stream")
	}
	return stream
}

func TestOnePortServesHealthAndCalls(t *testing.T) {
	f := newFakeStorage()
	r := startWith(t, f, time.Minute)
	r.openStream(f)
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/": {200, "Ok"}, "/healthz": {200, "ready\n"}, "/readyz": {200, "ready\n"}, "/other": {404, "{\n  \"error\": {\n    \"code\": 404,\n    \"message\": \"Not found: there is no method GET /other.\",\n    \"status\": \"NOT_FOUND\"\n  }\n}\n"},
	} {
		if code, body := r.get(path); code != want.code || body != want.body {
			t.Errorf("GET %s: %d %q, want %d %q", path, code, body, want.code, want.body)
		}
	}
}

func TestStopDrainsThenClosesTheStorage(t *testing.T) {
	f := newFakeStorage()
	r := startWith(t, f, time.Minute)
	stream := r.openStream(f)
	r.stop()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v, want UNAVAILABLE", err)
	}
	if err := r.wait(); err != nil {
		t.Errorf("run: %v", err)
	}
	if got := f.order(); got != "drain, stream ends, close" {
		t.Errorf("order: %s", got)
	}
	if code, _ := r.get("/healthz"); code != 0 {
		t.Errorf("the port still answers: %d", code)
	}
}

func TestReadyzTellsOfDrainingWhileCallsAreOpen(t *testing.T) {
	f := newFakeStorage()
	f.stuck = true
	r := startWith(t, f, time.Minute)
	stream := r.openStream(f)
	r.stop()
	<-f.drained
	if code, body := r.get("/readyz"); code != 503 || body != "draining\n" {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if code, body := r.get("/healthz"); code != 200 || body != "draining\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func TestCallsAreCutOffAtTheEndOfTheGracePeriod(t *testing.T) {
	f := newFakeStorage()
	f.stuck = true
	r := startWith(t, f, time.Millisecond)
	stream := r.openStream(f)
	r.stop()
	if err := r.wait(); err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v, want UNAVAILABLE", err)
	}
	if order := f.order(); !strings.HasSuffix(order, ", close") {
		t.Errorf("%s: the storage must be closed last", order)
	}
}

func TestFailedStorageEndsTheServerWithItsExitCode(t *testing.T) {
	f := newFakeStorage()
	f.closed = errors.New("the log failed")
	r := startWith(t, f, time.Minute)
	stream := r.openStream(f)
	close(f.broken)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v, want UNAVAILABLE", err)
	}
	err := r.wait()
	if !errors.Is(err, ErrStorageFailed) || !strings.HasPrefix(err.Error(), "the storage failed") {
		t.Errorf("run: %v", err)
	}
}

func TestErrorOfClosingIsReported(t *testing.T) {
	f := newFakeStorage()
	f.closed = errors.New("no space")
	r := startWith(t, f, time.Minute)
	r.stop()
	if err := r.wait(); err == nil || err.Error() != "no space" {
		t.Errorf("run: %v", err)
	}
}

func TestStorageThatDoesNotOpenEndsTheServer(t *testing.T) {
	refusal := errors.New("in use")
	r := startServer(t, func(context.Context) (Storage, error) { return nil, refusal }, config.Config{})
	if err := r.wait(); !errors.Is(err, refusal) {
		t.Errorf("run: %v", err)
	}
}

func TestStopDuringRecoveryIsNoError(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s := &Server{
		Settings: &config.Config{Listen: "127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler),
		Open: func(ctx context.Context, _ *config.Config, _ *slog.Logger) (Storage, error) {
			stop()
			<-ctx.Done()
			return nil, ctx.Err()
		},
		Announce: func(net.Addr) error { t.Error("announced"); return nil },
	}
	if err := s.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestStorageMustNotOutliveAFailedAnnouncement(t *testing.T) {
	f := newFakeStorage()
	s := &Server{
		Settings: &config.Config{Listen: "127.0.0.1:0", ShutdownGrace: time.Minute}, Log: slog.New(slog.DiscardHandler),
		Open:     func(context.Context, *config.Config, *slog.Logger) (Storage, error) { return f, nil },
		Announce: func(net.Addr) error { return io.ErrClosedPipe },
	}
	if err := s.Run(t.Context()); !errors.Is(err, io.ErrClosedPipe) || !strings.HasSuffix(f.order(), "close") {
		t.Errorf("run: %v, %s", err, f.order())
	}
}

func TestProfilesAreServedOnTheirOwnPort(t *testing.T) {
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := port.Addr().String()
	port.Close()
	f := newFakeStorage()
	startServer(t, func(context.Context) (Storage, error) { return f, nil }, config.Config{Pprof: address, ShutdownGrace: time.Minute})
	response, err := http.Get("http://" + address + "/debug/pprof/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestThePortIsFreeAgainWhenTheDeclaredCannotBeHad(t *testing.T) {
	f := newFakeStorage()
	s := &Server{
		Settings: &config.Config{Listen: "127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler),
		Open:     func(context.Context, *config.Config, *slog.Logger) (Storage, error) { return f, nil },
		Prepare:  func(context.Context, Storage, *slog.Logger) error { return os.ErrPermission },
		Announce: func(net.Addr) error { t.Error("announced"); return nil },
	}
	if err := s.Run(t.Context()); err == nil || f.order() != "close" {
		t.Errorf("error %v, storage: %s", err, f.order())
	}
}
