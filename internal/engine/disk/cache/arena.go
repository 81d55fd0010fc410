// Package cache is what a disk engine keeps in memory of its files: the newest bytes of the log (arenas), open files, and sections of
// footers. All of it can be had again from the files.
package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Arena is aligned memory that mirrors consecutive bytes of one segment. Appenders fill it, the committer writes it out, and then it
// stays for a while as the tail cache, from which readers take blocks without copying.
//
//  1. Bytes of a closed commit never change while anybody refers to the arena.
//  2. An arena is used for other bytes, or its memory given back, only when its last reference is gone: the appenders', one of each commit
//     in flight, the tail's, and one of each batch that a reader has not released.
type Arena struct {
	Mem    []byte // buffer's; nil when that was given back
	buffer vfs.Buffer
	Base   layout.Position // of mem[0]
	Used   int             // bytes taken by commits, whole pages; guarded by the shard's append lock
	refs   atomic.Int32
	pool   *Arenas
	// published is how many bytes hold durable commits, and publishedAt when the last of them came. The index's lock guards them.
	Published   int
	publishedAt int64
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
// far as it is filled. It is safe for concurrent use.
type Arenas struct {
	size int // bytes of an ordinary arena

	mu   sync.Mutex
	keep int // how many free ones are kept
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
		a = &Arena{pool: p, buffer: vfs.NewBuffer(max(n, p.size))}
		a.Mem = a.buffer.Bytes()
	}
	a.Base, a.Used, a.Published = base, 0, 0
	a.refs.Store(1)
	return a
}

func (p *Arenas) put(a *Arena) {
	p.mu.Lock()
	kept := len(a.Mem) == p.size && len(p.free) < p.keep
	if kept {
		p.free = append(p.free, a)
	}
	p.mu.Unlock()
	if !kept {
		a.giveBack()
	}
}

func (a *Arena) giveBack() {
	a.Mem = nil
	a.buffer.Free()
}

// Drain gives back the memory of free arenas.
func (p *Arenas) Drain() {
	p.mu.Lock()
	free := p.free
	p.free = nil
	p.mu.Unlock()
	for _, a := range free {
		a.giveBack()
	}
}

// Close gives back the memory of all arenas, of each when its last reference is gone.
func (p *Arenas) Close() {
	p.mu.Lock()
	p.keep = 0
	p.mu.Unlock()
	p.Drain()
}

// Tail is the list of arenas that readers may use, in log order. The index's lock guards it.
type Tail struct {
	arenas []*Arena
	Bytes  int64 // of memory behind the arenas
	Max    int64
	now    int64 // as Age was told
}

// tailAgeMax is how old bytes in the tail may get. A log that little is written to would have the same few megabytes in memory for days,
// and who is so far behind can read them from the disk.
const tailAgeMax = time.Minute

// Publish says that the commit that ends at byte end of the arena is durable. It takes an arena in when it comes for the first time, and
// lets the oldest ones go when there are too many. The newest always stays.
func (t *Tail) Publish(a *Arena, end int) {
	a.Published, a.publishedAt = end, t.now
	if n := len(t.arenas); n == 0 || t.arenas[n-1] != a {
		a.Pin()
		t.arenas = append(t.arenas, a)
		t.Bytes += int64(len(a.Mem))
	}
	for t.Bytes > t.Max && len(t.arenas) > 1 {
		t.dropOldest()
	}
}

// Age lets go of the arenas to which nothing was added for a while. It takes the monotonic clock's time, and should be called now and then;
// how old something is is known as exactly as that. It reports whether the tail is empty.
func (t *Tail) Age(now int64) (empty bool) {
	t.now = now
	for len(t.arenas) > 0 && now-t.arenas[0].publishedAt > int64(tailAgeMax) {
		t.dropOldest()
	}
	return len(t.arenas) == 0
}

func (t *Tail) dropOldest() {
	oldest := t.arenas[0]
	t.Bytes -= int64(len(oldest.Mem))
	t.arenas = slices.Delete(t.arenas, 0, 1)
	oldest.Unpin()
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
