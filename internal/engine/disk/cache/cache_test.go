package cache

import (
	"errors"
	"io/fs"
	"path"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

const arenaBytes = 4 * layout.PageBytes

// fill makes arenas one behind the other in a segment, two pages of each published, and drops the maker's reference.
func fill(pool *Arenas, tail *Tail, segment uint64, arenas int) []*Arena {
	var all []*Arena
	for i := range arenas {
		a := pool.Get(1, layout.At(segment, int64(layout.PageBytes+i*arenaBytes)))
		tail.Publish(a, layout.PageBytes)
		tail.Publish(a, 2*layout.PageBytes)
		a.Unpin()
		all = append(all, a)
	}
	return all
}

func TestTailFindsWhatIsPublished(t *testing.T) {
	pool, tail := NewArenas(arenaBytes, 2), &Tail{Max: 1 << 20}
	first, second := fill(pool, tail, 7, 3), fill(pool, tail, 9, 2)
	for _, c := range []struct {
		segment uint64
		offset  int64
		want    *Arena
	}{
		{7, 0, nil}, {7, 4095, nil}, {7, 4096, first[0]}, {7, 4096 + 8191, first[0]}, {7, 4096 + 8192, nil},
		{7, 4096 + arenaBytes, first[1]}, {7, 4096 + 2*arenaBytes + 100, first[2]}, {7, 1 << 20, nil},
		{8, 4096, nil}, {9, 4096, second[0]}, {9, 4096 + arenaBytes, second[1]}, {9, 1 << 20, nil}, {10, 4096, nil}, {6, 4096, nil},
	} {
		if got := tail.Find(layout.At(c.segment, c.offset)); got != c.want {
			t.Errorf("segment %d, byte %d: another arena than it should be", c.segment, c.offset)
		}
	}
	tail.Drop()
	if tail.Find(layout.At(7, 4096)) != nil || tail.Bytes != 0 {
		t.Error("something is left after Drop")
	}
}

func TestTailKeepsToItsBytes(t *testing.T) {
	pool, tail := NewArenas(arenaBytes, 100), &Tail{Max: 3 * arenaBytes}
	all := fill(pool, tail, 1, 10)
	for i, a := range all {
		kept := tail.Find(layout.At(1, int64(layout.PageBytes+i*arenaBytes))) == a
		if kept != (i >= 7) {
			t.Errorf("arena %d of 10 is kept: %v", i, kept)
		}
	}
	if tail.Bytes != 3*arenaBytes {
		t.Errorf("%d bytes, want %d", tail.Bytes, 3*arenaBytes)
	}
	small := &Tail{Max: 1}
	if only := fill(pool, small, 1, 1)[0]; small.Find(layout.At(1, layout.PageBytes)) != only {
		t.Error("the newest arena must stay, however small the cache")
	}
}

// TestPinnedArenasAreNotUsedAgain is what keeps a reader's blocks from changing under it.
func TestPinnedArenasAreNotUsedAgain(t *testing.T) {
	pool, tail := NewArenas(arenaBytes, 100), &Tail{Max: 1}
	a := fill(pool, tail, 1, 1)[0]
	a.Pin() // a reader
	fill(pool, tail, 2, 1)
	for range 10 {
		if b := pool.Get(1, layout.At(3, layout.PageBytes)); b == a {
			t.Fatal("an arena that is read was given out")
		}
	}
	a.Unpin()
	if b := pool.Get(1, layout.At(3, layout.PageBytes)); b != a {
		t.Error("an arena that nobody reads was not used again")
	}
	defer func() {
		if recover() == nil {
			t.Error("one Unpin too many goes unnoticed")
		}
	}()
	a.Unpin()
	a.Unpin()
}

func TestLargeArenasAreNotKept(t *testing.T) {
	pool := NewArenas(arenaBytes, 100)
	a := pool.Get(3*arenaBytes, layout.At(1, layout.PageBytes))
	if len(a.Mem) != 3*arenaBytes {
		t.Errorf("%d bytes for %d", len(a.Mem), 3*arenaBytes)
	}
	a.Unpin()
	if b := pool.Get(1, layout.At(1, layout.PageBytes)); b == a {
		t.Error("a large arena was kept")
	}
}

func TestTailForgetsWhatIsOld(t *testing.T) {
	pool, tail := NewArenas(arenaBytes, 100), &Tail{Max: 1 << 20}
	at := func(i int) layout.Position { return layout.At(1, int64(layout.PageBytes+i*arenaBytes)) }
	var arenas []*Arena
	for i := range 4 {
		if empty := tail.Age(int64(i) * int64(time.Second)); empty != (i == 0) {
			t.Errorf("with %d arenas the tail is empty: %v", i, empty)
		}
		arenas = append(arenas, pool.Get(1, at(i)))
		tail.Publish(arenas[i], layout.PageBytes)
	}
	for kept := 4; kept >= 0; kept-- {
		oldest := 4 - kept // seconds
		if empty := tail.Age(int64(tailAgeMax) + int64(oldest)*int64(time.Second)); kept > 0 && empty {
			t.Error("the tail is empty too early")
		}
		for i := range 4 {
			if got, want := tail.Find(at(i)) != nil, i >= oldest; got != want {
				t.Errorf("%d s later arena %d is there: %v, want %v", oldest, i, got, want)
			}
		}
	}
	if !tail.Age(2*int64(tailAgeMax)) || tail.Bytes != 0 {
		t.Errorf("%d bytes are left of what is old", tail.Bytes)
	}
	// The appenders go on where they were, in memory that the tail has let go of.
	tail.Publish(arenas[3], 2*layout.PageBytes)
	if tail.Find(at(3)) != arenas[3] || tail.Bytes != arenaBytes {
		t.Error("an arena did not come back when it was added to")
	}
}

func TestFreeArenasAreGivenBack(t *testing.T) {
	pool := NewArenas(arenaBytes, 2)
	var arenas []*Arena
	for i := range 4 {
		arenas = append(arenas, pool.Get(1, layout.At(1, int64(layout.PageBytes+i*arenaBytes))))
	}
	there := func(want ...bool) {
		t.Helper()
		for i, a := range arenas {
			if got := a.Mem != nil; got != want[i] {
				t.Errorf("the memory of arena %d is there: %v, want %v", i, got, want[i])
			}
		}
	}
	for _, a := range arenas[:3] {
		a.Unpin()
	}
	there(true, true, false, true)
	pool.Drain()
	there(false, false, false, true)
	arenas[0] = pool.Get(1, layout.At(2, layout.PageBytes))
	pool.Close()
	there(true, false, false, true)
	arenas[3].Unpin()
	arenas[0].Unpin()
	there(false, false, false, false)
}

func TestSectionsKeepWhatIsUsed(t *testing.T) {
	s := NewSections(4 * 10 * layout.EntryBytes)
	entries := func(n int) []layout.Entry { return make([]layout.Entry, n) }
	for at := range int64(4) {
		s.Put(1, at, entries(10))
	}
	s.Get(1, 0)
	s.Put(2, 0, entries(10))
	for at, want := range []bool{true, false, true, true} {
		if got := s.Get(1, int64(at)) != nil; got != want {
			t.Errorf("section %d is kept: %v, want %v", at, got, want)
		}
	}
	s.Put(3, 0, entries(1000))
	if s.Get(3, 0) == nil || s.Get(2, 0) != nil {
		t.Error("a section that is larger than the cache is kept alone")
	}
}

func TestRetiredFilesAreNotOpened(t *testing.T) {
	mem := vfs.NewMem()
	c := NewFiles(mem, "/")
	for id := uint64(1); id <= 3; id++ {
		if err := layout.WriteFile(mem, "/", layout.SegmentName(id), []byte{byte(id)}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := c.Acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Retire(1) {
		t.Error("a file that is read is said to be free")
	}
	if _, err := c.Acquire(1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a retired file was opened: %v", err)
	}
	b := make([]byte, 1)
	if err := layout.ReadFull(f.File, b, 0); err != nil || b[0] != 1 {
		t.Errorf("who has the file cannot read it: %v", err)
	}
	c.Release(f)
	if !c.Retire(2) {
		t.Error("a file that was never opened is said to be read")
	}
	if err := mem.Remove(path.Join("/", layout.SegmentName(2))); err != nil {
		t.Fatal(err)
	}
	c.Gone(2)
	if _, err := c.Acquire(2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is gone was opened: %v", err)
	}
	c.Close()
	if _, err := c.Acquire(3); err == nil {
		t.Error("a closed cache opens files")
	}
}

func TestIdleFilesAreClosed(t *testing.T) {
	mem := vfs.NewMem()
	c := NewFiles(mem, "/")
	for id := uint64(1); id <= 2*openFilesMax; id++ {
		if err := layout.WriteFile(mem, "/", layout.SegmentName(id), []byte{byte(id)}); err != nil {
			t.Fatal(err)
		}
		f, err := c.Acquire(id)
		if err != nil {
			t.Fatal(err)
		}
		c.Release(f)
	}
	if n := len(c.open); n > openFilesMax {
		t.Errorf("%d files are open", n)
	}
}
