// Package roster keeps the names of a kind of resource in order.
package roster

import (
	"slices"
	"sort"
	"strings"
	"sync"
)

// List gives the names of a map in order. The order is made again only after a change, so that paging through a long list does
// not sort it for each page. It is safe for concurrent use under the map's own lock.
type List struct {
	mu     sync.Mutex
	sorted []string
	stale  bool
}

// Change says that the map has another set of names.
func (l *List) Change() {
	l.mu.Lock()
	l.stale = true
	l.mu.Unlock()
}

// Under gives the names that begin with prefix, in order; nobody may change them. all is called to make the list again.
func (l *List) Under(prefix string, all func() []string) []string {
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
