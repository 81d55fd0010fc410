// Package bell wakes those who wait for work, the longest waiting first, and loses no call.
package bell

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Bell wakes takers that found nothing to take. It has a lock of its own, held for a few instructions, so that whoever rings it waits for
// nobody. The zero value works. It is safe for concurrent use.
//
// No wake-up is lost: a taker first lies down and then looks once more whether there is something, a ringer first makes something
// available and then looks whether somebody lies there. Of two that cross, at least one sees the other.
type Bell struct {
	count  atomic.Int32 // takers lying down
	called atomic.Int32 // takers that were rung for and have not looked yet
	mu     sync.Mutex
	asleep []*Taker // longest first: whoever waited longest is served first
}

// LieDown puts a taker at the end of the line.
func (b *Bell) LieDown(t *Taker) {
	b.mu.Lock()
	b.asleep = append(b.asleep, t)
	b.count.Store(int32(len(b.asleep)))
	b.mu.Unlock()
}

// GetUp takes a taker out of the line, if it still is there, and says whether the bell was rung for it.
func (b *Bell) GetUp(t *Taker) (called bool) {
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

// Ring wakes up to n takers.
func (b *Bell) Ring(n int) {
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

// Asleep is how many takers lie down.
func (b *Bell) Asleep() int { return int(b.count.Load()) }

// Called is how many takers were rung for and have not looked yet.
func (b *Bell) Called() int { return int(b.called.Load()) }

// Taker is one who lies down at one bell at a time.
type Taker struct {
	wake   chan struct{}
	called bool // the bell was rung for it; guarded by the bell's lock
}

// NewTaker is one who is up.
func NewTaker() Taker { return Taker{wake: make(chan struct{}, 1)} }

// Kick wakes the taker, whether or not a bell was rung for it.
func (t *Taker) Kick() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Woken gives something each time the taker was kicked, once for kicks that come together.
func (t *Taker) Woken() <-chan struct{} { return t.wake }
