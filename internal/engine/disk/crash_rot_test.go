package disk

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/engine/enginetest"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// stored is a store that nobody has open, and what is known about it.
type stored struct {
	mem   *vfs.Mem
	h     history
	all   []engine.Record
	last  vfs.Op          // the write of the last commit
	swept map[string]bool // files that an ordinary opening finds to be of no use
}

// build plays a script and leaves the store cleanly closed, or killed.
func build(t testing.TB, seed uint64, steps int, clean bool) *stored {
	t.Helper()
	p, s := newTape(t, seed), &stored{}
	var (
		mu     sync.Mutex
		writes []vfs.Op
		inWork = map[string]bool{} // files with a write that was not synced yet
	)
	p.watch(func(op vfs.Op) *vfs.Fault {
		mu.Lock()
		defer mu.Unlock()
		op.Name = strings.TrimSuffix(op.Name, ".tmp")
		switch op.Kind {
		case vfs.OpWrite:
			writes, inWork[op.Name] = append(writes, op), true
		case vfs.OpSync:
			delete(inWork, op.Name)
		}
		return nil
	})
	fail := func(err error) {
		if err != nil {
			t.Fatalf("seed %d, step %d: %v", seed, p.step, err)
		}
	}
	fail(p.open())
	for range steps {
		fail(p.play())
	}
	if clean {
		fail(p.engine.Close())
	} else {
		long := strings.Repeat("the last ", 300)
		recs := []engine.Record{enginetest.Note(long), enginetest.Block(p.oldest, long, long), enginetest.Block(p.oldest+1, "the last block")}
		p.add(recs)
		fail(p.shard.Append(t.Context(), recs))
		defer p.engine.Close()
	}
	p.answered()
	// The keeper may be at work: the copy is taken between two writes to the log.
	owned := p.shard.(*shard)
	owned.mu.Lock()
	active := path.Join("data", layout.SegmentName(owned.active.ID))
	owned.mu.Unlock()
	var arrived []vfs.Op
	for s.mem == nil {
		mu.Lock()
		if before := len(writes); !inWork[active] {
			mu.Unlock()
			mem := p.mem.Snapshot()
			mu.Lock()
			if len(writes) == before {
				s.mem, arrived = mem, writes[:before]
			}
		}
		mu.Unlock()
	}
	for _, op := range arrived {
		if op.Name == active && op.Offset > s.last.Offset {
			s.last = op
		}
	}
	s.h, _ = p.known()
	s.all = s.h.records(len(s.h.log))
	s.learn(t)
	return s
}

// learn finds out which files go when nothing is wrong.
func (s *stored) learn(t testing.TB) {
	t.Helper()
	mem := s.mem.Snapshot()
	before := files(mem)
	r, err := recoverStore(mem)
	if err != nil {
		t.Fatal(err)
	}
	s.swept = missing(before, files(mem))
	if err := r.engine.Close(); err != nil {
		t.Fatal(err)
	}
}

// files is the contents of the data directory, even while an engine is at work on it.
func files(mem *vfs.Mem) map[string]string {
	mem = mem.Snapshot()
	names, err := mem.List("data")
	if err != nil {
		panic(err)
	}
	all := map[string]string{}
	for _, name := range names {
		f, err := mem.Open(path.Join("data", name))
		if err != nil {
			panic(err)
		}
		size, err := f.Size()
		if err != nil {
			panic(err)
		}
		b := make([]byte, size)
		if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
			panic(err)
		}
		all[name] = string(b)
	}
	return all
}

func missing(before, after map[string]string) map[string]bool {
	gone := map[string]bool{}
	for name := range before {
		if _, there := after[name]; !there {
			gone[name] = true
		}
	}
	return gone
}

// put makes a file of a Mem hold other bytes, durably.
func put(mem *vfs.Mem, name, text string) {
	name = path.Join("data", name)
	f, err := mem.OpenWrite(name, false)
	if err != nil {
		if f, err = mem.Create(name, 0, false); err != nil {
			panic(err)
		}
	}
	_, err = f.WriteAt([]byte(text), 0)
	if err := errors.Join(err, f.Truncate(int64(len(text))), f.Sync(), mem.SyncDir("data")); err != nil {
		panic(err)
	}
}

