package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Recovery rebuilds the state from the newest valid checkpoint and the commits after it, and decides what a commit that does not
// check out means. It is torn, the trace of a crash, if and only if
//
//	it lies at or behind every position that any valid commit behind it, in its segment or a later one, knows to be durable, and
//	no later segment says that this one ended behind it.
//
// The writer synced nothing of such a commit, so nobody was told that it succeeded: it is left out, whole. Everything else that does
// not check out is damage. Damage to the body of a block touches only that block: reading it answers a CorruptError. Damage to
// anything else makes the state unknowable, and the store is refused with the file and the byte.
//
// Recovery writes nothing before it has read everything, and then: it syncs the segments that it read, since what it found may have been in
// memory only; begins a new segment, whose header says where the old one ended; and replaces the epoch file. Ending at any
// point and starting over gives the same state.
type recovery struct {
	shard   *shard
	options *Options
	store   storeID

	heads     map[uint64]segmentHeader // of all segment files
	numbers   []uint64                 // of all checkpoint files, sorted
	spares    []string
	temps     []string
	mark      epochMark
	used      *checkpoint
	previous  *checkpoint // the one kept beside it; nil when there is none that can be read
	fellBack  bool        // a newer checkpoint, or the previous one, is damaged
	leftovers []string    // files that nothing needs

	seq   uint64
	epoch uint64
	tail  *segment // where the log ends
	// replayed are the segments whose commits were read.
	replayed []uint64
	clean    bool // by a clean stop
}

func (r *recovery) path(name string) string { return path.Join(r.options.Dir, name) }

func (r *recovery) refuse(name, reason string) error {
	return &FileError{Path: r.path(name), Offset: -1, Reason: reason}
}

// run reads everything and leaves the shard with the index and the machine of the log's end.
func (r *recovery) run(ctx context.Context) error {
	if err := r.list(); err != nil {
		return err
	}
	b, err := r.pick()
	if err != nil {
		return err
	}
	if err := r.restore(b); err != nil {
		return err
	}
	if err := r.replay(ctx); err != nil {
		return err
	}
	return r.account()
}

// list reads the directory and what identifies each file.
func (r *recovery) list() error {
	names, err := r.options.FS.List(r.options.Dir)
	if err != nil {
		return err
	}
	r.heads = map[uint64]segmentHeader{}
	for _, name := range names {
		switch kind, number := parseName(name); kind {
		case foreignFile:
			return r.refuse(name, "does not belong into a data directory")
		case tempFile:
			r.temps = append(r.temps, name)
		case spareFile:
			r.spares = append(r.spares, name)
		case checkpointFile:
			r.numbers = append(r.numbers, number)
		case segmentFile:
			if r.heads[number], err = r.head(number); err != nil {
				return err
			}
		}
	}
	slices.Sort(r.numbers)
	b, err := readWhole(r.options.FS, r.path(epochName))
	if err != nil {
		return r.refuse(epochName, "cannot be read: "+err.Error())
	}
	r.mark, err = decodeEpochMark(r.path(epochName), r.store, b)
	return err
}

func (r *recovery) head(id uint64) (segmentHeader, error) {
	f, err := r.options.FS.Open(r.path(segmentName(id)))
	if err != nil {
		return segmentHeader{}, err
	}
	defer f.Close()
	b := make([]byte, segmentHeaderBytes)
	if err := readFull(f, b, 0); err != nil {
		return segmentHeader{}, r.refuse(segmentName(id), "the segment header cannot be read: "+err.Error())
	}
	return decodeSegmentHeader(b, r.path(segmentName(id)), r.store, id)
}

// pick chooses the checkpoint to start from, and checks that its predecessor and all files that the two list are there.
func (r *recovery) pick() (*body, error) {
	var chosen *body
	for _, number := range slices.Backward(r.numbers) {
		c, b, err := readCheckpoint(r.options.FS, r.path(checkpointName(number)), r.store, number, true)
		if err == nil {
			r.used, chosen = c, b
			break
		}
		if !errors.Is(err, errDamaged) {
			return nil, err
		}
		r.fellBack = true
		r.options.Logger.Error("a checkpoint is damaged; the one before it is used", "file", checkpointName(number))
	}
	if r.used == nil {
		return nil, r.refuse(checkpointName(max(1, slices.Max(append(r.numbers, 0)))), "there is no checkpoint that can be read")
	}
	for _, number := range r.numbers {
		if number >= r.used.number {
			break
		}
		c, _, err := readCheckpoint(r.options.FS, r.path(checkpointName(number)), r.store, number, false)
		switch {
		case errors.Is(err, errDamaged):
			r.fellBack = true
			r.options.Logger.Warn("an old checkpoint is damaged", "file", checkpointName(number))
		case err != nil:
			return nil, err
		case number == r.used.prev:
			r.previous = c
		default:
			r.leftovers = append(r.leftovers, checkpointName(number))
		}
	}
	if r.used.prev != 0 && !slices.Contains(r.numbers, r.used.prev) && !r.fellBack {
		return nil, r.refuse(checkpointName(r.used.prev), "is missing")
	}
	return chosen, r.checkListed()
}

