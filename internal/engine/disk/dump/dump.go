// Package dump prints the files of a store for people. It reads only, trusts nothing, and goes on behind damage as far as it can.
package dump

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// File prints a file of a store, or all files of a data directory. note, if not nil, says what an owner's note is. The error is that of
// writing or of opening the file; or, when all is printed, a *layout.FileError that names the first damage.
func File(w io.Writer, fs vfs.FS, name string, note func([]byte) string) error {
	p := &printer{out: bufio.NewWriter(w), fs: fs, note: note}
	err := p.any(name)
	if flushing := p.out.Flush(); err == nil {
		err = flushing
	}
	if err == nil && p.first != nil {
		err = p.first
	}
	return err
}

// printer prints one file after the other.
type printer struct {
	out   *bufio.Writer
	fs    vfs.FS
	note  func([]byte) string
	path  string            // of the file that is being printed
	first *layout.FileError // the first damage that was found
}

// line prints one line. The writer keeps its first error, and File returns it.
func (p *printer) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// damage prints what is wrong with the file, and remembers the first of it.
func (p *printer) damage(offset int64, reason string) {
	p.line("  DAMAGED at byte %d: %s", offset, reason)
	if p.first == nil {
		p.first = &layout.FileError{Path: p.path, Offset: offset, Reason: reason}
	}
}

// refused prints the error of a decoder.
func (p *printer) refused(err error) {
	var bad *layout.FileError
	switch {
	case errors.As(err, &bad):
		p.damage(bad.Offset, bad.Reason)
	case err != nil:
		p.damage(0, err.Error())
	}
}

func (p *printer) any(name string) error {
	if names, err := p.fs.List(name); err == nil {
		for _, n := range names {
			if err := p.any(path.Join(name, n)); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := p.fs.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	p.path = name
	switch kind, number := layout.ParseName(path.Base(name)); kind {
	case layout.IdentityFile:
		p.identity()
	case layout.EpochFile:
		p.epoch()
	case layout.SegmentFile:
		p.line("%s: segment, %d bytes", name, size)
		return p.segment(f, number)
	case layout.CheckpointFile:
		p.line("%s: checkpoint, %d bytes", name, size)
		p.checkpoint(f, number)
	case layout.IgnoredFile, layout.TempFile, layout.SpareFile:
		p.line("%s: %d bytes without meaning", name, size)
	default:
		return fmt.Errorf("%s: not a file of a store, going by its name", name)
	}
	return nil
}

func (p *printer) identity() {
	p.line("%s: identity", p.path)
	b, err := layout.ReadWhole(p.fs, p.path)
	if err != nil {
		p.refused(err)
		return
	}
	i, err := layout.DecodeIdentity(p.path, b)
	if err != nil {
		p.refused(err)
		return
	}
	p.line("  store %v, created %s", i.Store, moment(i.Created))
}

func (p *printer) epoch() {
	p.line("%s: epoch", p.path)
	b, err := layout.ReadWhole(p.fs, p.path)
	if err != nil {
		p.refused(err)
		return
	}
	m, err := layout.DecodeEpochMark(p.path, storeIn(b), b)
	if err != nil {
		p.refused(err)
		return
	}
	p.line("  store %v, epoch %d, begun in %s", storeIn(b), m.Epoch, layout.SegmentName(m.Segment))
}

// storeIn is the store that a file says it belongs to: all kinds have it in the same place.
func storeIn(b []byte) (id layout.StoreID) {
	if len(b) >= 32 {
		copy(id[:], b[16:])
	}
	return id
}

func (p *printer) checkpoint(f vfs.File, number uint64) {
	head := make([]byte, layout.SegmentHeaderBytes)
	if err := layout.ReadFull(f, head, 0); err != nil {
		p.refused(err)
		return
	}
	c, b, err := layout.ReadCheckpoint(p.fs, p.path, storeIn(head), number, true)
	if errors.Is(err, layout.ErrDamaged) {
		// The bulk is damaged; what comes before it may still be readable.
		p.damage(0, "a checksum of the checkpoint does not match")
		c, b, err = layout.ReadCheckpoint(p.fs, p.path, storeIn(head), number, false)
	}
	if err != nil {
		p.refused(err)
		return
	}
	p.line("  store %v, checkpoint %d after %d", storeIn(head), c.Number, c.Prev)
	p.line("  state up to %v: commit %d, epoch %d", c.At, c.Seq, c.Epoch)
	p.line("  next message id %d, last time %s, next segment %d", c.NextID, moment(c.LastTime), c.NextSegment)
	for _, s := range c.Segments {
		p.line("  needs %s: %s", layout.SegmentName(s.ID), s.String())
	}
	if b == nil {
		return
	}
	whole := b.EachTopic(func(t *layout.TopicState) bool {
		p.line("  topic %d: next offset %d", t.Topic, t.Next)
		for i := range t.Runs {
			p.line("    %s: %s", layout.SegmentName(t.Runs[i].Segment), describe(&t.Runs[i].Row))
			p.entries(&t.Runs[i].Run)
		}
		return true
	})
	if !whole {
		p.damage(0, "the index is not one that this program writes")
	}
	p.line("  owner's state: %d bytes", len(b.Machine))
}

func (p *printer) entries(r *layout.Run) {
	for i := range r.Entries {
		e := &r.Entries[i]
		p.line("      byte %d: offset %d, %d messages, %d bytes, %s", e.Offset, r.OffsetOf(e), e.Count, e.Size, moment(r.TimeOf(e)))
	}
}

func describe(r *layout.Row) string {
	text := fmt.Sprintf("offsets %d to %d in %d blocks, %d bytes live, %s to %s",
		r.First, r.End-1, r.Blocks, r.Live, moment(r.BaseTime), moment(r.LastTime))
	if r.Section != 0 {
		text += fmt.Sprintf(", listed at byte %d", r.Section)
	}
	return text
}

func moment(unixNano int64) string {
	return time.Unix(0, unixNano).UTC().Format("2006-01-02T15:04:05.000Z")
}
