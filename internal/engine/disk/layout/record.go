package layout

import (
	"hash/crc32"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// A record is a header and a body, padded with zeros to eight bytes. Notes have the short header, blocks the long one.
//
//	0         4      5     8          12           16
//	┌─────────┬──────┬─────┬──────────┬────────────┬──────────────────┐
//	│ length  │ kind │ 0   │ body crc │ header crc │ body             │  note
//	│ u32     │ u8   │ 3 B │ u32      │ u32        │ length bytes     │
//	└─────────┴──────┴─────┴──────────┴────────────┴──────────────────┘
//	0                                              16       24      32         40        48      52     56
//	┌──────────────────────────────────────────────┬────────┬───────┬──────────┬─────────┬───────┬──────┬──────┐
//	│ as above                                     │ topic  │ first │ first id │ time    │ count │ 0    │ body │  block
//	│                                              │ u64    │ u64   │ u64      │ i64 ns  │ u32   │ u32  │      │
//	└──────────────────────────────────────────────┴────────┴───────┴──────────┴─────────┴───────┴──────┴──────┘
//
// The body's checksum is of the body alone, so that it can be taken before the record has its place. The header's checksum covers the
// header, body checksum included, and is seeded with the segment's salt and the record's place.
const (
	NoteHeaderBytes  = 16
	BlockHeaderBytes = 56
	recordAlign      = 8
)

// Kinds that the engine writes for itself. The owner's kinds are below kindOwnMin.
const (
	KindOwnMin engine.Kind = 0xf0
	KindOpen   engine.Kind = 0xf0 // first record of an epoch: number of the checkpoint it started from, u64
	KindSeal   engine.Kind = 0xf1 // last record of a segment: id of the next segment, u64
	KindMark   engine.Kind = 0xf2 // a checkpoint is complete: its number, u64
	KindForget engine.Kind = 0xf3 // a topic is gone: its id, u64
)

// RecordHeader is a record without its body.
type RecordHeader struct {
	Kind    engine.Kind
	Length  uint32 // of the body, bytes
	BodyCRC uint32
	Topic   engine.TopicID
	Count   uint32
	Stamp   engine.Stamp
}

// HeaderBytes is the size of a record's header.
func HeaderBytes(kind engine.Kind) int {
	if kind == engine.KindBlock {
		return BlockHeaderBytes
	}
	return NoteHeaderBytes
}

// RecordBytes is what a record takes in a commit, padding included.
func RecordBytes(kind engine.Kind, body int) int {
	return (HeaderBytes(kind) + body + recordAlign - 1) &^ (recordAlign - 1)
}

// Bytes is what the record takes in a commit, padding included.
func (h *RecordHeader) Bytes() int { return RecordBytes(h.Kind, int(h.Length)) }

// Encode writes the header to dst, which is at the given byte of its segment.
func (h *RecordHeader) Encode(dst []byte, salt uint32, offset int64) {
	Little.PutUint32(dst, h.Length)
	Little.PutUint32(dst[4:], uint32(h.Kind))
	Little.PutUint32(dst[8:], h.BodyCRC)
	if h.Kind == engine.KindBlock {
		Little.PutUint64(dst[16:], uint64(h.Topic))
		Little.PutUint64(dst[24:], uint64(h.Stamp.First))
		Little.PutUint64(dst[32:], h.Stamp.ID)
		Little.PutUint64(dst[40:], uint64(h.Stamp.Time))
		Little.PutUint64(dst[48:], uint64(h.Count))
	}
	Little.PutUint32(dst[12:], headerCRC(dst, HeaderBytes(h.Kind), salt, offset))
}

// Decode reads a header without checking it: for memory that this process filled.
func (h *RecordHeader) Decode(src []byte) {
	h.Length = Little.Uint32(src)
	h.Kind = engine.Kind(src[4])
	h.BodyCRC = Little.Uint32(src[8:])
	if h.Kind != engine.KindBlock {
		h.Topic, h.Count, h.Stamp = 0, 0, engine.Stamp{}
		return
	}
	h.Topic = engine.TopicID(Little.Uint64(src[16:]))
	h.Count = Little.Uint32(src[48:])
	h.Stamp = engine.Stamp{
		First: engine.Offset(Little.Uint64(src[24:])),
		ID:    Little.Uint64(src[32:]),
		Time:  int64(Little.Uint64(src[40:])),
	}
}

// Check reads a header that came from a disk and reports whether it is the one that was written at this byte of this segment.
func (h *RecordHeader) Check(src []byte, salt uint32, offset int64) bool {
	if len(src) < NoteHeaderBytes {
		return false
	}
	n := HeaderBytes(engine.Kind(src[4]))
	if len(src) < n || Little.Uint32(src[12:]) != headerCRC(src, n, salt, offset) {
		return false
	}
	h.Decode(src)
	return true
}

func headerCRC(header []byte, n int, salt uint32, offset int64) uint32 {
	// Two records of a segment never have the same place, so the place may be mixed into the seed: equal headers at different places
	// have different checksums.
	crc := crc32.Update(salt^uint32(offset/recordAlign), Castagnoli, header[:12])
	return crc32.Update(crc, Castagnoli, header[16:n])
}
