package dump

import (
	"errors"
	"fmt"
	"path"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// segment prints a segment: its header, every commit that can be found, and its footer.
func (p *printer) segment(f vfs.File, id uint64) error {
	head := make([]byte, layout.SegmentHeaderBytes)
	if err := layout.ReadFull(f, head, 0); err != nil {
		p.refused(err)
		return nil
	}
	store := storeIn(head)
	h, err := layout.DecodeSegmentHeader(head, p.path, store, id)
	if err != nil {
		p.refused(err)
		// The identity file beside it may tell what the header cannot.
		if b, err := layout.ReadWhole(p.fs, path.Join(path.Dir(p.path), layout.IdentityName)); err == nil {
			store = storeIn(b)
		}
	} else {
		p.header(&h, store)
	}
	rows, t, missing := layout.ReadDirectory(f, store, id)
	end, err := p.commits(f, store, id, t.LogEnd)
	if err != nil {
		return err
	}
	if missing != nil {
		p.line("  no footer; the commits end at byte %d", end)
		p.missing(f, missing, t, end)
		return nil
	}
	p.line("  footer: log up to byte %d, %d rows at byte %d", t.LogEnd, t.Rows, t.Directory)
	for i := range rows {
		p.line("  topic %d: %s", rows[i].Topic, describe(&rows[i]))
		b := make([]byte, int(rows[i].Blocks)*layout.EntryBytes)
		if layout.ReadFull(f, b, rows[i].Section) != nil || layout.PlaceCRC(store.Salt(id), rows[i].Section, b) != rows[i].CRC {
			p.damage(rows[i].Section, "the section does not match its checksum")
			continue
		}
		p.entries(&layout.Run{Row: rows[i], Entries: layout.DecodeEntries(b)})
	}
	return nil
}

// missing says what is wrong with a footer that cannot be read, unless there is none.
func (p *printer) missing(f vfs.File, reason error, t layout.Trailer, end int64) {
	size, err := f.Size()
	switch trailer := size - layout.PageBytes; {
	case err != nil:
		p.refused(err)
	case errors.Is(reason, layout.ErrNoFooter), end > trailer:
	case t.Segment != 0:
		p.damage(t.Directory, "the footer's directory does not match its checksum")
	case errors.Is(reason, layout.ErrDamaged):
		p.damage(trailer, "the last page is not empty, and not a footer's trailer")
	default:
		p.refused(reason)
	}
}

func (p *printer) header(h *layout.SegmentHeader, store layout.StoreID) {
	what := "follows " + layout.SegmentName(h.Prev)
	switch {
	case h.Compacted():
		what = "compacted"
	case h.Prev == 0:
		what = "the first"
	case h.PrevEnd > 0:
		what += fmt.Sprintf(", which ended at byte %d with commit %d", h.PrevEnd, h.PrevSeq)
	}
	p.line("  store %v, segment %d, %s, created %s", store, h.ID, what, moment(h.Created))
}

// commits prints the commits up to the log's end, if that is known, and else as long as there are any. Behind one that does not check
// out it looks for the next, page by page.
func (p *printer) commits(f vfs.File, store layout.StoreID, id uint64, logEnd int64) (int64, error) {
	r := layout.NewReader(f, id, store.Salt(id))
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	if logEnd == 0 {
		logEnd = size
	}
	end := int64(layout.PageBytes)
	var lost *layout.Flaw // the first commit of a stretch that does not check out
	for at := end; at < logEnd; {
		c, err := r.Commit(at)
		if err != nil {
			return end, err
		}
		if c.Bytes == nil {
			if lost == nil {
				lost = c.Flaw
			}
			at += layout.PageBytes
			continue
		}
		if lost != nil {
			// Something valid follows: what is between was a commit once.
			p.damage(lost.At.Offset, lost.Reason)
			lost = nil
		}
		p.commit(&c)
		at = c.Header.End()
		end = at
	}
	if lost != nil && logEnd < size {
		p.damage(lost.At.Offset, lost.Reason)
	}
	return end, nil
}

func (p *printer) commit(c *layout.Scanned) {
	h := &c.Header
	p.line("  byte %d: commit %d, epoch %d, %d records, %d bytes, synced up to %v", h.At.Offset, h.Seq, h.Epoch, h.Records, h.Length, h.Synced)
	var rh layout.RecordHeader
	for i := layout.CommitHeaderBytes; i < len(c.Bytes); i += rh.Bytes() {
		at := h.At.Offset + int64(i)
		if c.Flaw != nil && !c.Flaw.Bodies && c.Flaw.At.Offset <= at {
			break
		}
		rh.Decode(c.Bytes[i:])
		body := c.Bytes[i+layout.HeaderBytes(rh.Kind):][:rh.Length]
		p.line("    byte %d: %s", at, p.record(&rh, body))
		if rh.Kind == engine.KindBlock && layout.Checksum(body) != rh.BodyCRC {
			p.damage(at, "the body of the block does not match its checksum")
		}
	}
	if c.Flaw != nil && !c.Flaw.Bodies {
		p.damage(c.Flaw.At.Offset, c.Flaw.Reason)
	}
}

// record says what a record is.
func (p *printer) record(h *layout.RecordHeader, body []byte) string {
	value := uint64(0)
	if len(body) == 8 {
		value = layout.Little.Uint64(body)
	}
	switch h.Kind {
	case engine.KindBlock:
		return fmt.Sprintf("block of topic %d: offset %d, %d messages from id %d, %d bytes, %s",
			h.Topic, h.Stamp.First, h.Count, h.Stamp.ID, h.Length, moment(h.Stamp.Time))
	case layout.KindOpen:
		return fmt.Sprintf("an owner begins, from %s", layout.CheckpointName(value))
	case layout.KindSeal:
		if value == 0 {
			return "clean stop"
		}
		return fmt.Sprintf("sealed, goes on in %s", layout.SegmentName(value))
	case layout.KindMark:
		return fmt.Sprintf("%s is complete", layout.CheckpointName(value))
	case layout.KindForget:
		return fmt.Sprintf("topic %d is gone", value)
	}
	text := fmt.Sprintf("note of kind %d, %d bytes", h.Kind, h.Length)
	if p.note != nil {
		text += ": " + p.note(body)
	}
	return text
}
