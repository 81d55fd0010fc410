package disk

import (
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// A sealed segment's footer lists its blocks, so that the index can forget them:
//
//	┌─────────┬─────────┬───┬───────────┐        ┌──────────────┐
//	│ section │ section │ … │ directory │  0 …   │ trailer page │ end of the file
//	└─────────┴─────────┴───┴───────────┘        └──────────────┘
//
// Section: the entries of one extent, 20 bytes each; first and time (milliseconds) are differences from the extent's base.
//
//	┌───────┬────────┬──────┬───────┬──────┐
//	│ first │ offset │ size │ count │ time │
//	│ u32   │ u32    │ u32  │ u32   │ u32  │
//	└───────┴────────┴──────┴───────┴──────┘
//
// Directory: a row of 80 bytes for each extent, by topic and offset.
//
//	0       8        16       24     32          40          48     56        64       68      72      80
//	┌───────┬────────┬────────┬──────┬───────────┬───────────┬──────┬─────────┬────────┬───────┬───────┐
//	│ topic │ first  │ base   │ end  │ base time │ last time │ live │ section │ blocks │ crc   │ 0     │
//	│ u64   │ u64    │ u64    │ u64  │ i64 ns    │ i64 ns    │ u64  │ u64     │ u32    │ u32   │ 8 B   │
//	└───────┴────────┴────────┴──────┴───────────┴───────────┴──────┴─────────┴────────┴───────┴───────┘
//
// crc is the section's checksum. Checksums of sections and directory are seeded with the segment's salt and their place.
//
// Trailer page, the rest of which is zero:
//
//	0       8         12     16         32        40        48          56     60             64      68
//	┌───────┬─────────┬──────┬──────────┬─────────┬─────────┬───────────┬──────┬──────────────┬───────┐
//	│ magic │ version │ 0    │ store id │ segment │ log end │ directory │ rows │ directory    │ crc   │
//	│ 8 B   │ u32     │ u32  │ 16 B     │ u64     │ u64     │ u64       │ u32  │ crc u32      │ u32   │
//	└───────┴─────────┴──────┴──────────┴─────────┴─────────┴───────────┴──────┴──────────────┴───────┘
const (
	entryBytes   = 20
	rowBytes     = 80
	trailerBytes = 68
)

// footerBytes is the most that a footer for so many blocks in so many extents takes, trailer included.
func footerBytes(blocks, extents int) int64 {
	return alignUp(int64(blocks*entryBytes+extents*rowBytes)) + pageBytes
}

// row is an extent as a footer and a checkpoint have it.
type row struct {
	topic engine.TopicID
	extent
}

func appendEntries(b []byte, entries []entry) []byte {
	for i := range entries {
		e := &entries[i]
		b = little.AppendUint32(b, e.first)
		b = little.AppendUint32(b, e.offset)
		b = little.AppendUint32(b, e.size)
		b = little.AppendUint32(b, e.count)
		b = little.AppendUint32(b, e.time)
	}
	return b
}

func decodeEntries(b []byte) []entry {
	entries := make([]entry, len(b)/entryBytes)
	for i := range entries {
		p := b[i*entryBytes:]
		entries[i] = entry{
			little.Uint32(p), little.Uint32(p[4:]), little.Uint32(p[8:]), little.Uint32(p[12:]), little.Uint32(p[16:]),
		}
	}
	return entries
}

func (r *row) append(b []byte) []byte {
	for _, v := range []uint64{
		uint64(r.topic), uint64(r.first), uint64(r.base), uint64(r.end), uint64(r.baseTime), uint64(r.lastTime), uint64(r.live),
		uint64(r.section), uint64(r.blocks) | uint64(r.crc)<<32, 0,
	} {
		b = little.AppendUint64(b, v)
	}
	return b
}

func decodeRow(b []byte) row {
	return row{topic: engine.TopicID(little.Uint64(b)), extent: extent{
		first:    engine.Offset(little.Uint64(b[8:])),
		base:     engine.Offset(little.Uint64(b[16:])),
		end:      engine.Offset(little.Uint64(b[24:])),
		baseTime: int64(little.Uint64(b[32:])),
		lastTime: int64(little.Uint64(b[40:])),
		live:     int64(little.Uint64(b[48:])),
		section:  int64(little.Uint64(b[56:])),
		blocks:   little.Uint32(b[64:]),
		crc:      little.Uint32(b[68:]),
	}}
}

// placeCRC is a checksum that holds only at one byte of one segment.
func placeCRC(salt uint32, offset int64, b []byte) uint32 {
	return crc32.Update(salt^uint32(offset), castagnoli, b)
}

type trailer struct {
	store     storeID
	segment   uint64
	logEnd    int64
	directory int64
	rows      uint32
	crc       uint32 // of the directory
}

func (t *trailer) encode(page []byte) {
	copy(page, trailerMagic)
	little.PutUint32(page[8:], formatVersion)
	copy(page[16:], t.store[:])
	little.PutUint64(page[32:], t.segment)
	little.PutUint64(page[40:], uint64(t.logEnd))
	little.PutUint64(page[48:], uint64(t.directory))
	little.PutUint32(page[56:], t.rows)
	little.PutUint32(page[60:], t.crc)
	little.PutUint32(page[64:], crc32.Checksum(page[:64], castagnoli))
}

// decodeTrailer reports whether the page ends a segment of this store.
func decodeTrailer(page []byte, store storeID, id uint64) (trailer, bool) {
	if len(page) < trailerBytes || string(page[:8]) != trailerMagic || little.Uint32(page[8:]) != formatVersion ||
		little.Uint32(page[64:]) != crc32.Checksum(page[:64], castagnoli) ||
		storeID(page[16:32]) != store || little.Uint64(page[32:]) != id {
		return trailer{}, false
	}
	return trailer{
		store: store, segment: id, logEnd: int64(little.Uint64(page[40:])), directory: int64(little.Uint64(page[48:])),
		rows: little.Uint32(page[56:]), crc: little.Uint32(page[60:]),
	}, true
}

// footer is a footer being made: its rows get their sections' places and checksums.
type footer struct {
	rows  []row
	at    int64 // first byte, a page's
	bytes []byte
}

// makeFooter lays out rows, which have their entries, from a page of the segment on.
func makeFooter(rows []row, at int64, salt uint32) *footer {
	n := 0
	for i := range rows {
		n += len(rows[i].entries)
	}
	f := &footer{rows: rows, at: at, bytes: vfs.AlignedBytes(int(footerBytes(n, len(rows)) - pageBytes))[:0]}
	for i := range rows {
		r := &rows[i]
		start := len(f.bytes)
		f.bytes = appendEntries(f.bytes, r.entries)
		r.section, r.blocks = at+int64(start), uint32(len(r.entries))
		r.crc = placeCRC(salt, r.section, f.bytes[start:])
	}
	return f
}

// write puts the footer and the trailer into the segment's file and makes them durable. The file keeps its size if it is large enough
// and shrink is false; otherwise it ends right behind the trailer.
func (f *footer) write(g *segment, store storeID, shrink bool) (fileBytes int64, err error) {
	directory := f.at + int64(len(f.bytes))
	start := len(f.bytes)
	for i := range f.rows {
		f.bytes = f.rows[i].append(f.bytes)
	}
	t := trailer{
		store: store, segment: g.id, logEnd: g.end, directory: directory, rows: uint32(len(f.rows)),
		crc: placeCRC(g.salt, directory, f.bytes[start:]),
	}
	body := f.bytes[:alignUp(int64(len(f.bytes)))]
	fileBytes = f.at + int64(len(body)) + pageBytes
	if !shrink {
		fileBytes = max(fileBytes, alignUp(g.fileBytes))
	}
	page := vfs.AlignedBytes(pageBytes)
	t.encode(page)
	if len(body) > 0 {
		if _, err = g.writer.WriteAt(body, f.at); err != nil {
			return 0, err
		}
	}
	if _, err = g.writer.WriteAt(page, fileBytes-pageBytes); err != nil {
		return 0, err
	}
	if fileBytes < g.fileBytes {
		if err = g.writer.Truncate(fileBytes); err != nil {
			return 0, err
		}
	}
	return fileBytes, g.writer.Sync()
}

// foot writes the footer of a sealed segment and lets the index forget the segment's entries.
func (s *shard) foot(g *segment) error {
	if g.writer == nil {
		writer, err := s.options.FS.OpenWrite(path.Join(s.options.Dir, segmentName(g.id)), true)
		if err != nil {
			return err
		}
		g.writer = writer
	}
	rows := s.index.rowsOf(g)
	f := makeFooter(rows, alignUp(max(g.end, g.torn)), g.salt)
	fileBytes, err := f.write(g, s.engine.identity.store, g.shrink)
	if err != nil {
		return fmt.Errorf("write the footer of %s: %w", segmentName(g.id), err)
	}
	s.index.footed(g, f.rows, fileBytes)
	writer := g.writer
	g.writer = nil
	return writer.Close()
}

// rowsOf copies the extents of a segment that have entries in memory, by topic and offset. Their entries are shared: the segment is
// sealed, so none is added.
func (x *index) rowsOf(g *segment) []row {
	x.mu.RLock()
	defer x.mu.RUnlock()
	topics := slices.Clone(g.topics)
	slices.Sort(topics)
	var rows []row
	for _, id := range slices.Compact(topics) {
		t := x.topics[id]
		if t == nil {
			continue
		}
		for i := range t.extents {
			if e := &t.extents[i]; e.segment == g && e.section == 0 {
				rows = append(rows, row{id, *e})
			}
		}
	}
	return rows
}

// footed replaces entries in memory by sections of the footer. What was trimmed meanwhile stays trimmed.
func (x *index) footed(g *segment, rows []row, fileBytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range rows {
		t := x.topics[rows[i].topic]
		if t == nil {
			continue
		}
		for j := range t.extents {
			if e := &t.extents[j]; e.segment == g && e.end == rows[i].end {
				e.section, e.crc, e.blocks, e.entries = rows[i].section, rows[i].crc, rows[i].blocks, nil
			}
		}
	}
	g.footed, g.topics, g.fileBytes = true, nil, fileBytes
}

// directory reads a footer's rows. It reports false when there is no valid footer.
func readDirectory(f vfs.File, g *segment, store storeID) ([]row, bool) {
	page := make([]byte, pageBytes)
	size, err := f.Size()
	if err != nil || size < 2*pageBytes || readFull(f, page, size-pageBytes) != nil {
		return nil, false
	}
	t, ok := decodeTrailer(page, store, g.id)
	if !ok || t.directory < pageBytes || t.directory+int64(t.rows)*rowBytes > size-pageBytes {
		return nil, false
	}
	b := make([]byte, int(t.rows)*rowBytes)
	if readFull(f, b, t.directory) != nil || placeCRC(g.salt, t.directory, b) != t.crc {
		return nil, false
	}
	rows := make([]row, t.rows)
	for i := range rows {
		rows[i] = decodeRow(b[i*rowBytes:])
		rows[i].segment = g
	}
	return rows, true
}

// entries gives the entries of an extent whose section is in a footer, from the cache, the footer, or, when the footer is damaged, from
// the segment's blocks themselves.
func (s *shard) entries(t engine.TopicID, x *extent) ([]entry, error) {
	if entries := s.cache.get(x); entries != nil {
		return entries, nil
	}
	f, err := s.files.acquire(x.segment.id)
	if err != nil {
		return nil, err
	}
	defer s.files.release(f)
	b := make([]byte, int(x.blocks)*entryBytes)
	err = readFull(f.file, b, x.section)
	var entries []entry
	if err == nil && placeCRC(x.segment.salt, x.section, b) == x.crc {
		entries = decodeEntries(b)
	} else {
		s.options.Logger.Warn("a footer is damaged; its segment is scanned instead", "file", segmentName(x.segment.id), "byte", x.section)
		if entries, err = scanEntries(f.file, x, t); err != nil {
			err := &engine.CorruptError{
				File: path.Join(s.options.Dir, segmentName(x.segment.id)), Offset: x.section, Topic: t,
				Reason: "the footer is damaged and the blocks that it lists could not be found: " + err.Error(),
			}
			s.damaged(err)
			return nil, err
		}
	}
	s.cache.put(x, entries)
	return entries, nil
}

// scanEntries finds the blocks of an extent by reading its segment's commits.
func scanEntries(f vfs.File, x *extent, t engine.TopicID) ([]entry, error) {
	r := newLogReader(f, x.segment)
	found := *x
	found.segment = &segment{} // whose live bytes nobody counts
	found.entries, found.end, found.section = nil, 0, 0
	for at := int64(pageBytes); at < x.segment.end; {
		c, err := r.commit(at)
		if err != nil {
			return nil, err
		}
		if c.flaw != nil && !c.flaw.bodies {
			return nil, c.flaw
		}
		var h recordHeader
		for i := commitHeaderBytes; i < len(c.bytes); i += h.bytes() {
			h.decode(c.bytes[i:])
			end := h.stamp.First + engine.Offset(h.count)
			if h.kind == engine.KindBlock && h.topic == t && end > x.first && end <= x.end &&
				h.stamp.Time >= x.baseTime && h.stamp.Time <= x.lastTime+int64(time.Millisecond) {
				found.append(&h, at+int64(i))
				found.end = end
			}
		}
		at = c.header.end()
	}
	if len(found.entries) == 0 || found.end != x.end {
		return nil, fmt.Errorf("the segment ends its blocks at offset %d, not %d", found.end, x.end)
	}
	return found.entries, nil
}
