// Package roster keeps the names of a kind of resource in order.
package roster

import (
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/posthaste-io/posthaste/internal/catalog"
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

// Page gives a page of the resources with the names, which are in order. An error is INVALID_ARGUMENT, or that of config.
func Page[Config any](names []string, size int32, token string, config func(name string) (Config, error)) (page []Config, next string, err error) {
	if names, next, err = catalog.Page(names, size, token); err != nil {
		return nil, "", err
	}
	page = make([]Config, len(names))
	for i, name := range names {
		if page[i], err = config(name); err != nil {
			return nil, "", err
		}
	}
	return page, next, nil
}
