package disk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// recovery rebuilds the state from the newest valid checkpoint and the commits after it, and decides what a commit that does not
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
	store   layout.StoreID

	heads     map[uint64]layout.SegmentHeader // of all segment files
	numbers   []uint64                        // of all checkpoint files, sorted
	spares    []string
	temps     []string
	mark      layout.EpochMark
	used      *layout.Checkpoint
	previous  *layout.Checkpoint // the one kept beside it; nil when there is none that can be read
	fellBack  bool               // a newer checkpoint, or the previous one, is damaged
	leftovers []string           // files that nothing needs

	seq   uint64
	epoch uint64
	tail  *index.Segment // where the log ends
	// replayed are the segments whose commits were read.
	replayed []uint64
	// unused are segments that were made ready behind the tail and never written to, in order: appenders may be ahead of the committer
	// by several.
	unused []uint64
	clean  bool // by a clean stop
	// surveys are those of whole segments.
	surveys map[uint64]layout.Survey
}

func (r *recovery) path(name string) string { return path.Join(r.options.Dir, name) }

func (r *recovery) refuse(name, reason string) error {
	return &layout.FileError{Path: r.path(name), Offset: -1, Reason: reason}
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
	r.heads = map[uint64]layout.SegmentHeader{}
	for _, name := range names {
		switch kind, number := layout.ParseName(name); kind {
		case layout.ForeignFile:
			return r.refuse(name, "does not belong into a data directory")
		case layout.TempFile:
			r.temps = append(r.temps, name)
		case layout.SpareFile:
			r.spares = append(r.spares, name)
		case layout.CheckpointFile:
			r.numbers = append(r.numbers, number)
		case layout.SegmentFile:
			if r.heads[number], err = r.head(number); err != nil {
				return err
			}
		}
	}
	slices.Sort(r.numbers)
	b, err := layout.ReadWhole(r.options.FS, r.path(layout.EpochName))
	if err != nil {
		return r.refuse(layout.EpochName, "cannot be read: "+err.Error())
	}
	r.mark, err = layout.DecodeEpochMark(r.path(layout.EpochName), r.store, b)
	return err
}

func (r *recovery) head(id uint64) (layout.SegmentHeader, error) {
	f, err := r.options.FS.Open(r.path(layout.SegmentName(id)))
	if err != nil {
		return layout.SegmentHeader{}, err
	}
	defer f.Close()
	b := make([]byte, layout.SegmentHeaderBytes)
	if err := layout.ReadFull(f, b, 0); err != nil {
		return layout.SegmentHeader{}, r.refuse(layout.SegmentName(id), "the segment header cannot be read: "+err.Error())
	}
	return layout.DecodeSegmentHeader(b, r.path(layout.SegmentName(id)), r.store, id)
}

// pick chooses the checkpoint to start from, and checks that its predecessor and all files that the two list are there.
func (r *recovery) pick() (*layout.Body, error) {
	var chosen *layout.Body
	for _, number := range slices.Backward(r.numbers) {
		c, b, err := layout.ReadCheckpoint(r.options.FS, r.path(layout.CheckpointName(number)), r.store, number, true)
		if err == nil {
			r.used, chosen = c, b
			break
		}
		if !errors.Is(err, layout.ErrDamaged) {
			return nil, err
		}
		r.fellBack = true
		r.options.Logger.Error("a checkpoint is damaged; the one before it is used", "file", layout.CheckpointName(number))
	}
	if r.used == nil {
		return nil, r.refuse(layout.CheckpointName(max(1, slices.Max(append(r.numbers, 0)))), "there is no checkpoint that can be read")
	}
	for _, number := range r.numbers {
		if number >= r.used.Number {
			break
		}
		c, _, err := layout.ReadCheckpoint(r.options.FS, r.path(layout.CheckpointName(number)), r.store, number, false)
		switch {
		case errors.Is(err, layout.ErrDamaged):
			r.fellBack = true
			r.options.Logger.Warn("an old checkpoint is damaged", "file", layout.CheckpointName(number))
		case err != nil:
			return nil, err
		case number == r.used.Prev:
			r.previous = c
		default:
			r.leftovers = append(r.leftovers, layout.CheckpointName(number))
		}
	}
	if r.used.Prev != 0 && !slices.Contains(r.numbers, r.used.Prev) && !r.fellBack {
		return nil, r.refuse(layout.CheckpointName(r.used.Prev), "is missing, or "+layout.CheckpointName(r.used.Number+1)+" is")
	}
	return chosen, r.checkListed()
}

// checkListed makes sure that the files that the checkpoints list are there and have the right size.
func (r *recovery) checkListed() error {
	for _, c := range []*layout.Checkpoint{r.used, r.previous} {
		if c == nil {
			continue
		}
		for i := range c.Segments {
			m := &c.Segments[i]
			if _, found := r.heads[m.ID]; !found {
				return r.refuse(layout.SegmentName(m.ID), "is missing")
			}
			size, err := r.size(m.ID)
			if err != nil {
				return err
			}
			if m.Flags&layout.SummaryFooted != 0 && size != m.FileBytes || size < m.End {
				return r.refuse(layout.SegmentName(m.ID), fmt.Sprintf("has %d bytes where %d are due", size, m.FileBytes))
			}
		}
	}
	return nil
}

