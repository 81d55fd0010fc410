// Package serve is the life of a broker process: one port for gRPC and HTTP, what listens there, and the order in which all of it starts and
// stops.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/posthaste-io/posthaste/internal/budget"
	"github.com/posthaste-io/posthaste/internal/config"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/listen"
	"github.com/posthaste-io/posthaste/internal/rest"
)

// Storage is the broker with the engine beneath it, as the server's life cycle sees it.
type Storage interface {
	Options() []grpc.ServerOption
	Register(grpc.ServiceRegistrar, *budget.Memory) // requests take their memory from the budget
	Web(*http.ServeMux)                             // adds what the storage serves over HTTP
	Failed() <-chan struct{}                        // closed when the log can no longer be written
	Reset(context.Context) error                    // deletes every resource
	Drain()                                         // ends open streams with UNAVAILABLE
	Close(context.Context) error
}

// Server is one run of the broker: a port, what listens there, and the order in which they start and stop.
//
//  1. The port is open and /healthz answers before the storage is, which may take a while to recover; clients that connect wait.
//  2. /readyz answers 200 exactly while calls are taken.
//  3. The storage is closed after the last call has ended or was cut off, and before the process ends.
type Server struct {
	Settings *config.Config
	Log      *slog.Logger
	Open     func(context.Context, *config.Config, *slog.Logger) (Storage, error)
	Prepare  func(context.Context, Storage, *slog.Logger) error // gives the storage what it is to have before the first call; nil does nothing
	Announce func(bound net.Addr) error                         // is called when calls are taken
	health   health
	memory   *budget.Memory // for requests
}

// closeTime bounds how long the storage may take to write what is left, after the grace period.
const closeTime = 30 * time.Second

// ErrStorageFailed ends a run whose log could no longer be written.
var ErrStorageFailed = errors.New("the storage failed and takes no more messages: see the log; a restart recovers what is on disk")

// Run serves until ctx ends, which is no error, or until something breaks.
func (s *Server) Run(ctx context.Context) error {
	listener, err := listenOn(ctx, s.Settings.Listen)
	if err != nil {
		return err
	}
	if s.Settings.Issuer == "" {
		s.Settings.Issuer = "http://" + Reachable(listener.Addr())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, broken := errgroup.WithContext(serving)
	split := listen.Split(listener, listen.Options{Log: s.Log})
	s.memory = budget.Of(int(s.Settings.RequestMemoryBytes))
	front := rest.New(rest.Options{Origins: strings.Split(s.Settings.REST.Origins, ","), Memory: s.memory, Log: s.Log})
	mux := s.health.handler(front)
	web := s.webServer(direct(mux, front))
	group.Go(func() error { return split.Run(serving) })
	group.Go(func() error { return untilClosed(web.Serve(split.HTTP())) })
	profiles, err := s.serveProfiles(ctx, group)
	if err == nil {
		err = s.serveCalls(ctx, broken, split.GRPC(), front, mux)
	}
	_ = web.Close()
	_ = profiles.Close()
	stop()
	return errors.Join(err, group.Wait())
}

// serveCalls opens the storage, serves gRPC and REST until it is time to stop, and closes the storage.
func (s *Server) serveCalls(ctx, broken context.Context, listener net.Listener, front *rest.Front, mux *http.ServeMux) error {
	started := time.Now()
	store, err := s.Open(ctx, s.Settings, s.Log)
	if err != nil {
		if ctx.Err() != nil {
			s.Log.Info("stopped before the storage was open")
			return nil
		}
		return err
	}
	if s.Prepare != nil {
		if err := s.Prepare(ctx, store, s.Log); err != nil {
			return errors.Join(err, s.closeStorage(store))
		}
	}
	calls := grpc.NewServer(append(store.Options(), grpc.WaitForHandlers(true))...) // rule 3
	store.Register(registrars{calls, front}, s.memory)
	store.Web(mux)
	if s.Settings.Dev {
		front.ServeReset(store.Reset)
	}
	front.Open()
	defer keepHeadroom()()
	ended := make(chan error, 1)
	go func() { ended <- calls.Serve(listener) }()
	s.health.set(phaseReady)
	s.Log.Info("serving", "listen", listener.Addr().String(), "data", s.Settings.Data, "took", time.Since(started).Round(time.Millisecond))
	cause := s.Announce(listener.Addr())
	if cause == nil {
		select {
		case <-ctx.Done():
		case <-broken.Done(): // the group has the error
		case <-store.Failed():
			s.health.set(phaseFailed)
			cause = ErrStorageFailed
		case err := <-ended:
			cause = fmt.Errorf("serve gRPC: %w", err)
		}
	}
	return errors.Join(cause, s.drain(calls, front, store, cause))
}

// drain lets open calls finish within the grace period, cuts off the rest, and closes the storage.
func (s *Server) drain(calls *grpc.Server, front *rest.Front, store Storage, cause error) error {
	s.health.drain()
	if cause == nil {
		s.Log.Info("stopping", "grace", s.Settings.ShutdownGrace)
	} else {
		s.Log.Error("stopping", "grace", s.Settings.ShutdownGrace, "cause", cause)
	}
	finished := make(chan struct{})
	go func() {
		calls.GracefulStop() // refuses new calls and waits for open ones
		close(finished)
	}()
	store.Drain()
	grace, expire := context.WithTimeout(context.Background(), s.Settings.ShutdownGrace)
	defer expire()
	front.Drain(grace)
	select {
	case <-finished:
	case <-grace.Done():
		s.Log.Warn("calls are cut off at the end of the grace period")
		calls.Stop()
		<-finished
	}
	err := s.closeStorage(store)
	if errors.Is(cause, ErrStorageFailed) { // what a failed log says when it is closed is known already
		return nil
	}
	if err == nil {
		s.Log.Info("stopped")
	}
	return err
}

func (s *Server) closeStorage(store Storage) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return store.Close(ctx)
}

// webServer is an HTTP server that bounds what slow or greedy clients cost.
func (s *Server) webServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: limit.HTTPHeaderTimeMax, IdleTimeout: limit.HTTPIdleTimeMax, MaxHeaderBytes: limit.HTTPHeaderBytesMax,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}

// untilClosed takes the end that was asked for out of an HTTP server's errors.
func untilClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP: %w", err)
}

// registrars makes services known to several servers.
type registrars []grpc.ServiceRegistrar

func (r registrars) RegisterService(description *grpc.ServiceDesc, service any) {
	for _, server := range r {
		server.RegisterService(description, service)
	}
}

// Reachable is an address as a client on this machine may write it: nobody connects to "all interfaces".
func Reachable(bound net.Addr) string {
	tcp, ok := bound.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(tcp.Port))
	}
	return bound.String()
}

// listenOn opens a TCP port.
func listenOn(ctx context.Context, address string) (*net.TCPListener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err // names the address
	}
	return l.(*net.TCPListener), nil
}
