package disk

import (
	"fmt"
	"path"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// foot writes the footer of a sealed segment and lets the index forget the segment's entries. Until the footer is durable the index has
// them in memory and checkpoints have copies: a footer that a crash tears is simply written again.
func (s *shard) foot(g *index.Segment) error {
	if g.Writer == nil {
		writer, err := s.options.FS.OpenWrite(path.Join(s.options.Dir, layout.SegmentName(g.ID)), true)
		if err != nil {
			return err
		}
		g.Writer = writer
	}
	runs := s.index.RunsOf(g)
	fileBytes, err := s.writeFooter(g, runs)
	if err != nil {
		return fmt.Errorf("write the footer of %s: %w", layout.SegmentName(g.ID), err)
	}
	s.index.Footed(g, runs, fileBytes)
	writer := g.Writer
	g.Writer = nil
	return writer.Close()
}

// writeFooter puts footer and trailer into the segment's file and makes them durable. The file keeps its size if it is large enough, so
// that it can be used again; that of a segment that was not filled ends right behind the trailer.
func (s *shard) writeFooter(g *index.Segment, runs []layout.Run) (fileBytes int64, err error) {
	at := layout.AlignUp(max(g.End, g.Torn))
	footer, page := layout.MakeFooter(runs, at, s.engine.identity.Store, g.ID, g.End)
	fileBytes = at + int64(len(footer)) + layout.PageBytes
	if !g.Shrink {
		fileBytes = max(fileBytes, layout.AlignUp(g.FileBytes))
	}
	if len(footer) > 0 {
		if _, err = g.Writer.WriteAt(footer, at); err != nil {
			return 0, err
		}
	}
	if _, err = g.Writer.WriteAt(page, fileBytes-layout.PageBytes); err != nil {
		return 0, err
	}
	if fileBytes < g.FileBytes {
		if err = g.Writer.Truncate(fileBytes); err != nil {
			return 0, err
		}
	}
	return fileBytes, g.Writer.Sync()
}

// entries gives the entries of an extent whose section is in a footer, from the cache, the footer, or, when the footer is damaged, from
// the segment's blocks themselves.
func (s *shard) entries(t engine.TopicID, x *index.Extent) ([]layout.Entry, error) {
	if entries := s.sections.Get(x.Segment.ID, x.Section); entries != nil {
		return entries, nil
	}
	f, err := s.files.Acquire(x.Segment.ID)
	if err != nil {
		return nil, err
	}
	defer s.files.Release(f)
	b := make([]byte, int(x.Blocks)*layout.EntryBytes)
	err = layout.ReadFull(f.File, b, x.Section)
	var entries []layout.Entry
	if err == nil && layout.PlaceCRC(x.Segment.Salt, x.Section, b) == x.CRC {
		entries = layout.DecodeEntries(b)
	} else {
		s.options.Logger.Warn("a footer is damaged; its segment is scanned instead", "file", layout.SegmentName(x.Segment.ID), "byte", x.Section)
		if entries, err = scanEntries(f.File, x, t); err != nil {
			err := &engine.CorruptError{
				File: path.Join(s.options.Dir, layout.SegmentName(x.Segment.ID)), Offset: x.Section, Topic: t,
				Reason: "the footer is damaged and the blocks that it lists could not be found: " + err.Error(),
			}
			s.damaged(err)
			return nil, err
		}
	}
	s.sections.Put(x.Segment.ID, x.Section, entries)
	return entries, nil
}

// scanEntries finds the blocks of an extent by reading its segment's commits. It must find them without a gap up to the extent's end:
// fewer blocks than there were would be messages that are skipped in silence. Bodies need not be right, since whoever reads one
// will see.
func scanEntries(f vfs.File, x *index.Extent, t engine.TopicID) ([]layout.Entry, error) {
	r := layout.NewReader(f, x.Segment.ID, x.Segment.Salt)
	found := layout.Run{Row: x.Row}
	found.End, found.Section = 0, 0
	for at := int64(layout.PageBytes); at < x.Segment.End; {
		c, err := r.Commit(at)
		if err != nil {
			return nil, err
		}
		if c.Flaw != nil && !c.Flaw.Bodies {
			return nil, c.Flaw
		}
		var h layout.RecordHeader
		for i := layout.CommitHeaderBytes; i < len(c.Bytes); i += h.Bytes() {
			h.Decode(c.Bytes[i:])
			end := h.Stamp.First + engine.Offset(h.Count)
			if h.Kind == engine.KindBlock && h.Topic == t && end > x.First && end <= x.End &&
				h.Stamp.Time >= x.BaseTime && h.Stamp.Time <= x.LastTime+int64(time.Millisecond) {
				found.End = h.Stamp.First
				found.Add(&h, at+int64(i))
			}
		}
		at = c.Header.End()
	}
	if len(found.Entries) == 0 || found.End != x.End {
		return nil, fmt.Errorf("the segment ends its blocks at offset %d, not %d", found.End, x.End)
	}
	return found.Entries, nil
}
