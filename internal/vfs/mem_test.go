package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// script plays random operations on a file system and tells what came of each, in words that do not depend on where it lives.
type script struct {
	rng  *rand.Rand
	fs   FS
	root string
	open []File
}

func (s *script) name() string {
	return filepath.Join(s.root, fmt.Sprintf("d%d", s.rng.IntN(2)), fmt.Sprintf("f%d", s.rng.IntN(4)))
}

func (s *script) step() string {
	switch s.rng.IntN(12) {
	case 0:
		return s.keep(s.fs.Create(s.name(), int64(s.rng.IntN(3000)), false))
	case 1:
		return s.keep(s.fs.OpenWrite(s.name(), false))
	case 2:
		return verdict("rename", s.fs.Rename(s.name(), s.name()))
	case 3:
		return verdict("remove", s.fs.Remove(s.name()))
	case 4:
		names, err := s.fs.List(filepath.Dir(s.name()))
		return verdict(fmt.Sprint("list ", names), err)
	case 5:
		return verdict("syncdir", s.fs.SyncDir(filepath.Dir(s.name())))
	case 6:
		return verdict("mkdir", s.fs.MkdirAll(filepath.Dir(s.name())))
	}
	if len(s.open) == 0 {
		return "nothing open"
	}
	f := s.open[s.rng.IntN(len(s.open))]
	off := int64(s.rng.IntN(3000))
	switch s.rng.IntN(5) {
	case 0:
		return verdict("truncate", f.Truncate(off))
	case 1:
		return verdict("sync", f.Sync())
	case 2:
		size, err := f.Size()
		return verdict(fmt.Sprint("size ", size), err)
	case 3:
		p := make([]byte, s.rng.IntN(2000))
		n, err := f.ReadAt(p, off)
		return verdict(fmt.Sprintf("read %x", p[:n]), err)
	default:
		p := make([]byte, 1+s.rng.IntN(2000))
		for i := range p {
			p[i] = byte(s.rng.Uint32())
		}
		n, err := f.WriteAt(p, off)
		return verdict(fmt.Sprint("write ", n), err)
	}
}

func (s *script) keep(f File, err error) string {
	if err == nil {
		s.open = append(s.open, f)
	}
	return verdict("open", err)
}

func verdict(what string, err error) string {
	for _, known := range []error{fs.ErrExist, fs.ErrNotExist, io.EOF} {
		if errors.Is(err, known) {
			return what + ": " + known.Error()
		}
	}
	if err != nil {
		return what + ": error"
	}
	return what
}

func TestMemDoesWhatTheOperatingSystemDoes(t *testing.T) {
	for seed := range uint64(20) {
		mem := &script{rng: rand.New(rand.NewPCG(seed, 0)), fs: NewMem(), root: "/top"}
		disk := &script{rng: rand.New(rand.NewPCG(seed, 0)), fs: OS(), root: t.TempDir()}
		check(t, mem.fs.MkdirAll(mem.root))
		for step := range 400 {
			got, want := mem.step(), disk.step()
			if got != want {
				t.Fatalf("seed %d, step %d: memory says %q, the disk %q", seed, step, got, want)
			}
		}
		for _, f := range disk.open {
			check(t, f.Close())
		}
	}
}

func TestHandlesOfMemRefuseWhatTheyAreNotFor(t *testing.T) {
	m := NewMem()
	w := must(m.Create("f", Align, true))
	r := must(m.Open("f"))
	if _, err := r.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file opened for reading was written")
	}
	if !panics(func() { _, _ = w.WriteAt([]byte("x"), 0) }) {
		t.Error("an unaligned direct write went through")
	}
	check(t, m.Remove("f"))
	if _, err := r.ReadAt(make([]byte, Align), 0); err != nil {
		t.Errorf("an open file cannot be read after its removal: %v", err)
	}
	check(t, w.Close())
	if _, err := w.WriteAt(AlignedBytes(Align), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a write after Close says %v", err)
	}
	if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Close says %v", err)
	}
}

func TestLockOfMemEndsWithCloseAndWithTheProcess(t *testing.T) {
	m := NewMem()
	lock := must(m.Lock("/lock"))
	if _, err := m.Lock("lock"); !errors.Is(err, ErrLocked) {
		t.Errorf("second Lock says %v", err)
	}
	check(t, must(m.Snapshot().Lock("lock")).Close())
	check(t, lock.Close())
	again := must(m.Lock("lock"))
	check(t, lock.Close()) // closing twice must not free the lock of somebody else
	if _, err := m.Lock("lock"); !errors.Is(err, ErrLocked) {
		t.Errorf("Lock says %v after a stale Close", err)
	}
	check(t, again.Close())
}

func TestCapacityIsSpentBySizesAndGivenBackByRemove(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10_000)
	check(t, must(m.Create("a", 6000, false)).Close())
	if _, err := m.Create("b", 6000, false); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Create past the capacity says %v", err)
	}
	if names := must(m.List("/")); !slices.Equal(names, []string{"a"}) {
		t.Errorf("there are %v", names)
	}
	b := must(m.Create("b", 0, false))
	if n, err := b.WriteAt(make([]byte, 5000), 0); n != 4000 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write past the capacity wrote %d, %v", n, err)
	}
	if n, err := b.WriteAt(make([]byte, 4000), 0); n != 4000 || err != nil {
		t.Errorf("overwriting on a full disk wrote %d, %v", n, err)
	}
	if err := b.Truncate(4001); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Truncate past the capacity says %v", err)
	}
	check(t, m.Remove("a"))
	if free := must(m.Free(".")); free != 6000 {
		t.Errorf("%d bytes free, want 6000", free)
	}
}

func contents(t *testing.T, m *Mem, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range must(m.List(dir)) {
		f, err := m.Open(filepath.Join(dir, name))
		if err != nil {
			continue // a directory
		}
		p := make([]byte, must(f.Size()))
		if _, err := f.ReadAt(p, 0); err != nil && len(p) > 0 {
			t.Fatal(err)
		}
		all[name] = string(p)
	}
	return all
}

func TestSnapshotAndOriginalDoNotAffectEachOther(t *testing.T) {
	m := NewMem()
	f := must(m.Create("f", 0, false))
	must(f.WriteAt(bytes.Repeat([]byte("a"), 1000), 0))
	copy1 := m.Snapshot()
	copy2 := copy1.Snapshot()
	must(f.WriteAt([]byte("b"), 700))
	check(t, f.Sync())
	g := must(copy1.OpenWrite("f", false))
	must(g.WriteAt([]byte("c"), 0))
	check(t, copy1.Rename("f", "g"))
	for what, got := range map[string]string{
		"original":     contents(t, m, "/")["f"],
		"first copy":   contents(t, copy1, "/")["g"],
		"second copy":  contents(t, copy2, "/")["f"],
		"what is kept": contents(t, copy2.Crash(neverLose()), "/")["f"],
	} {
		want := bytes.Repeat([]byte("a"), 1000)
		switch what {
		case "original":
			want[700] = 'b'
		case "first copy":
			want[0] = 'c'
		}
		if got != string(want) {
			t.Errorf("%s differs", what)
		}
	}
}
