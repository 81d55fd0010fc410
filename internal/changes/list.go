package changes

import (
	"sync"
	"sync/atomic"
)

// Flag belongs to one thing and says that it stands in a List. The zero value is ready.
type Flag struct{ set atomic.Bool }

// List is the things that have changed since it was last taken. Each has a Flag of its own, so that adding one that stands there already
// takes no lock. The zero value is ready. It is safe for concurrent use.
type List[T any] struct {
	mu      sync.Mutex
	changed []flagged[T]
}

type flagged[T any] struct {
	thing T
	flag  *Flag
}

// Add says that a thing has changed, whose flag that is.
func (l *List[T]) Add(thing T, flag *Flag) {
	if flag.set.Load() || flag.set.Swap(true) { // a look alone, if that does, leaves the line with the other processors
		return
	}
	l.mu.Lock()
	l.changed = append(l.changed, flagged[T]{thing, flag})
	l.mu.Unlock()
}

// Take gives the list and begins a new one. A thing that changes from now on stands in the new one.
func (l *List[T]) Take() []T {
	l.mu.Lock()
	changed := l.changed
	l.changed = nil
	l.mu.Unlock()
	things := make([]T, len(changed))
	for i, c := range changed {
		c.flag.set.Store(false)
		things[i] = c.thing
	}
	return things
}
