package main

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

	"github.com/posthaste-io/posthaste/internal/config"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/listen"
	"github.com/posthaste-io/posthaste/internal/rest"
)

// storage is the broker with the engine beneath it, as the server's life cycle sees it.
type storage interface {
	options() []grpc.ServerOption
	register(grpc.ServiceRegistrar)
	web(*http.ServeMux)      // adds what the storage serves over HTTP
	failed() <-chan struct{} // closed when the log can no longer be written
	drain()                  // ends open streams with UNAVAILABLE
	close(context.Context) error
}

// server is one run of the broker: a port, what listens there, and the order in which they start and stop.
//
//  1. The port is open and /healthz answers before the storage is, which may take a while to recover; clients that connect wait.
//  2. /readyz answers 200 exactly while calls are taken.
//  3. The storage is closed after the last call has ended or was cut off, and before the process ends.
type server struct {
	settings *config.Config
	log      *slog.Logger
	open     func(context.Context, *config.Config, *slog.Logger) (storage, error)
	prepare  func(context.Context, storage, *slog.Logger) error // gives the storage what it is to have before the first call; nil does nothing
	announce func(bound net.Addr) error
	health   health
}

// closeTime bounds how long the storage may take to write what is left, after the grace period.
const closeTime = 30 * time.Second

// errStorageFailed ends a run whose log could no longer be written.
var errStorageFailed = &codedError{errors.New("the storage failed and takes no more messages: see the log; a restart recovers what is on disk"), exitStorage}

// run serves until ctx ends, which is no error, or until something breaks.
func (s *server) run(ctx context.Context) error {
	listener, err := listenOn(ctx, s.settings.Listen)
	if err != nil {
		return err
	}
	if s.settings.Issuer == "" {
		s.settings.Issuer = "http://" + reachable(listener.Addr())
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, broken := errgroup.WithContext(serving)
	split := listen.Split(listener, listen.Options{Log: s.log})
	front := rest.New(rest.Options{Origins: strings.Split(s.settings.REST.Origins, ","), Log: s.log})
	mux := s.health.handler(front)
	web := s.webServer(mux)
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
func (s *server) serveCalls(ctx, broken context.Context, listener net.Listener, front *rest.Front, mux *http.ServeMux) error {
	started := time.Now()
	store, err := s.open(ctx, s.settings, s.log)
	if err != nil {
		if ctx.Err() != nil {
			s.log.Info("stopped before the storage was open")
			return nil
		}
		return err
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, store, s.log); err != nil {
			return errors.Join(err, s.closeStorage(store))
		}
	}
	calls := grpc.NewServer(append(store.options(), grpc.WaitForHandlers(true))...) // rule 3
	store.register(registrars{calls, front})
	store.web(mux)
	front.Open()
	ended := make(chan error, 1)
	go func() { ended <- calls.Serve(listener) }()
	s.health.set(phaseReady)
	s.log.Info("serving", "listen", listener.Addr().String(), "data", s.settings.Data, "took", time.Since(started).Round(time.Millisecond))
	cause := s.announce(listener.Addr())
	if cause == nil {
		select {
		case <-ctx.Done():
		case <-broken.Done(): // the group has the error
		case <-store.failed():
			s.health.set(phaseFailed)
			cause = errStorageFailed
		case err := <-ended:
			cause = fmt.Errorf("serve gRPC: %w", err)
		}
	}
	return errors.Join(cause, s.drain(calls, front, store, cause))
}

// drain lets open calls finish within the grace period, cuts off the rest, and closes the storage.
func (s *server) drain(calls *grpc.Server, front *rest.Front, store storage, cause error) error {
	s.health.drain()
	if cause == nil {
		s.log.Info("stopping", "grace", s.settings.ShutdownGrace)
	} else {
		s.log.Error("stopping", "grace", s.settings.ShutdownGrace, "cause", cause)
	}
	finished := make(chan struct{})
	go func() {
		calls.GracefulStop() // refuses new calls and waits for open ones
		close(finished)
	}()
	store.drain()
	grace, expire := context.WithTimeout(context.Background(), s.settings.ShutdownGrace)
	defer expire()
	front.Drain(grace)
	select {
	case <-finished:
	case <-grace.Done():
		s.log.Warn("calls are cut off at the end of the grace period")
		calls.Stop()
		<-finished
	}
	err := s.closeStorage(store)
	if cause == errStorageFailed { // what a failed log says when it is closed is known already
		return nil
	}
	if err == nil {
		s.log.Info("stopped")
	}
	return err
}

func (s *server) closeStorage(store storage) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return store.close(ctx)
}

// webServer is an HTTP server that bounds what slow or greedy clients cost.
func (s *server) webServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: limit.HTTPHeaderTimeMax, IdleTimeout: limit.HTTPIdleTimeMax, MaxHeaderBytes: limit.HTTPHeaderBytesMax,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
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