// verdict is what became of a store that was tampered with.
type verdict struct {
	refused error                   // it was not opened
	lost    int                     // entries at the end that are not there
	corrupt map[engine.TopicID]bool // topics that say so
}

// judgeDamage opens a store that is damaged in one file. Its error is a broken promise: wrong bytes, a hole that nobody is told of,
// damage that is gone later with the messages in it.
func (s *stored) judgeDamage(mem *vfs.Mem, damaged string) (v verdict, err error) {
	before := files(mem)
	r, err := recoverStore(mem)
	if err != nil {
		if !strings.Contains(err.Error(), "data/") {
			return v, fmt.Errorf("the refusal names no file: %w", err)
		}
		if after := files(mem); !maps.Equal(before, after) {
			return v, fmt.Errorf("refused with %w, but not left as it was", err)
		}
		return verdict{refused: err}, nil
	}
	h := s.h
	h.sure = 0
	n, err := h.prefix(r.machine.Records())
	if err == nil {
		v.lost = len(h.log) - n
		v.corrupt, err = r.checkBlocks(h, n, true)
	}
	if err = errors.Join(err, r.engine.Close()); err != nil || len(v.corrupt) == 0 {
		return v, err
	}
	// The keeper has been at work meanwhile, and so have footers and checkpoints: the damage must still be there to be seen.
	if missing(before, files(mem))[damaged] {
		return v, fmt.Errorf("%s was removed with the damage in it", damaged)
	}
	again, err := recoverStore(mem)
	if err != nil {
		return v, fmt.Errorf("refused the second time: %w", err)
	}
	defer again.engine.Close()
	corrupt, err := again.checkBlocks(h, n, true)
	if err == nil && !maps.Equal(corrupt, v.corrupt) {
		err = fmt.Errorf("damage in %v the first time, in %v the second", v.corrupt, corrupt)
	}
	return v, err
}

func TestAFlippedBitIsDetectedOrHarmless(t *testing.T) {
	flips := shortOrLong(300, 5_000)
	for _, clean := range []bool{true, false} {
		s := build(t, 7, 200, clean)
		contents := files(s.mem)
		names := slices.Sorted(maps.Keys(contents))
		names = slices.DeleteFunc(names, func(name string) bool { return contents[name] == "" })
		rng := rand.New(rand.NewPCG(7, 7))
		refused, corrupt, harmless := 0, 0, 0
		for i := range flips {
			name := names[rng.IntN(len(names))]
			b := []byte(contents[name])
			at, bit := rng.IntN(len(b)), rng.IntN(8)
			b[at] ^= 1 << bit
			mem := s.mem.Snapshot()
			put(mem, name, string(b))
			v, err := s.judgeDamage(mem, name)
			place := fmt.Sprintf("clean %v, flip %d: bit %d of byte %d of %s", clean, i, bit, at, name)
			off := int64(at) - s.last.Offset
			inLast := path.Join("data", name) == s.last.Name && off >= 0 && off < int64(s.last.Bytes)
			switch {
			case err != nil:
				t.Errorf("%s: %v", place, err)
			case v.refused != nil:
				refused++
				if !strings.Contains(v.refused.Error(), name) && !s.swept[name] {
					t.Errorf("%s: refused for another reason: %v", place, v.refused)
				}
			case v.lost > 0 && !inLast:
				t.Errorf("%s: %d entries are lost in silence", place, v.lost)
			case len(v.corrupt) > 1:
				t.Errorf("%s: %d topics are touched", place, len(v.corrupt))
			case len(v.corrupt) == 1:
				corrupt++
			default:
				harmless++
			}
		}
		t.Logf("clean %v: %d files, %d flips refused, %d found when read, %d harmless", clean, len(names), refused, corrupt, harmless)
	}
}

