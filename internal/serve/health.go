package serve

import (
	"io"
	"net/http"
	"path"
	"sync/atomic"
)

// phase is where the server stands in its life.
type phase int32

const (
	phaseStarting phase = iota
	phaseReady
	phaseDraining
	phaseFailed
)

func (p phase) String() string { return [...]string{"starting", "ready", "draining", "failed"}[p] }

// health answers the questions of load balancers, orchestrators and scripts. It is safe for concurrent use.
type health struct{ phase atomic.Int32 }

func (h *health) set(p phase) { h.phase.Store(int32(p)) }

// drain takes the server out of service; a failed one stays failed.
func (h *health) drain() { h.phase.CompareAndSwap(int32(phaseReady), int32(phaseDraining)) }

// handler serves /healthz (does the process work), /readyz (should it get calls), / for scripts made for Google's emulator, and rest.
func (h *health) handler(rest http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "Ok") })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		p := phase(h.phase.Load())
		answerIf(w, p != phaseFailed, p)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		p := phase(h.phase.Load())
		answerIf(w, p == phaseReady, p)
	})
	mux.Handle("/", rest)
	return mux
}

// direct keeps the mux from answering paths that are not clean, such as //v1/projects, with a redirection in HTML: a program that makes such a
// URL sends PUT and POST, which it does not send again elsewhere. It gets an error in the form that it understands.
func direct(mux *http.ServeMux, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			rest.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func answerIf(w http.ResponseWriter, good bool, p phase) {
	status := http.StatusOK
	if !good {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, p.String()+"\n")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that has gone needs no answer
}
