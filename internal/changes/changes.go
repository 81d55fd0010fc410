// Package changes passes on which things have changed, from many who know it to one who acts on it.
package changes

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Set is the things that have changed since somebody last asked. It is safe for concurrent use.
type Set[T comparable] struct {
	bell    chan struct{}
	mu      sync.Mutex
	changed map[T]struct{}
}

// NewSet is a set without changes.
func NewSet[T comparable]() *Set[T] { return &Set[T]{bell: make(chan struct{}, 1)} }

// Add says that a thing has changed. It never waits.
func (s *Set[T]) Add(thing T) {
	s.mu.Lock()
	if s.changed == nil {
		s.changed = make(map[T]struct{})
	}
	s.changed[thing] = struct{}{}
	s.mu.Unlock()
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// Wait waits until something has changed and takes it, each thing once however often it changed. One caller at a time. It fails when ctx
// ends.
func (s *Set[T]) Wait(ctx context.Context) ([]T, error) {
	for {
		s.mu.Lock()
		changed := slices.Collect(maps.Keys(s.changed))
		s.changed = nil
		s.mu.Unlock()
		if len(changed) > 0 {
			return changed, nil
		}
		select {
		case <-s.bell:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