func TestALastCommitThatIsCutOrScrambledIsLeftOutOrWhole(t *testing.T) {
	s := build(t, 11, 40, false)
	base := strings.TrimPrefix(s.last.Name, "data/")
	whole := files(s.mem)[base]
	from, to := int(s.last.Offset), int(s.last.Offset)+s.last.Bytes
	rng := rand.New(rand.NewPCG(11, 11))
	step := shortOrLong(89, 1)
	states := 0
	for at := from; at <= to; at += step {
		scrambled := []byte(whole)
		for i := at; i < to; i++ {
			scrambled[i] = byte(rng.Uint32())
		}
		sparse := []byte(whole)
		for i := at; i < to; i++ {
			if rng.IntN(100) == 0 {
				sparse[i] ^= 1 << rng.IntN(8)
			}
		}
		for how, text := range map[string]string{
			"zeros from":     whole[:at] + string(make([]byte, len(whole)-at)),
			"file ends":      whole[:at],
			"scrambled from": string(scrambled),
			"flips from":     string(sparse),
		} {
			mem := s.mem.Snapshot()
			put(mem, base, text)
			v, err := s.judgeDamage(mem, base)
			states++
			switch {
			case err != nil:
				t.Errorf("%s byte %d of %d: %v", how, at-from, to-from, err)
			case v.refused != nil:
				t.Errorf("%s byte %d of %d: a false alarm: %v", how, at-from, to-from, v.refused)
			case v.lost > 1 || len(v.corrupt) > 0:
				t.Errorf("%s byte %d of %d: %d entries lost, %d topics damaged", how, at-from, to-from, v.lost, len(v.corrupt))
			}
		}
	}
	t.Logf("%d states of a last commit of %d bytes", states, to-from)
}

func TestAFileThatIsMissingSwappedOrCopiedIsRefusedByName(t *testing.T) {
	for _, clean := range []bool{true, false} {
		s := build(t, 13, shortOrLong(60, 200), clean)
		contents := files(s.mem)
		names := slices.Sorted(maps.Keys(contents))
		try := func(what string, suspects []string, change func(mem *vfs.Mem)) {
			mem := s.mem.Snapshot()
			change(mem)
			v, err := s.judgeDamage(mem, suspects[0])
			named := func(name string) bool { return v.refused != nil && strings.Contains(v.refused.Error(), name) }
			switch {
			case err != nil:
				t.Errorf("clean %v: %s: %v", clean, what, err)
			case v.refused != nil && !slices.ContainsFunc(suspects, named):
				t.Errorf("clean %v: %s: refused without naming %q: %v", clean, what, suspects, v.refused)
			case v.refused == nil && (v.lost > 0 || len(v.corrupt) > 0):
				t.Errorf("clean %v: %s: opened with %d entries lost and %d topics damaged", clean, what, v.lost, len(v.corrupt))
			case v.refused == nil && !slices.ContainsFunc(suspects, func(name string) bool { return s.idle(name) }):
				t.Errorf("clean %v: %s: opened as if nothing were", clean, what)
			}
		}
		for i, name := range names {
			try("without "+name, []string{name}, func(mem *vfs.Mem) {
				if err := errors.Join(mem.Remove(path.Join("data", name)), mem.SyncDir("data")); err != nil {
					t.Fatal(err)
				}
			})
			for _, other := range names[i+1:] {
				if kindOf(other) == kindOf(name) {
					try("swapped "+name+" and "+other, []string{name, other}, func(mem *vfs.Mem) {
						put(mem, name, contents[other])
						put(mem, other, contents[name])
					})
					try("copied "+name+" over "+other, []string{name, other}, func(mem *vfs.Mem) { put(mem, other, contents[name]) })
				}
			}
			for _, copied := range map[string][]string{
				"seg":        {"seg-0000000000001000.log", "copy of " + name},
				"checkpoint": {"checkpoint-0000000000001000", name + ".bak"},
				"identity":   {"identity~"},
				"epoch":      {"epoch.1"},
			}[kindOf(name)] {
				try("copied "+name+" to "+copied, []string{copied}, func(mem *vfs.Mem) { put(mem, copied, contents[name]) })
			}
		}
	}
}

// kindOf is what a file's name begins with.
func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, "-")
	return kind
}

// idle tells whether a file holds nothing that the store needs: it may be missing.
func (s *stored) idle(name string) bool {
	return name == "lock" || strings.HasSuffix(name, ".tmp") || kindOf(name) == "spare" || s.swept[name]
}
