package layout

import (
	"errors"
	"hash/crc32"
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
	EntryBytes   = 20
	RowBytes     = 80
	trailerBytes = 68
)

// FooterBytes is the most that a footer for so many blocks in so many extents takes, trailer included.
func FooterBytes(blocks, extents int) int64 {
	return AlignUp(int64(blocks*EntryBytes+extents*RowBytes)) + PageBytes
}

// Row is what a footer's directory and a checkpoint say about a run of a topic's blocks in one segment.
type Row struct {
	Topic    engine.TopicID
	First    engine.Offset // of the first message that is not trimmed, or a little less
	Base     engine.Offset // what entries count their offsets from
	End      engine.Offset // behind the last message
	BaseTime int64         // what entries count their times from, Unix nanoseconds
	LastTime int64         // publish time of the last block
	Live     int64         // bytes of records that are not trimmed
	Section  int64         // where the segment's footer has the entries; 0: it has none
	Blocks   uint32        // in the section
	CRC      uint32        // of the section
}

// Run is a row and its entries, which may be elsewhere.
type Run struct {
	Row
	Entries []Entry
}

// Entry is one block. Offsets and times are differences from the row's base.
type Entry struct {
	First  uint32
	Offset uint32 // of the record's header, bytes from the start of the segment
	Size   uint32 // of the body, bytes
	Count  uint32
	time   uint32 // milliseconds
}

// RecordBytes is what the block's record takes in its commit.
func (e *Entry) RecordBytes() int64 { return int64(RecordBytes(engine.KindBlock, int(e.Size))) }

// OffsetOf is the offset of an entry's first message.
func (r *Row) OffsetOf(e *Entry) engine.Offset { return r.Base + engine.Offset(e.First) }

// TimeOf is the publish time of an entry.
func (r *Row) TimeOf(e *Entry) int64 { return r.BaseTime + int64(e.time)*int64(time.Millisecond) }

// AppendEntries writes entries as a section has them.
func AppendEntries(b []byte, entries []Entry) []byte {
	for i := range entries {
		e := &entries[i]
		b = Little.AppendUint32(b, e.First)
		b = Little.AppendUint32(b, e.Offset)
		b = Little.AppendUint32(b, e.Size)
		b = Little.AppendUint32(b, e.Count)
		b = Little.AppendUint32(b, e.time)
	}
	return b
}

// DecodeEntries reads what AppendEntries wrote.
func DecodeEntries(b []byte) []Entry {
	entries := make([]Entry, len(b)/EntryBytes)
	for i := range entries {
		p := b[i*EntryBytes:]
		entries[i] = Entry{
			Little.Uint32(p), Little.Uint32(p[4:]), Little.Uint32(p[8:]), Little.Uint32(p[12:]), Little.Uint32(p[16:]),
		}
	}
	return entries
}

// Append writes the row as a directory has it.
func (r *Row) Append(b []byte) []byte {
	for _, v := range []uint64{
		uint64(r.Topic), uint64(r.First), uint64(r.Base), uint64(r.End), uint64(r.BaseTime), uint64(r.LastTime), uint64(r.Live),
		uint64(r.Section), uint64(r.Blocks) | uint64(r.CRC)<<32, 0,
	} {
		b = Little.AppendUint64(b, v)
	}
	return b
}

// DecodeRow reads what Append wrote.
func DecodeRow(b []byte) Row {
	return Row{
		Topic:    engine.TopicID(Little.Uint64(b)),
		First:    engine.Offset(Little.Uint64(b[8:])),
		Base:     engine.Offset(Little.Uint64(b[16:])),
		End:      engine.Offset(Little.Uint64(b[24:])),
		BaseTime: int64(Little.Uint64(b[32:])),
		LastTime: int64(Little.Uint64(b[40:])),
		Live:     int64(Little.Uint64(b[48:])),
		Section:  int64(Little.Uint64(b[56:])),
		Blocks:   Little.Uint32(b[64:]),
		CRC:      Little.Uint32(b[68:]),
	}
}

// PlaceCRC is a checksum that holds only at one byte of one segment.
func PlaceCRC(salt uint32, offset int64, b []byte) uint32 {
	return crc32.Update(salt^uint32(offset), Castagnoli, b)
}

// Trailer is the last page of a segment that has a footer.
type Trailer struct {
	Store     StoreID
	Segment   uint64
	LogEnd    int64
	Directory int64
	Rows      uint32
	CRC       uint32 // of the directory
}

func (t *Trailer) encode(page []byte) {
	copy(page, trailerMagic)
	Little.PutUint32(page[8:], formatVersion)
	copy(page[16:], t.Store[:])
	Little.PutUint64(page[32:], t.Segment)
	Little.PutUint64(page[40:], uint64(t.LogEnd))
	Little.PutUint64(page[48:], uint64(t.Directory))
	Little.PutUint32(page[56:], t.Rows)
	Little.PutUint32(page[60:], t.CRC)
	Little.PutUint32(page[64:], crc32.Checksum(page[:64], Castagnoli))
}