// checkListed makes sure that the files that the checkpoints list are there and have the right size.
func (r *recovery) checkListed() error {
	for _, c := range []*checkpoint{r.used, r.previous} {
		if c == nil {
			continue
		}
		for i := range c.segments {
			m := &c.segments[i]
			if _, found := r.heads[m.id]; !found {
				return r.refuse(segmentName(m.id), "is missing")
			}
			size, err := r.size(m.id)
			if err != nil {
				return err
			}
			if m.flags&summaryFooted != 0 && size != m.fileBytes || size < m.end {
				return r.refuse(segmentName(m.id), fmt.Sprintf("has %d bytes where %d are due", size, m.fileBytes))
			}
		}
	}
	return nil
}

func (r *recovery) size(id uint64) (int64, error) {
	f, err := r.options.FS.Open(r.path(segmentName(id)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// restore fills the index and the machine from the checkpoint.
func (r *recovery) restore(b *body) error {
	x := r.shard.index
	for i := range r.used.segments {
		if _, err := r.segment(r.used.segments[i]); err != nil {
			return err
		}
	}
	if r.previous != nil {
		// Kept for the sake of the previous checkpoint only: they go when it goes.
		for _, m := range r.previous.segments {
			if x.segments[m.id] == nil {
				g, err := r.segment(m)
				if err != nil {
					return err
				}
				g.sealed = true
			}
		}
	}
	if !x.decode(b) {
		return r.refuse(checkpointName(r.used.number), "its index is not one that this program writes")
	}
	r.seq, r.epoch = r.used.seq, r.used.epoch
	r.shard.nextID, r.shard.lastTime = r.used.nextID, r.used.lastTime
	if len(b.machine) == 0 {
		return nil // the first checkpoint, made before anybody owned the shard
	}
	if err := r.shard.machine.Restore(bytes.NewReader(b.machine)); err != nil {
		return fmt.Errorf("%s: restore: %w", r.path(checkpointName(r.used.number)), err)
	}
	return nil
}

// segment makes a segment of a checkpoint's summary known to the index.
func (r *recovery) segment(m summary) (*segment, error) {
	size, err := r.size(m.id)
	if err != nil {
		return nil, err
	}
	g := &segment{
		segmentHeader: r.heads[m.id], salt: r.store.salt(m.id), fileBytes: size, end: m.end,
		sealed: m.flags&summarySealed != 0, footed: m.flags&summaryFooted != 0,
	}
	r.shard.index.segments[m.id] = g
	return g, nil
}

// account decides about every file that is not part of the state: what is left over from a crash may go, the rest is refused.
func (r *recovery) account() error {
	if r.tail.id < r.mark.segment {
		return r.refuse(segmentName(r.mark.segment), "is missing: "+epochName+" says that the log went on in it")
	}
	// Segments that were made ready behind the tail and never written to: appenders may be ahead of the committer by several.
	unused := map[uint64]bool{r.tail.id: true}
	for _, id := range slices.Sorted(maps.Keys(r.heads)) {
		h := r.heads[id]
		switch {
		case r.shard.index.segments[id] != nil:
		case h.compacted() || id < r.used.at.segment:
			// Compacted segments count from the first checkpoint that lists them, and old ones until the last that does.
			r.leftovers = append(r.leftovers, segmentName(id))
		case unused[h.prev] && h.prevEnd == 0:
			used, err := r.hasCommits(id)
			if err != nil {
				return err
			}
			if used {
				return r.refuse(segmentName(h.prev), "ends before the commits that "+segmentName(id)+" goes on with")
			}
			unused[id] = true
			r.temps = append(r.temps, segmentName(id))
		case r.heads[h.prev].id == 0:
			return r.refuse(segmentName(h.prev), "is missing: "+segmentName(id)+" follows it")
		default:
			return r.refuse(segmentName(id), "has no place in the log")
		}
	}
	return nil
}

func (r *recovery) hasCommits(id uint64) (bool, error) {
	v, err := r.survey(&segment{segmentHeader: r.heads[id], salt: r.store.salt(id)}, pageBytes, segmentBytesMax)
	return v.commit, err
}

// survey looks at what lies behind a byte of a segment, as far as a number of bytes.
func (r *recovery) survey(g *segment, from, reach int64) (survey, error) {
	f, err := r.options.FS.Open(r.path(segmentName(g.id)))
	if err != nil {
		return survey{}, err
	}
	defer f.Close()
	return newLogReader(f, g).survey(from, from+reach, r.seq)
}

// settle makes durable what was read, and removes what nothing refers to and would be in the way.
func (r *recovery) settle() error {
	fs := r.options.FS
	// A kill may have left the last commits in memory only, and the log may have gone on in a new segment since the first of them.
	for _, id := range r.replayed {
		f, err := fs.OpenWrite(r.path(segmentName(id)), false)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	for _, name := range r.temps {
		if err := fs.Remove(r.path(name)); err != nil {
			return err
		}
	}
	return fs.SyncDir(r.options.Dir)
}

// sweep removes what earlier runs had finished with. Beside damage, nothing is removed.
func (r *recovery) sweep(fs vfs.FS) {
	if r.fellBack {
		return
	}
	for _, name := range r.leftovers {
		if err := fs.Remove(r.path(name)); err != nil {
			r.options.Logger.Warn("a file that nothing needs stays", "file", name, "error", err)
		}
	}
}
