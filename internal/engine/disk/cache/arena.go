// Package cache is what a disk engine keeps in memory of its files: the newest bytes of the log (arenas), open files, and sections of
// footers. All of it can be had again from the files.
package cache

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Arena is aligned memory that mirrors consecutive bytes of one segment. Appenders fill it, the committer writes it out, and then it
// stays for a while as the tail cache, from which readers take blocks without copying.
//
//  1. Bytes of a closed commit never change while anybody refers to the arena.
//  2. An arena is used for other bytes only when its last reference is gone: the appenders', one of each commit in flight, the tail's,
//     and one of each batch that a reader has not released.
type Arena struct {
	Mem  []byte
	Base layout.Position // of mem[0]
	Used int             // bytes taken by commits, whole pages; guarded by the shard's append lock
	refs atomic.Int32
	pool *Arenas
	// published is how many bytes hold durable commits. The index's lock guards it.
	Published int
}

// Unpin implements engine.Pin: it drops one reference.
func (a *Arena) Unpin() {
	switch refs := a.refs.Add(-1); {
	case refs == 0:
		a.pool.put(a)
	case refs < 0:
		panic("bug: an arena was released more often than it was pinned")
	}
}

// Pin adds a reference.
func (a *Arena) Pin() { a.refs.Add(1) }

// Arenas keeps a few arenas of the usual size, so that steady work allocates none. The memory behind an arena is touched only as
// far as it is filled.
type Arenas struct {
	size int // bytes of an ordinary arena
	keep int // how many free ones are kept

	mu   sync.Mutex
	free []*Arena
}

// NewArenas makes a pool of arenas of so many bytes that keeps so many free ones.
func NewArenas(size, keep int) *Arenas { return &Arenas{size: size, keep: keep} }

// Get gives an arena of at least n bytes, with one reference. What its memory holds is not defined.
func (p *Arenas) Get(n int, base layout.Position) *Arena {
	var a *Arena
	p.mu.Lock()
	if last := len(p.free) - 1; n <= p.size && last >= 0 {
		a = p.free[last]
		p.free = p.free[:last]
	}
	p.mu.Unlock()
	if a == nil {
		a = &Arena{Mem: vfs.AlignedBytes(max(n, p.size)), pool: p}
	}
	a.Base, a.Used, a.Published = base, 0, 0
	a.refs.Store(1)
	return a
}

func (p *Arenas) put(a *Arena) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(a.Mem) == p.size && len(p.free) < p.keep {
		p.free = append(p.free, a)
	}
}

// Tail is the list of arenas that readers may use, in log order. The index's lock guards it.
type Tail struct {
	arenas []*Arena
	Bytes  int64 // of memory behind the arenas
	Max    int64
}

// Publish says that the commit that ends at byte end of the arena is durable. It takes an arena in when it comes for the first time, and
// lets the oldest ones go when there are too many. The newest always stays.
func (t *Tail) Publish(a *Arena, end int) {
	a.Published = end
	if n := len(t.arenas); n == 0 || t.arenas[n-1] != a {
		a.Pin()
		t.arenas = append(t.arenas, a)
		t.Bytes += int64(len(a.Mem))
	}
	dropped := 0
	for t.Bytes > t.Max && dropped < len(t.arenas)-1 {
		t.Bytes -= int64(len(t.arenas[dropped].Mem))
		t.arenas[dropped].Unpin()
		dropped++
	}
	t.arenas = slices.Delete(t.arenas, 0, dropped)
}

// Find gives the arena that holds the durable byte at a position, nil when none does.
func (t *Tail) Find(at layout.Position) *Arena {
	i, found := slices.BinarySearchFunc(t.arenas, at, func(a *Arena, at layout.Position) int {
		switch {
		case a.Base.Before(at):
			return -1
		case at.Before(a.Base):
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		return nil
	}
	a := t.arenas[i]
	if a.Base.Segment != at.Segment || at.Offset >= a.Base.Offset+int64(a.Published) {
		return nil
	}
	return a
}

// Drop lets go of everything.
func (t *Tail) Drop() {
	for _, a := range t.arenas {
		a.Unpin()
	}
	t.arenas, t.Bytes = nil, 0
}