// decodeTrailer reads the page that ends a file. ErrNoFooter says that it is empty or was another segment's, ErrDamaged that it is neither
// that nor a trailer: it may be bytes of the log.
func decodeTrailer(page []byte, store StoreID, id uint64) (Trailer, error) {
	if allZero(page) {
		return Trailer{}, ErrNoFooter
	}
	if len(page) < trailerBytes || string(page[:8]) != trailerMagic || Little.Uint32(page[8:]) != formatVersion ||
		Little.Uint32(page[64:]) != crc32.Checksum(page[:64], Castagnoli) {
		return Trailer{}, ErrDamaged
	}
	t := Trailer{
		Store: StoreID(page[16:32]), Segment: Little.Uint64(page[32:]), LogEnd: int64(Little.Uint64(page[40:])),
		Directory: int64(Little.Uint64(page[48:])), Rows: Little.Uint32(page[56:]), CRC: Little.Uint32(page[60:]),
	}
	if t.Store != store || t.Segment != id {
		return Trailer{}, ErrNoFooter
	}
	return t, nil
}

// MakeFooter lays out a segment's footer, which begins at a page, and its trailer. The runs' rows get their places and checksums.
func MakeFooter(runs []Run, at int64, store StoreID, segment uint64, logEnd int64) (footer, trailerPage []byte) {
	n, salt := 0, store.Salt(segment)
	for i := range runs {
		n += len(runs[i].Entries)
	}
	b := vfs.AlignedBytes(int(FooterBytes(n, len(runs)) - PageBytes))[:0]
	for i := range runs {
		r := &runs[i]
		start := len(b)
		b = AppendEntries(b, r.Entries)
		r.Section, r.Blocks = at+int64(start), uint32(len(r.Entries))
		r.CRC = PlaceCRC(salt, r.Section, b[start:])
	}
	start := len(b)
	for i := range runs {
		b = runs[i].Append(b)
	}
	t := Trailer{
		Store: store, Segment: segment, LogEnd: logEnd, Directory: at + int64(start), Rows: uint32(len(runs)),
		CRC: PlaceCRC(salt, at+int64(start), b[start:]),
	}
	page := vfs.AlignedBytes(PageBytes)
	t.encode(page)
	return b[:AlignUp(int64(len(b)))], page
}

// ErrNoFooter says that a segment has no footer.
var ErrNoFooter = errors.New("no footer")

// ReadDirectory reads a footer's rows: ErrNoFooter if there is none, ErrDamaged if it cannot be told or is not as it was written. The
// trailer is valid if it has a segment.
func ReadDirectory(f vfs.File, store StoreID, segment uint64) ([]Row, Trailer, error) {
	page := make([]byte, PageBytes)
	size, err := f.Size()
	if err != nil {
		return nil, Trailer{}, err
	}
	if size < 2*PageBytes {
		return nil, Trailer{}, ErrNoFooter
	}
	if err := ReadFull(f, page, size-PageBytes); err != nil {
		return nil, Trailer{}, err
	}
	t, err := decodeTrailer(page, store, segment)
	if err != nil {
		return nil, t, err
	}
	if t.Directory < PageBytes || t.Directory+int64(t.Rows)*RowBytes > size-PageBytes {
		return nil, t, ErrDamaged
	}
	b := make([]byte, int(t.Rows)*RowBytes)
	if err := ReadFull(f, b, t.Directory); err != nil {
		return nil, t, err
	}
	if PlaceCRC(store.Salt(segment), t.Directory, b) != t.CRC {
		return nil, t, ErrDamaged
	}
	rows := make([]Row, t.Rows)
	for i := range rows {
		rows[i] = DecodeRow(b[i*RowBytes:])
	}
	return rows, t, nil
}

// NewRun begins a run with what the header of its first block says. The block is not in it yet.
func NewRun(h *RecordHeader) Run {
	return Run{Row: Row{Topic: h.Topic, First: h.Stamp.First, Base: h.Stamp.First, End: h.Stamp.First, BaseTime: h.Stamp.Time}}
}

// Takes tells whether a block can become the run's next entry.
func (r *Run) Takes(h *RecordHeader) bool {
	const far = 1 << 31 // entries have 32 bits for the differences
	return r.End == h.Stamp.First && h.Stamp.First-r.Base < far && (h.Stamp.Time-r.BaseTime)/int64(time.Millisecond) < far
}

// Add appends the entry of a block whose record is at a byte of the segment, and gives what it takes.
func (r *Run) Add(h *RecordHeader, offset int64) int64 {
	e := Entry{
		First:  uint32(h.Stamp.First - r.Base),
		Offset: uint32(offset),
		Size:   h.Length,
		Count:  h.Count,
		time:   uint32((h.Stamp.Time - r.BaseTime) / int64(time.Millisecond)),
	}
	r.Entries = append(r.Entries, e)
	r.Blocks++
	r.End += engine.Offset(h.Count)
	r.LastTime = h.Stamp.Time
	r.Live += e.RecordBytes()
	return e.RecordBytes()
}
