package broker

import (
	"hash/maphash"
	"slices"
	"sort"
	"strings"
	"sync"
)

// nameLocks serialises changes of one resource without a lock per resource: names share a fixed number of stripes.
type nameLocks struct {
	stripes [256]sync.Mutex
}

var nameSeed = maphash.MakeSeed()

// lock holds the stripes of all the names, always in the same order, until the returned function is called.
func (n *nameLocks) lock(names ...string) (unlock func()) {
	held := make([]int, 0, 4)
	for _, name := range names {
		held = append(held, int(maphash.String(nameSeed, name)%uint64(len(n.stripes))))
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

// nameList gives the names of a map in order. The order is made again only after a change, so that paging through a long list does
// not sort it for each page. It is safe for concurrent use under the map's own lock.
type nameList struct {
	mu     sync.Mutex
	sorted []string
	stale  bool
}

// change says that the map has another set of names.
func (l *nameList) change() {
	l.mu.Lock()
	l.stale = true
	l.mu.Unlock()
}

// under gives the names that begin with prefix, in order; nobody may change them. all is called to make the list again.
func (l *nameList) under(prefix string, all func() []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stale {
		l.sorted = all()
		slices.Sort(l.sorted)
		l.stale = false
	}
	from := sort.SearchStrings(l.sorted, prefix)
	to := from + sort.Search(len(l.sorted)-from, func(i int) bool { return !strings.HasPrefix(l.sorted[from+i], prefix) })
	return l.sorted[from:to]
}
