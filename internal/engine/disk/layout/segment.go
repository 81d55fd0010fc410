package layout

import (
	"hash/crc32"
)

// Segment file:
//
//	0       page 1
//	┌────────┬────────┬────────┬─────┬────────┬───────────────┬────────┬───────────┬──────┬─────────┐
//	│ header │ commit │ commit │  …  │ seal   │ (torn bytes)  │ blocks │ directory │  …   │ trailer │
//	│ a page │        │        │     │ commit │               │ of the topics      │      │ a page  │
//	└────────┴────────┴────────┴─────┴────────┴───────────────┴────────┴───────────┴──────┴─────────┘
//	                                          └── the footer, from a page on ──────┘      └ end of the file
//
// Header page, the rest of which is zero:
//
//	0       8         12      16         32     40       48         56         64     72        80
//	┌───────┬─────────┬───────┬──────────┬──────┬────────┬──────────┬──────────┬──────┬─────────┬───────┐
//	│ magic │ version │ flags │ store id │ id   │ prev   │ prev end │ prev seq │ size │ created │ crc   │
//	│ 8 B   │ u32     │ u32   │ 16 B     │ u64  │ u64    │ u64      │ u64      │ u64  │ i64 ns  │ u32   │
//	└───────┴─────────┴───────┴──────────┴──────┴────────┴──────────┴──────────┴──────┴─────────┴───────┘
//
// Segments follow each other in the log: prev names the one before, 0 for the first. A segment that was filled ends with a seal record
// that names its successor, and the successor's prev end is 0. A segment that a crash or a stop ended has no seal; then prev end, in
// its successor, says where it ends and prev seq which commit is the last. Compacted segments (flag 1) stand beside the log: their
// blocks were copied from segments that are gone or soon will be, and their commits have numbers of their own.
const (
	// SegmentHeaderBytes is what of the first page is used.
	SegmentHeaderBytes = 84
	// FlagCompacted marks segments that stand beside the log.
	FlagCompacted = 1
)

// SegmentHeader is the first page of a segment.
type SegmentHeader struct {
	Flags   uint32
	ID      uint64
	Prev    uint64
	PrevEnd int64
	PrevSeq uint64
	Size    int64 // of the file when it was made
	Created int64 // Unix nanoseconds
}

// Compacted tells whether the segment stands beside the log.
func (h *SegmentHeader) Compacted() bool { return h.Flags&FlagCompacted != 0 }

// Encode writes the header to a page of zeros.
func (h *SegmentHeader) Encode(dst []byte, store StoreID) {
	copy(dst, segmentMagic)
	Little.PutUint32(dst[8:], formatVersion)
	Little.PutUint32(dst[12:], h.Flags)
	copy(dst[16:], store[:])
	Little.PutUint64(dst[32:], h.ID)
	Little.PutUint64(dst[40:], h.Prev)
	Little.PutUint64(dst[48:], uint64(h.PrevEnd))
	Little.PutUint64(dst[56:], h.PrevSeq)
	Little.PutUint64(dst[64:], uint64(h.Size))
	Little.PutUint64(dst[72:], uint64(h.Created))
	Little.PutUint32(dst[80:], crc32.Checksum(dst[:80], Castagnoli))
}

// DecodeSegmentHeader reads the header of the segment that the name filePath promises: any other is a FileError.
func DecodeSegmentHeader(b []byte, filePath string, store StoreID, id uint64) (SegmentHeader, error) {
	bad := func(offset int64, reason string) (SegmentHeader, error) {
		return SegmentHeader{}, &FileError{Path: filePath, Offset: offset, Reason: reason}
	}
	switch {
	case len(b) < SegmentHeaderBytes || string(b[:8]) != segmentMagic:
		return bad(0, "is not a segment")
	case Little.Uint32(b[80:]) != crc32.Checksum(b[:80], Castagnoli):
		return bad(0, "the segment header's checksum does not match")
	case Little.Uint32(b[8:]) != formatVersion:
		return bad(8, "format version is not known to this program")
	case StoreID(b[16:32]) != store:
		return bad(16, "belongs to store "+StoreID(b[16:32]).String())
	case Little.Uint64(b[32:]) != id:
		return bad(32, "is really "+SegmentName(Little.Uint64(b[32:])))
	}
	return SegmentHeader{
		Flags:   Little.Uint32(b[12:]),
		ID:      id,
		Prev:    Little.Uint64(b[40:]),
		PrevEnd: int64(Little.Uint64(b[48:])),
		PrevSeq: Little.Uint64(b[56:]),
		Size:    int64(Little.Uint64(b[64:])),
		Created: int64(Little.Uint64(b[72:])),
	}, nil
}
