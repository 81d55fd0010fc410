package serve

import (
	"io"
	"net/http"
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
