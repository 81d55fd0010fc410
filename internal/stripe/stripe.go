// Package stripe locks by name without a lock for each name.
package stripe

import (
	"hash/maphash"
	"slices"
	"sync"
)

// Locks serialises changes of one resource without a lock per resource: names share a fixed number of stripes.
type Locks struct {
	stripes [256]sync.Mutex
}

var seed = maphash.MakeSeed()

// Lock holds the stripes of all the names, always in the same order, until the returned function is called.
func (n *Locks) Lock(names ...string) (unlock func()) {
	held := make([]int, 0, 4)
	for _, name := range names {
		held = append(held, int(maphash.String(seed, name)%uint64(len(n.stripes))))
	}
	slices.Sort(held)
	held = slices.Compact(held)
	for _, i := range held {
		n.stripes[i].Lock()
	}
	return func() {
		for _, i := range held {
			n.stripes[i].Unlock()
		}
	}
}
