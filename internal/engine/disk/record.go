package disk

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
	noteHeaderBytes  = 16
	blockHeaderBytes = 56
	recordAlign      = 8
)

// Kinds that the engine writes for itself. The owner's kinds are below kindOwnMin.
const (
	kindOwnMin engine.Kind = 0xf0
	kindOpen   engine.Kind = 0xf0 // first record of an epoch: number of the checkpoint it started from, u64
	kindSeal   engine.Kind = 0xf1 // last record of a segment: id of the next segment, u64
	kindMark   engine.Kind = 0xf2 // a checkpoint is complete: its number, u64
	kindForget engine.Kind = 0xf3 // a topic is gone: its id, u64
)

// recordHeader is a record without its body.
type recordHeader struct {
	kind    engine.Kind
	length  uint32 // of the body, bytes
	bodyCRC uint32
	topic   engine.TopicID
	count   uint32
	stamp   engine.Stamp
}

func headerBytes(kind engine.Kind) int {
	if kind == engine.KindBlock {
		return blockHeaderBytes
	}
	return noteHeaderBytes
}

// recordBytes is what a record takes in a commit, padding included.
func recordBytes(kind engine.Kind, body int) int {
	return (headerBytes(kind) + body + recordAlign - 1) &^ (recordAlign - 1)
}

func (h *recordHeader) bytes() int { return recordBytes(h.kind, int(h.length)) }

// encode writes the header to dst, which is at the given byte of its segment.
func (h *recordHeader) encode(dst []byte, salt uint32, offset int64) {
	little.PutUint32(dst, h.length)
	little.PutUint32(dst[4:], uint32(h.kind))
	little.PutUint32(dst[8:], h.bodyCRC)
	if h.kind == engine.KindBlock {
		little.PutUint64(dst[16:], uint64(h.topic))
		little.PutUint64(dst[24:], uint64(h.stamp.First))
		little.PutUint64(dst[32:], h.stamp.ID)
		little.PutUint64(dst[40:], uint64(h.stamp.Time))
		little.PutUint64(dst[48:], uint64(h.count))
	}
	little.PutUint32(dst[12:], headerCRC(dst, headerBytes(h.kind), salt, offset))
}

// decode reads a header without checking it: for memory that this process filled.
func (h *recordHeader) decode(src []byte) {
	h.length = little.Uint32(src)
	h.kind = engine.Kind(src[4])
	h.bodyCRC = little.Uint32(src[8:])
	if h.kind != engine.KindBlock {
		h.topic, h.count, h.stamp = 0, 0, engine.Stamp{}
		return
	}
	h.topic = engine.TopicID(little.Uint64(src[16:]))
	h.count = little.Uint32(src[48:])
	h.stamp = engine.Stamp{
		First: engine.Offset(little.Uint64(src[24:])),
		ID:    little.Uint64(src[32:]),
		Time:  int64(little.Uint64(src[40:])),
	}
}

// check reads a header that came from a disk and reports whether it is the one that was written at this byte of this segment.
func (h *recordHeader) check(src []byte, salt uint32, offset int64) bool {
	if len(src) < noteHeaderBytes {
		return false
	}
	n := headerBytes(engine.Kind(src[4]))
	if len(src) < n || little.Uint32(src[12:]) != headerCRC(src, n, salt, offset) {
		return false
	}
	h.decode(src)
	return true
}

func headerCRC(header []byte, n int, salt uint32, offset int64) uint32 {
	// Two records of a segment never have the same place, so the place may be mixed into the seed: equal headers at different places
	// have different checksums.
	crc := crc32.Update(salt^uint32(offset/recordAlign), castagnoli, header[:12])
	return crc32.Update(crc, castagnoli, header[16:n])
}
