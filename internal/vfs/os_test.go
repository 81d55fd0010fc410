//go:build linux || darwin

package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func TestCreateGivesZerosOfTheAskedSizeAndRefusesAnExistingName(t *testing.T) {
	for _, direct := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "f")
		f := must(OS().Create(name, 3*Align, direct))
		if size := must(f.Size()); size != 3*Align {
			t.Errorf("direct %v: size %d, want %d", direct, size, 3*Align)
		}
		got := make([]byte, 3*Align)
		if n, err := f.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, make([]byte, n)) {
			t.Errorf("direct %v: new file reads %d bytes, %v; want zeros", direct, n, err)
		}
		if _, err := OS().Create(name, 0, direct); !errors.Is(err, fs.ErrExist) {
			t.Errorf("direct %v: second Create says %v, want fs.ErrExist", direct, err)
		}
		check(t, f.Close())
	}
}

func TestCreateThatFindsNoSpaceLeavesNoName(t *testing.T) {
	dir := t.TempDir()
	if f, err := OS().Create(filepath.Join(dir, "huge"), 1<<62, true); err == nil {
		f.Close()
		t.Fatal("a file of 4 EiB was created")
	}
	if names := must(OS().List(dir)); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestWhatWasWrittenDirectlyIsReadAtAnyPlace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	const size = 1 << 20
	f := must(OS().Create(name, size, true))
	defer f.Close()
	reader := must(OS().Open(name))
	defer reader.Close()

	want := AlignedBytes(size)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	// The reader follows the writer closely, so that read-ahead keeps caching zeros that the next write replaces.
	for off := 0; off < size; off += Align {
		if _, err := f.WriteAt(want[off:off+Align], int64(off)); err != nil {
			t.Fatal(err)
		}
		from := rng.IntN(off + Align)
		got := make([]byte, off+Align-from)
		for _, r := range []io.ReaderAt{f, reader} {
			if _, err := r.ReadAt(got, int64(from)); err != nil || !bytes.Equal(got, want[from:off+Align]) {
				t.Fatalf("after writing up to %d: bytes from %d differ (%v)", off+Align, from, err)
			}
		}
	}
	check(t, f.Sync())
}

func TestReadersBehindAWriterNeverSeeStalePages(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	const size, step = 4 << 20, 4 * Align
	f := must(OS().Create(name, size, true))
	defer f.Close()
	page := AlignedBytes(step)
	for i := range page {
		page[i] = 0xa5
	}
	written := make(chan int64, size/step)
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			got := make([]byte, step)
			for off := range written {
				if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, page) {
					t.Errorf("stale bytes at %d (%v)", off, err)
				}
			}
		})
	}
	for off := int64(0); off < size; off += step {
		if _, err := f.WriteAt(page, off); err != nil {
			t.Error(err)
			break
		}
		written <- off
	}
	close(written)
	readers.Wait()
}

func TestUnalignedWriteToADirectFileIsOurBug(t *testing.T) {
	f := must(OS().Create(filepath.Join(t.TempDir(), "f"), 4*Align, true))
	defer f.Close()
	aligned := AlignedBytes(2 * Align)
	for what, write := range map[string]func(){
		"offset":  func() { _, _ = f.WriteAt(aligned, 512) },
		"length":  func() { _, _ = f.WriteAt(aligned[:100], 0) },
		"address": func() { _, _ = f.WriteAt(aligned[8:8+Align], 0) },
	} {
		if !panics(write) {
			t.Errorf("unaligned %s was accepted", what)
		}
	}
}

func TestWritesGoOnBufferedWhereDirectOnesAreRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	file := must(OS().Create(name, Align, true))
	defer file.Close()
	f := file.(*osFile)
	if f.direct == nil {
		t.Skip("no direct I/O here")
	}
	f.refused.Store(true)
	page := AlignedBytes(Align)
	copy(page, "through the page cache")
	if n, err := f.WriteAt(page, 0); n != Align || err != nil {
		t.Fatalf("WriteAt: %d, %v", n, err)
	}
	if got := must(os.ReadFile(name)); !bytes.Equal(got, page) {
		t.Error("the file does not hold what was written")
	}
	if !panics(func() { _, _ = f.WriteAt(page[:1], 0) }) {
		t.Error("alignment is not asked for any more")
	}
}

func TestNamesFollowTheFiles(t *testing.T) {
	disk, dir := OS(), filepath.Join(t.TempDir(), "a", "b")
	check(t, disk.MkdirAll(dir))
	for _, name := range []string{"z", "x", "y"} {
		check(t, must(disk.Create(filepath.Join(dir, name), 0, false)).Close())
	}
	check(t, disk.Rename(filepath.Join(dir, "z"), filepath.Join(dir, "x")))
	check(t, disk.Remove(filepath.Join(dir, "y")))
	check(t, disk.SyncDir(dir))
	if names := must(disk.List(dir)); !slices.Equal(names, []string{"x"}) {
		t.Errorf("List gives %v, want [x]", names)
	}
	if _, err := disk.Open(filepath.Join(dir, "z")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a renamed file says %v, want fs.ErrNotExist", err)
	}
	if _, err := disk.OpenWrite(filepath.Join(dir, "z"), true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenWrite of a renamed file says %v, want fs.ErrNotExist", err)
	}
	if free := must(disk.Free(dir)); free <= 0 {
		t.Errorf("Free says %d bytes", free)
	}
}

func TestLockIsExclusiveUntilClosed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first := must(OS().Lock(name))
	if _, err := OS().Lock(name); !errors.Is(err, ErrLocked) {
		t.Fatalf("second Lock says %v, want ErrLocked", err)
	}
	check(t, first.Close())
	check(t, must(OS().Lock(name)).Close())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}
