package vfs

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

var errInjected = errors.New("injected")

func TestFaultyShowsEveryOperationInOrder(t *testing.T) {
	var seen []string
	f := NewFaulty(NewMem(), func(op Op) *Fault {
		seen = append(seen, fmt.Sprint(op.Kind, " ", op.Name, " ", op.Offset, " ", op.Bytes, " ", op.Nth))
		return nil
	})
	check(t, f.MkdirAll("d"))
	file := must(f.Create("d/f", 100, false))
	must(file.WriteAt([]byte("abc"), 7))
	must(file.WriteAt([]byte("de"), 10))
	check(t, file.Sync())
	check(t, file.Truncate(50))
	must(must(f.Open("d/f")).ReadAt(make([]byte, 4), 8))
	check(t, f.Rename("d/f", "d/g"))
	check(t, f.SyncDir("d"))
	must(f.List("d"))
	check(t, must(f.Lock("d/lock")).Close())
	check(t, f.Remove("d/g"))
	want := []string{
		"mkdir d 0 0 1", "create d/f 0 0 1", "write d/f 7 3 1", "write d/f 10 2 2", "sync d/f 0 0 1", "truncate d/f 50 0 1", "open d/f 0 0 1",
		"read d/f 8 4 1", "rename d/f 0 0 1", "syncdir d 0 0 1", "list d 0 0 1", "lock d/lock 0 0 1", "remove d/g 0 0 1",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("saw\n%q\nwant\n%q", seen, want)
	}
	if f.Count(OpWrite) != 2 || f.Count(OpTruncate) != 1 {
		t.Errorf("counted %d writes and %d truncates", f.Count(OpWrite), f.Count(OpTruncate))
	}
}

func TestAFaultStopsTheOperation(t *testing.T) {
	for kind := range opKinds {
		mem := NewMem()
		check(t, must(mem.Create("f", 100, false)).Close())
		armed := false
		f := NewFaulty(mem, func(op Op) *Fault {
			if armed && op.Kind == kind {
				return &Fault{Err: errInjected}
			}
			return nil
		})
		file := must(f.OpenWrite("f", false))
		armed = true
		operations := map[OpKind]func() error{
			OpCreate:   func() error { _, err := f.Create("g", 0, false); return err },
			OpOpen:     func() error { _, err := f.OpenWrite("f", false); return err },
			OpRename:   func() error { return f.Rename("f", "g") },
			OpRemove:   func() error { return f.Remove("f") },
			OpList:     func() error { _, err := f.List("."); return err },
			OpMkdir:    func() error { return f.MkdirAll("d") },
			OpSyncDir:  func() error { return f.SyncDir(".") },
			OpLock:     func() error { _, err := f.Lock("f"); return err },
			OpRead:     func() error { _, err := file.ReadAt(make([]byte, 1), 0); return err },
			OpWrite:    func() error { _, err := file.WriteAt([]byte("x"), 0); return err },
			OpSync:     func() error { return file.Sync() },
			OpTruncate: func() error { return file.Truncate(7) },
		}
		if err := operations[kind](); !errors.Is(err, errInjected) {
			t.Errorf("%v: %v, want the injected error", kind, err)
		}
		if got := contents(t, mem, "."); len(got) != 1 || got["f"] != string(make([]byte, 100)) {
			t.Errorf("%v: the operation went through", kind)
		}
	}
}

func TestAShortWriteLeavesItsFirstBytes(t *testing.T) {
	mem := NewMem()
	f := NewFaulty(mem, func(op Op) *Fault {
		if op.Kind == OpWrite && op.Nth == 2 {
			return &Fault{Err: errInjected, Bytes: 5000}
		}
		return nil
	})
	file := must(f.Create("f", 4*Align, true))
	page := AlignedBytes(2 * Align)
	for i := range page {
		page[i] = 'a'
	}
	must(file.WriteAt(page, 0))
	for i := range page {
		page[i] = 'b'
	}
	if n, err := file.WriteAt(page, Align); n != 5000 || !errors.Is(err, errInjected) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	got := contents(t, mem, "/")["f"]
	for i, want := range map[int]byte{Align - 1: 'a', Align: 'b', Align + 4999: 'b', Align + 5000: 0, 2*Align + 4000: 0} {
		if got[i] != want {
			t.Errorf("byte %d is %q, want %q", i, got[i], want)
		}
	}
}
