package rest

import (
	"context"
	"sync"
)

// gate counts open calls, and lets them in between opening and draining. The zero value is shut. It is safe for concurrent use.
type gate struct {
	mu    sync.Mutex
	open  bool
	calls int
	empty chan struct{} // closed when the last call ends; nil unless drained
	cut   context.CancelFunc
	life  context.Context // of all calls; ends when they are cut off
}

func (g *gate) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	g.life, g.cut = context.WithCancel(context.Background())
}

// enter is false when no calls are taken. Otherwise leave follows, and the call ends when life does.
func (g *gate) enter() (life context.Context, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		return nil, false
	}
	g.calls++
	return g.life, true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.calls == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// drain lets nobody in any more and waits until all have left. When ctx ends before, it cuts them off.
func (g *gate) drain(ctx context.Context) {
	g.mu.Lock()
	if g.life == nil {
		g.mu.Unlock()
		return
	}
	g.open = false
	empty := make(chan struct{})
	if g.calls == 0 {
		close(empty)
	} else {
		g.empty = empty
	}
	g.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
	g.cut()
	<-empty
}
