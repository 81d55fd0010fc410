package vfs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// wanted finds a source of chance whose first fate is one of newFate's cases.
func wanted(kind int) *rand.Rand {
	for seed := uint64(0); ; seed++ {
		if rand.New(rand.NewPCG(seed, 0)).IntN(5) == kind {
			return rand.New(rand.NewPCG(seed, 0))
		}
	}
}

// neverLose is a source that keeps all: its IntN(5) is 1, the fate that keeps, and its coins land on 1.
func neverLose() *rand.Rand { return rand.New(constant(1<<62 | 1)) }

// alwaysLose is a source that keeps no step: its IntN(5) is 0, and its coins land on 1.
func alwaysLose() *rand.Rand { return rand.New(constant(1<<32 | 1)) }

type constant uint64

func (c constant) Uint64() uint64 { return uint64(c) }

func TestWhatIsSyncedSurvivesEveryCrash(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("a/b"))
	check(t, m.SyncDir("/"))
	check(t, m.SyncDir("a"))
	f := must(m.Create("a/b/old", 5000, true))
	page := AlignedBytes(Align)
	copy(page, "durable")
	must(f.WriteAt(page, 0))
	check(t, f.Sync())
	check(t, m.Rename("a/b/old", "a/b/new"))
	check(t, m.SyncDir("a/b"))
	for seed := range uint64(200) {
		left := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		want := map[string]string{"new": string(page) + string(make([]byte, 5000-Align))}
		if got := contents(t, left, "a/b"); !maps.Equal(got, want) {
			t.Fatalf("seed %d: a synced file is lost or changed", seed)
		}
	}
}

func TestEveryUnsyncedSectorIsOldNewOrBetween(t *testing.T) {
	m := NewMem()
	const sectors = 40
	f := must(m.Create("f", sectors*SectorBytes, false))
	check(t, m.SyncDir("/"))
	fill := func(b byte, from, to int) {
		must(f.WriteAt(bytes.Repeat([]byte{b}, (to-from)*SectorBytes), int64(from*SectorBytes)))
	}
	fill('a', 0, sectors)
	check(t, f.Sync())
	fill('b', 10, 30)
	fill('c', 20, 40)
	allowed := func(sector int) string {
		switch {
		case sector < 10:
			return "a"
		case sector < 20:
			return "ab"
		case sector < 30:
			return "abc"
		default:
			return "ac"
		}
	}
	seen := map[string]bool{}
	for seed := range uint64(400) {
		got := contents(t, m.Crash(rand.New(rand.NewPCG(seed, 0))), "/")["f"]
		for sector := range sectors {
			s := got[sector*SectorBytes : (sector+1)*SectorBytes]
			letters := slices.Compact(slices.Sorted(slices.Values([]rune(s))))
			seen[fmt.Sprint(allowed(sector), " gives ", string(letters))] = true
			for _, letter := range letters {
				if !bytes.ContainsRune([]byte(allowed(sector)), letter) {
					t.Fatalf("seed %d: sector %d holds %q, which it never held", seed, sector, letter)
				}
			}
			if sector < 10 && s != string(bytes.Repeat([]byte("a"), SectorBytes)) {
				t.Fatalf("seed %d: the synced sector %d changed", seed, sector)
			}
		}
	}
	for _, want := range []string{"ab gives a", "ab gives b", "ab gives ab", "abc gives a", "abc gives b", "abc gives c", "abc gives bc", "ac gives ac"} {
		if !seen[want] {
			t.Errorf("no crash showed: a sector that may be %s", want)
		}
	}
}

func TestSizesAreLostLikeBytes(t *testing.T) {
	m := NewMem()
	f := must(m.Create("f", 0, false))
	check(t, m.SyncDir("/"))
	must(f.WriteAt(bytes.Repeat([]byte("x"), 1000), 0))
	check(t, f.Sync())
	check(t, f.Truncate(100))
	must(f.WriteAt(bytes.Repeat([]byte("y"), 1500), 500))
	sizes := map[int]bool{}
	for seed := range uint64(300) {
		got := contents(t, m.Crash(rand.New(rand.NewPCG(seed, 0))), "/")["f"]
		sizes[len(got)] = true
		if got[:100] != string(bytes.Repeat([]byte("x"), 100)) {
			t.Fatalf("seed %d: bytes that nobody touched changed", seed)
		}
	}
	if got := slices.Sorted(maps.Keys(sizes)); !slices.Equal(got, []int{100, 1000, 2000}) {
		t.Errorf("sizes after a crash: %v", got)
	}
	if got := contents(t, m.Crash(neverLose()), "/")["f"]; got != contents(t, m, "/")["f"] {
		t.Error("a crash that keeps all changes the file")
	}
}

func TestUnsyncedNamesAreKeptOrLostInAnySubset(t *testing.T) {
	m := NewMem()
	write := func(name, text string) {
		f := must(m.Create(name, 0, false))
		must(f.WriteAt([]byte(text), 0))
		check(t, f.Sync())
	}
	write("d", "gone")
	write("c", "old")
	check(t, m.SyncDir("/"))
	write("tmp", "new")
	check(t, m.Rename("tmp", "c"))
	check(t, m.Remove("d"))
	seen := map[string]bool{}
	for seed := range uint64(300) {
		seen[fmt.Sprint(contents(t, m.Crash(rand.New(rand.NewPCG(seed, 0))), "/"))] = true
	}
	want := []string{
		"map[c:new d:gone]", "map[c:new]", // the rename was kept, with or without the creation before it
		"map[c:old d:gone]", "map[c:old]", "map[c:old d:gone tmp:new]", "map[c:old tmp:new]",
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("states after a crash:\n%q\nwant\n%q", got, want)
	}
}

func TestADirectoryWithoutSyncOfItsParentMayVanish(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("data"))
	check(t, must(m.Create("data/f", 10, false)).Sync())
	check(t, m.SyncDir("data"))
	if names := must(m.Crash(alwaysLose()).List("/")); len(names) != 0 {
		t.Errorf("there is %v", names)
	}
}

func TestACrashIsDecidedByItsSourceAloneAndIsFinal(t *testing.T) {
	m := NewMem()
	for i := range 5 {
		f := must(m.Create(fmt.Sprint("f", i), 4000, false))
		must(f.WriteAt(bytes.Repeat([]byte{byte('a' + i)}, 3000), 500))
	}
	before := contents(t, m, "/")
	for seed := range uint64(100) {
		first := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		second := m.Crash(rand.New(rand.NewPCG(seed, 0)))
		if !maps.Equal(contents(t, first, "/"), contents(t, second, "/")) {
			t.Fatalf("seed %d gives two different crashes", seed)
		}
		if !maps.Equal(contents(t, first, "/"), contents(t, first.Crash(alwaysLose()), "/")) {
			t.Fatalf("seed %d: a second power cut took something that the first had left", seed)
		}
	}
	if !maps.Equal(before, contents(t, m, "/")) {
		t.Error("Crash changed the original")
	}
}

func TestFateHasItsExtremes(t *testing.T) {
	for kind, kept := range map[int]int{0: 0, 1: 1000} {
		f, n := newFate(wanted(kind), 1000), 0
		for i := range 1000 {
			if f.keeps(i) {
				n++
			}
		}
		if n != kept {
			t.Errorf("fate %d keeps %d of 1000, want %d", kind, n, kept)
		}
	}
}
