package layout

import "hash/crc32"

// A commit is what one write and one sync make durable: a header and records. It begins at a page and is padded with zeros to one.
//
//	0        4         8       16       24        32        40               48              56      60      64
//	┌────────┬─────────┬───────┬────────┬─────────┬─────────┬────────────────┬───────────────┬───────┬───────┬─────────┬─────┐
//	│ magic  │ length  │ seq   │ epoch  │ segment │ offset  │ synced segment │ synced offset │ count │ crc   │ records │ 0 … │
//	│ u32    │ u32     │ u64   │ u64    │ u64     │ u64     │ u64            │ u64           │ u32   │ u32   │         │     │
//	└────────┴─────────┴───────┴────────┴─────────┴─────────┴────────────────┴───────────────┴───────┴───────┴─────────┴─────┘
//
// length counts from the magic to the end of the last record. seq grows by one with every commit of the store's log. The synced
// position is the end of what was known to be durable when this commit was written: bytes before it cannot be the trace of a crash.
const (
	commitMagic       = 0x6d435048 // "HPCm"
	CommitHeaderBytes = 64
	// CommitBytesMax bounds what one Append may bring, and so the length that a damaged header can make a reader believe.
	CommitBytesMax = 64 << 20
	// CommitBytesAim is what a commit is filled to, unless a single Append brings more.
	CommitBytesAim = 4 << 20
)

// CommitHeader is a commit without its records.
type CommitHeader struct {
	Length  uint32
	Seq     uint64
	Epoch   uint64
	At      Position
	Synced  Position
	Records uint32
}

// End is where the next commit of the segment begins.
func (h *CommitHeader) End() int64 { return h.At.Offset + AlignUp(int64(h.Length)) }

// Encode writes the header to the beginning of dst.
func (h *CommitHeader) Encode(dst []byte, salt uint32) {
	Little.PutUint32(dst, commitMagic)
	Little.PutUint32(dst[4:], h.Length)
	Little.PutUint64(dst[8:], h.Seq)
	Little.PutUint64(dst[16:], h.Epoch)
	Little.PutUint64(dst[24:], h.At.Segment)
	Little.PutUint64(dst[32:], uint64(h.At.Offset))
	Little.PutUint64(dst[40:], h.Synced.Segment)
	Little.PutUint64(dst[48:], uint64(h.Synced.Offset))
	Little.PutUint32(dst[56:], h.Records)
	Little.PutUint32(dst[60:], crc32.Update(salt, Castagnoli, dst[:60]))
}

// check reads a header and reports whether it is the one that was written at this place.
func (h *CommitHeader) check(src []byte, salt uint32, at Position) bool {
	if len(src) < CommitHeaderBytes || Little.Uint32(src) != commitMagic ||
		Little.Uint32(src[60:]) != crc32.Update(salt, Castagnoli, src[:60]) {
		return false
	}
	h.Length = Little.Uint32(src[4:])
	h.Seq = Little.Uint64(src[8:])
	h.Epoch = Little.Uint64(src[16:])
	h.At = Position{Little.Uint64(src[24:]), int64(Little.Uint64(src[32:]))}
	h.Synced = Position{Little.Uint64(src[40:]), int64(Little.Uint64(src[48:]))}
	h.Records = Little.Uint32(src[56:])
	return h.At == at && h.Length >= CommitHeaderBytes && h.Length <= CommitBytesMax+CommitHeaderBytes
}
