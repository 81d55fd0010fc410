package disk

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// An arena is aligned memory that mirrors consecutive bytes of one segment. Appenders fill it, the committer writes it out, and then it
// stays for a while as the tail cache, from which readers take blocks without copying.
//
//  1. Bytes of a closed commit never change while anybody refers to the arena.
//  2. An arena is used for other bytes only when its last reference is gone: the appenders', one of each commit in flight, the tail's,
//     and one of each batch that a reader has not released.
type arena struct {
	mem  []byte
	base position // of mem[0]
	used int      // bytes taken by commits, whole pages; guarded by the shard's append lock
	refs atomic.Int32
	pool *arenaPool
	// published is how many bytes hold durable commits. The index's lock guards it.
	published int
}

const arenaBytes = 4 << 20

// Unpin implements engine.Pin: it drops one reference.
func (a *arena) Unpin() {
	switch refs := a.refs.Add(-1); {
	case refs == 0:
		a.pool.put(a)
	case refs < 0:
		panic("bug: an arena was released more often than it was pinned")
	}
}

func (a *arena) pin() { a.refs.Add(1) }

// arenaPool keeps a few arenas of the usual size, so that steady work allocates none. The memory behind an arena is touched only as
// far as it is filled.
type arenaPool struct {
	size int // bytes of an ordinary arena
	keep int // how many free ones are kept

	mu   sync.Mutex
	free []*arena
}

// get gives an arena of at least n bytes, with one reference. What its memory holds is not defined.
func (p *arenaPool) get(n int, base position) *arena {
	var a *arena
	p.mu.Lock()
	if last := len(p.free) - 1; n <= p.size && last >= 0 {
		a = p.free[last]
		p.free = p.free[:last]
	}
	p.mu.Unlock()
	if a == nil {
		a = &arena{mem: vfs.AlignedBytes(max(n, p.size)), pool: p}
	}
	a.base, a.used, a.published = base, 0, 0
	a.refs.Store(1)
	return a
}

func (p *arenaPool) put(a *arena) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(a.mem) == p.size && len(p.free) < p.keep {
		p.free = append(p.free, a)
	}
}

// tail is the list of arenas that readers may use, in log order. The index's lock guards it.
type tail struct {
	arenas []*arena
	bytes  int64 // of memory behind the arenas
	max    int64
}

// publish says that the commit that ends at byte end of the arena is durable. It takes an arena in when it comes for the first time, and
// lets the oldest ones go when there are too many. The newest always stays.
func (t *tail) publish(a *arena, end int) {
	a.published = end
	if n := len(t.arenas); n == 0 || t.arenas[n-1] != a {
		a.pin()
		t.arenas = append(t.arenas, a)
		t.bytes += int64(len(a.mem))
	}
	dropped := 0
	for t.bytes > t.max && dropped < len(t.arenas)-1 {
		t.bytes -= int64(len(t.arenas[dropped].mem))
		t.arenas[dropped].Unpin()
		dropped++
	}
	t.arenas = slices.Delete(t.arenas, 0, dropped)
}

// find gives the arena that holds the durable byte at a position, nil when none does.
func (t *tail) find(at position) *arena {
	i, found := slices.BinarySearchFunc(t.arenas, at, func(a *arena, at position) int {
		switch {
		case a.base.before(at):
			return -1
		case at.before(a.base):
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
	if a.base.segment != at.segment || at.offset >= a.base.offset+int64(a.published) {
		return nil
	}
	return a
}

// drop lets go of everything.
func (t *tail) drop() {
	for _, a := range t.arenas {
		a.Unpin()
	}
	t.arenas, t.bytes = nil, 0
}
