package disk

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
	commitHeaderBytes = 64
	// commitBytesMax bounds what one Append may bring, and so the length that a damaged header can make a reader believe.
	commitBytesMax = 64 << 20
)

type commitHeader struct {
	length  uint32
	seq     uint64
	epoch   uint64
	at      position
	synced  position
	records uint32
}

// end is where the next commit of the segment begins.
func (h *commitHeader) end() int64 { return h.at.offset + alignUp(int64(h.length)) }

func (h *commitHeader) encode(dst []byte, salt uint32) {
	little.PutUint32(dst, commitMagic)
	little.PutUint32(dst[4:], h.length)
	little.PutUint64(dst[8:], h.seq)
	little.PutUint64(dst[16:], h.epoch)
	little.PutUint64(dst[24:], h.at.segment)
	little.PutUint64(dst[32:], uint64(h.at.offset))
	little.PutUint64(dst[40:], h.synced.segment)
	little.PutUint64(dst[48:], uint64(h.synced.offset))
	little.PutUint32(dst[56:], h.records)
	little.PutUint32(dst[60:], crc32.Update(salt, castagnoli, dst[:60]))
}

// check reads a header and reports whether it is the one that was written at this place.
func (h *commitHeader) check(src []byte, salt uint32, at position) bool {
	if len(src) < commitHeaderBytes || little.Uint32(src) != commitMagic ||
		little.Uint32(src[60:]) != crc32.Update(salt, castagnoli, src[:60]) {
		return false
	}
	h.length = little.Uint32(src[4:])
	h.seq = little.Uint64(src[8:])
	h.epoch = little.Uint64(src[16:])
	h.at = position{little.Uint64(src[24:]), int64(little.Uint64(src[32:]))}
	h.synced = position{little.Uint64(src[40:]), int64(little.Uint64(src[48:]))}
	h.records = little.Uint32(src[56:])
	return h.at == at && h.length >= commitHeaderBytes && h.length <= commitBytesMax+commitHeaderBytes
}