func (r *recovery) size(id uint64) (int64, error) {
	f, err := r.options.FS.Open(r.path(layout.SegmentName(id)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// restore fills the index and the machine from the checkpoint.
func (r *recovery) restore(b *layout.Body) error {
	r.shard.checkpointBytes.Store(int64(len(b.Index) + len(b.Machine)))
	x := r.shard.index
	for i := range r.used.Segments {
		if _, err := r.segment(r.used.Segments[i]); err != nil {
			return err
		}
	}
	if r.previous != nil {
		// Kept for the sake of the previous checkpoint only: they go when it goes.
		for _, m := range r.previous.Segments {
			if x.Segments[m.ID] == nil {
				g, err := r.segment(m)
				if err != nil {
					return err
				}
				g.Sealed = true
			}
		}
	}
	if !x.Decode(b) {
		return r.refuse(layout.CheckpointName(r.used.Number), "its index is not one that this program writes")
	}
	r.seq, r.epoch = r.used.Seq, r.used.Epoch
	r.shard.nextID, r.shard.lastTime = r.used.NextID, r.used.LastTime
	if len(b.Machine) == 0 {
		return nil // the first checkpoint, made before anybody owned the shard
	}
	if err := r.shard.machine.Restore(bytes.NewReader(b.Machine)); err != nil {
		return fmt.Errorf("%s: restore: %w", r.path(layout.CheckpointName(r.used.Number)), err)
	}
	return nil
}

// segment makes a segment of a checkpoint's summary known to the index.
func (r *recovery) segment(m layout.Summary) (*index.Segment, error) {
	size, err := r.size(m.ID)
	if err != nil {
		return nil, err
	}
	g := &index.Segment{
		SegmentHeader: r.heads[m.ID], Salt: r.store.Salt(m.ID), FileBytes: size, End: m.End,
		Sealed: m.Flags&layout.SummarySealed != 0, Footed: m.Flags&layout.SummaryFooted != 0,
	}
	r.shard.index.Segments[m.ID] = g
	return g, nil
}

// account decides about every file that is not part of the state: what is left over from a crash may go, the rest is refused.
func (r *recovery) account() error {
	if r.tail.ID < r.mark.Segment {
		return cmp.Or(r.gap(r.tail.ID),
			r.refuse(layout.SegmentName(r.mark.Segment), "is missing: "+layout.EpochName+" says that the log went on in it"))
	}
	for _, id := range slices.Sorted(maps.Keys(r.heads)) {
		h := r.heads[id]
		switch {
		case r.shard.index.Segments[id] != nil:
		case h.Compacted() || id < r.used.At.Segment:
			// Compacted segments count from the first checkpoint that lists them, and old ones until the last that does.
			r.leftovers = append(r.leftovers, layout.SegmentName(id))
		case (h.Prev == r.tail.ID || slices.Contains(r.unused, h.Prev)) && h.PrevEnd == 0:
			used, err := r.hasCommits(id)
			if err != nil {
				return err
			}
			if used {
				return r.refuse(layout.SegmentName(h.Prev), "ends before the commits that "+layout.SegmentName(id)+" goes on with")
			}
			r.unused = append(r.unused, id)
		case r.heads[h.Prev].ID == 0:
			return r.refuse(layout.SegmentName(h.Prev), "is missing: "+layout.SegmentName(id)+" follows it")
		default:
			return r.refuse(layout.SegmentName(id), "has no place in the log")
		}
	}
	return nil
}

func (r *recovery) hasCommits(id uint64) (bool, error) {
	v, err := r.surveyWhole(r.heads[id])
	return v.Commit, err
}

// surveyWhole looks at everything in a segment, once: it may be large. It is asked only when the log's end is found.
func (r *recovery) surveyWhole(h layout.SegmentHeader) (layout.Survey, error) {
	if v, found := r.surveys[h.ID]; found {
		return v, nil
	}
	v, err := r.survey(&index.Segment{SegmentHeader: h, Salt: r.store.Salt(h.ID)}, layout.PageBytes, index.SegmentBytesMax)
	if err == nil {
		r.surveys[h.ID] = v
	}
	return v, err
}

// survey looks at what lies behind a byte of a segment, as far as a number of bytes.
func (r *recovery) survey(g *index.Segment, from, reach int64) (layout.Survey, error) {
	f, err := r.options.FS.Open(r.path(layout.SegmentName(g.ID)))
	if err != nil {
		return layout.Survey{}, err
	}
	defer f.Close()
	return layout.NewReader(f, g.ID, g.Salt).Survey(from, from+reach, r.seq)
}

// settle makes durable what was read, and removes what nothing refers to and would be in the way.
func (r *recovery) settle() error {
	fs := r.options.FS
	// A kill may have left the last commits in memory only, and the log may have gone on in a new segment since the first of them.
	for _, id := range r.replayed {
		f, err := fs.OpenWrite(r.path(layout.SegmentName(id)), false)
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
	// The last one first: a crash must not leave one without that which it follows.
	for _, id := range slices.Backward(r.unused) {
		if err := errors.Join(fs.Remove(r.path(layout.SegmentName(id))), fs.SyncDir(r.options.Dir)); err != nil {
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
