package serve

import (
	"context"
	"io"
	"net/http"
	"net/http/pprof"

	"golang.org/x/sync/errgroup"
)

// serveProfiles serves Go's profiles on a port of their own, if one is set.
func (s *Server) serveProfiles(ctx context.Context, group *errgroup.Group) (io.Closer, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	web := s.webServer(mux)
	if s.Settings.Pprof == "" {
		return web, nil
	}
	listener, err := listenOn(ctx, s.Settings.Pprof)
	if err != nil {
		return web, err
	}
	s.Log.Info("serving profiles", "url", "http://"+Reachable(listener.Addr())+"/debug/pprof/")
	group.Go(func() error { return untilClosed(web.Serve(listener)) })
	return web, nil
}
