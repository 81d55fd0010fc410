package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Snapshot is the file system as it is now for every program, with the same doubt about what the disk has: what the next process finds
// after a kill. Locks are free in it. The copy and the original do not affect each other.
func (m *Mem) Snapshot() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	copier := memCopier{dirs: map[*memDir]*memDir{}, files: map[*memFile]*memFile{}}
	return &Mem{root: copier.dir(m.root), locked: map[string]bool{}, capacity: m.capacity}
}

// memCopier keeps what is one file or directory one, however many entries, durable and not, lead to it.
type memCopier struct {
	dirs  map[*memDir]*memDir
	files map[*memFile]*memFile
}

func (c memCopier) dir(d *memDir) *memDir {
	if done, ok := c.dirs[d]; ok {
		return done
	}
	fresh := &memDir{entries: c.entries(d.entries), durable: c.entries(d.durable)}
	for _, change := range d.unsynced {
		change.node = c.node(change.node)
		fresh.unsynced = append(fresh.unsynced, change)
	}
	c.dirs[d] = fresh
	return fresh
}

func (c memCopier) entries(entries map[string]memNode) map[string]memNode {
	fresh := make(map[string]memNode, len(entries))
	for name, node := range entries {
		fresh[name] = c.node(node)
	}
	return fresh
}

func (c memCopier) node(n memNode) memNode {
	switch {
	case n.dir != nil:
		return memNode{dir: c.dir(n.dir)}
	case n.file != nil:
		return memNode{file: c.file(n.file)}
	default:
		return n
	}
}

func (c memCopier) file(f *memFile) *memFile {
	if done, ok := c.files[f]; ok {
		return done
	}
	f.shared = true
	fresh := &memFile{content: f.content, shared: true}
	c.files[f] = fresh
	return fresh
}

// Crash is the file system as a power cut at this moment may leave it; m itself goes on. All that Sync and SyncDir have promised is
// there. Of the rest, each step is kept or lost on its own, as rng says:
//
//   - every sector written since the last Sync of its file has its old bytes, its new ones, any it had in between, or is torn;
//   - a file's size is any that it had since then;
//   - every entry that was created, renamed or removed since the last SyncDir of its directory is as before or as after. A rename
//     inside a directory is one step.
//
// What is left is durable. The same source gives the same file system.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	left := m.Snapshot()
	left.root.crash(rng, map[*memFile]bool{})
	return left
}

func (d *memDir) crash(rng *rand.Rand, done map[*memFile]bool) {
	entries := maps.Clone(d.durable)
	fate := newFate(rng, len(d.unsynced))
	for i, change := range d.unsynced {
		if fate.keeps(i) {
			change.apply(entries)
		}
	}
	d.entries, d.durable, d.unsynced = entries, maps.Clone(entries), nil
	for _, name := range sortedNames(entries) {
		node := entries[name]
		if node.dir != nil {
			node.dir.crash(rng, done)
		} else if !done[node.file] { // two entries may lead to one file when half of a rename was lost
			done[node.file] = true
			node.file.change().crash(rng)
		}
	}
}

func (c *memContent) crash(rng *rand.Rand) {
	unsynced := sortedNumbers(c.before)
	fate := newFate(rng, len(unsynced))
	for n, i := range unsynced {
		versions := c.before[i]
		switch {
		case fate.keeps(n):
		case rng.IntN(8) == 0:
			c.sectors[i] = torn(rng, versions[rng.IntN(len(versions))], c.sectors[i])
		default:
			c.sectors[i] = versions[rng.IntN(len(versions))]
		}
	}
	if versions := c.sizesBefore; len(versions) > 0 && rng.IntN(2) == 0 {
		c.size = versions[rng.IntN(len(versions))]
	}
	c.before, c.sizesBefore = nil, nil
	c.cut()
}

// cut makes the sectors end where the size says.
func (c *memContent) cut() {
	need := sectorsOf(c.size)
	if missing := need - int64(len(c.sectors)); missing > 0 {
		c.sectors = append(c.sectors, make([]*memSector, missing)...)
	}
	c.sectors = c.sectors[:need]
	if rest := c.size % SectorBytes; rest != 0 && c.sectors[need-1] != nil {
		last := c.sector(need - 1)
		clear(last[rest:])
		c.sectors[need-1] = &last
	}
}

// torn is a sector whose writing the power cut stopped.
func torn(rng *rand.Rand, old, new *memSector) *memSector {
	var s memSector
	if old != nil {
		s = *old
	}
	if new != nil {
		copy(s[:1+rng.IntN(SectorBytes-1)], new[:])
	}
	return &s
}

// fate decides about a row of unsynced steps. Tossing a coin for each would almost never give the states that matter most when there
// are many: all kept, none, all up to one, all but a few.
type fate struct {
	rng   *rand.Rand
	share float64 // of the steps before the end that are kept
	end   int     // no step from here on is kept
}

func newFate(rng *rand.Rand, steps int) fate {
	f := fate{rng: rng, end: steps}
	switch rng.IntN(5) {
	case 0:
		f.end = 0
	case 1:
		f.share = 1
	case 2:
		f.share, f.end = 1, rng.IntN(steps+1)
	case 3:
		f.share = 0.9
	case 4:
		f.share = rng.Float64()
	}
	return f
}

func (f fate) keeps(step int) bool { return step < f.end && f.rng.Float64() < f.share }

// sortedNames and sortedNumbers make the random source the only source of chance: maps have an order of their own.
func sortedNames(entries map[string]memNode) []string { return slices.Sorted(maps.Keys(entries)) }

func sortedNumbers(before map[int64][]*memSector) []int64 { return slices.Sorted(maps.Keys(before)) }
