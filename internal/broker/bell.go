package broker

import (
	"slices"
	"sync"
	"sync/atomic"
)

// bell wakes takers that found nothing to take. It is apart from the subscription's lock so that the engine's goroutine can ring it
// after each commit without waiting for anybody.
//
// No wake-up is lost: a taker first lies down and then looks once more whether there is something, a ringer first makes something
// available and then looks whether somebody lies there. Of two that cross, at least one sees the other.
type bell struct {
	count  atomic.Int32 // takers lying down
	called atomic.Int32 // takers that were rung for and have not looked yet
	mu     sync.Mutex
	asleep []*Taker // longest first: whoever waited longest is served first
}

// lieDown puts a taker at the end of the line.
func (b *bell) lieDown(t *Taker) {
	b.mu.Lock()
	b.asleep = append(b.asleep, t)
	b.count.Store(int32(len(b.asleep)))
	b.mu.Unlock()
}

// getUp takes a taker out of the line, if it still is there, and says whether the bell was rung for it.
func (b *bell) getUp(t *Taker) (called bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.called {
		t.called = false
		b.called.Add(-1)
		return true
	}
	if i := slices.Index(b.asleep, t); i >= 0 {
		b.asleep = slices.Delete(b.asleep, i, i+1)
		b.count.Store(int32(len(b.asleep)))
	}
	return false
}

// ring wakes up to n takers.
func (b *bell) ring(n int) {
	if b.count.Load() == 0 {
		return
	}
	b.mu.Lock()
	n = min(n, len(b.asleep))
	for _, t := range b.asleep[:n] {
		t.called = true
		t.Kick()
	}
	b.called.Add(int32(n))
	b.asleep = slices.Delete(b.asleep, 0, n)
	b.count.Store(int32(len(b.asleep)))
	b.mu.Unlock()
}
