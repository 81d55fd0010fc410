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

// getUp takes a taker out of the line, if it still is there.
func (b *bell) getUp(t *Taker) {
	b.mu.Lock()
	if i := slices.Index(b.asleep, t); i >= 0 {
		b.asleep = slices.Delete(b.asleep, i, i+1)
		b.count.Store(int32(len(b.asleep)))
	}
	b.mu.Unlock()
}

// ring wakes up to n takers.
func (b *bell) ring(n int) {
	if b.count.Load() == 0 {
		return
	}
	b.mu.Lock()
	n = min(n, len(b.asleep))
	for _, t := range b.asleep[:n] {
		t.Kick()
	}
	b.asleep = slices.Delete(b.asleep, 0, n)
	b.count.Store(int32(len(b.asleep)))
	b.mu.Unlock()
}
