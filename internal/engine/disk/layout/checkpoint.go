package layout

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// A checkpoint is the whole state of the shard at one position of the log: recovery starts there instead of at the beginning.
//
//	┌────────┬──────────┬─────────────────────────────────────────┬─────────┐
//	│ header │ segments │ index: topic · extents · entries · …    │ machine │
//	│ 152 B  │ 32 B each│                                         │         │
//	└────────┴──────────┴─────────────────────────────────────────┴─────────┘
//
// Header:
//
//	0       8         12     16         32       40     48            56           64    72      80        88
//	┌───────┬─────────┬──────┬──────────┬────────┬──────┬─────────────┬────────────┬─────┬───────┬─────────┬───────────┐
//	│ magic │ version │ 0    │ store id │ number │ prev │ log segment │ log offset │ seq │ epoch │ next id │ last time │
//	│ 8 B   │ u32     │ u32  │ 16 B     │ u64    │ u64  │ u64         │ u64        │ u64 │ u64   │ u64     │ i64 ns    │
//	└───────┴─────────┴──────┴──────────┴────────┴──────┴─────────────┴────────────┴─────┴───────┴─────────┴───────────┘
//	96             104        112      120           128             136            140          144           148    152
//	┌──────────────┬──────────┬────────┬─────────────┬───────────────┬──────────────┬────────────┬─────────────┬──────┐
//	│ next segment │ segments │ topics │ index bytes │ machine bytes │ segments crc │ index crc  │ machine crc │ crc  │
//	│ u64          │ u64      │ u64    │ u64         │ u64           │ u32          │ u32        │ u32         │ u32  │
//	└──────────────┴──────────┴────────┴─────────────┴───────────────┴──────────────┴────────────┴─────────────┴──────┘
//
// Segment: id u64 · flags u32 (1 compacted, 2 sealed, 4 with footer) · 0 u32 · log end u64 · file bytes u64.
// Topic: id u64 · next offset u64 · number of extents u64, then for each extent: segment u64, a footer's directory row, and, if the
// row's section is 0, its entries as in a section.
const (
	checkpointHeaderBytes = 152
	summaryBytes          = 32

	SummaryCompacted = 1
	SummarySealed    = 2
	SummaryFooted    = 4
)

// Checkpoint is the part of one that is known without its index and machine.
type Checkpoint struct {
	Number      uint64
	Prev        uint64 // the checkpoint before this one, which is kept too; 0: none
	At          Position
	Seq         uint64 // last commit before at
	Epoch       uint64
	NextID      uint64
	LastTime    int64
	NextSegment uint64
	Segments    []Summary
}

// Summary is what a checkpoint says about a segment file that it needs.
type Summary struct {
	ID        uint64
	Flags     uint32
	End       int64
	FileBytes int64
}

// String says it in words.
func (s *Summary) String() string {
	text := "active"
	if s.Flags&SummarySealed != 0 {
		text = fmt.Sprintf("%d bytes of log, file of %d", s.End, s.FileBytes)
	}
	if s.Flags&SummaryCompacted != 0 {
		text += ", compacted"
	}
	if s.Flags&SummaryFooted != 0 {
		text += ", with footer"
	}
	return text
}

// Body is the bulk of a checkpoint, encoded.
type Body struct {
	Topics  uint64
	Index   []byte
	Machine []byte
}

func (c *Checkpoint) encode(store StoreID, b *Body) []byte {
	h := make([]byte, checkpointHeaderBytes, checkpointHeaderBytes+len(c.Segments)*summaryBytes)
	copy(h, checkpointMagic)
	Little.PutUint32(h[8:], formatVersion)
	copy(h[16:], store[:])
	for i, v := range []uint64{
		c.Number, c.Prev, c.At.Segment, uint64(c.At.Offset), c.Seq, c.Epoch, c.NextID, uint64(c.LastTime), c.NextSegment,
		uint64(len(c.Segments)), b.Topics, uint64(len(b.Index)), uint64(len(b.Machine)),
	} {
		Little.PutUint64(h[32+8*i:], v)
	}
	for _, s := range c.Segments {
		h = Little.AppendUint64(h, s.ID)
		h = Little.AppendUint64(h, uint64(s.Flags))
		h = Little.AppendUint64(h, uint64(s.End))
		h = Little.AppendUint64(h, uint64(s.FileBytes))
	}
	Little.PutUint32(h[136:], crc32.Checksum(h[checkpointHeaderBytes:], Castagnoli))
	Little.PutUint32(h[140:], crc32.Checksum(b.Index, Castagnoli))
	Little.PutUint32(h[144:], crc32.Checksum(b.Machine, Castagnoli))
	Little.PutUint32(h[148:], crc32.Checksum(h[:148], Castagnoli))
	return h
}

// ErrDamaged says that bytes are not those that were written. Of a checkpoint: the one before it may serve instead, while all other errors of
// reading one mean that the directory is not what it should be.
var ErrDamaged = errors.New("damaged")

// ReadCheckpoint reads a checkpoint: with its body, or only what comes before it.
func ReadCheckpoint(fs vfs.FS, filePath string, store StoreID, number uint64, whole bool) (*Checkpoint, *Body, error) {
	f, err := fs.Open(filePath)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, nil, err
	}
	h := make([]byte, checkpointHeaderBytes)
	if size < checkpointHeaderBytes {
		return nil, nil, ErrDamaged
	}
	if err := ReadFull(f, h, 0); err != nil {
		return nil, nil, err
	}
	c, err := decodeCheckpoint(h, filePath, store, number)
	if err != nil {
		return nil, nil, err
	}
	count, b := Little.Uint64(h[104:]), Body{Topics: Little.Uint64(h[112:])}
	indexBytes, machineBytes := Little.Uint64(h[120:]), Little.Uint64(h[128:])
	if checkpointHeaderBytes+count*summaryBytes+indexBytes+machineBytes != uint64(size) {
		return nil, nil, ErrDamaged
	}
	table := make([]byte, count*summaryBytes)
	if err := ReadFull(f, table, checkpointHeaderBytes); err != nil {
		return nil, nil, err
	}
	if crc32.Checksum(table, Castagnoli) != Little.Uint32(h[136:]) {
		return nil, nil, ErrDamaged
	}
	c.Segments = decodeSummaries(table)
	if !whole {
		return c, nil, nil
	}
	rest := make([]byte, indexBytes+machineBytes)
	if err := ReadFull(f, rest, size-int64(len(rest))); err != nil {
		return nil, nil, err
	}
	b.Index, b.Machine = rest[:indexBytes], rest[indexBytes:]
	if crc32.Checksum(b.Index, Castagnoli) != Little.Uint32(h[140:]) || crc32.Checksum(b.Machine, Castagnoli) != Little.Uint32(h[144:]) {
		return nil, nil, ErrDamaged
	}
	return c, &b, nil
}

func decodeCheckpoint(h []byte, filePath string, store StoreID, number uint64) (*Checkpoint, error) {
	switch {
	case crc32.Checksum(h[:148], Castagnoli) != Little.Uint32(h[148:]):
		return nil, ErrDamaged
	case string(h[:8]) != checkpointMagic:
		return nil, &FileError{Path: filePath, Offset: 0, Reason: "is not a checkpoint"}
	case Little.Uint32(h[8:]) != formatVersion:
		return nil, &FileError{Path: filePath, Offset: 8, Reason: "format version is not known to this program"}
	case StoreID(h[16:32]) != store:
		return nil, &FileError{Path: filePath, Offset: 16, Reason: "belongs to store " + StoreID(h[16:32]).String()}
	case Little.Uint64(h[32:]) != number:
		return nil, &FileError{Path: filePath, Offset: 32, Reason: "is really " + CheckpointName(Little.Uint64(h[32:]))}
	}
	return &Checkpoint{
		Number:      number,
		Prev:        Little.Uint64(h[40:]),
		At:          Position{Little.Uint64(h[48:]), int64(Little.Uint64(h[56:]))},
		Seq:         Little.Uint64(h[64:]),
		Epoch:       Little.Uint64(h[72:]),
		NextID:      Little.Uint64(h[80:]),
		LastTime:    int64(Little.Uint64(h[88:])),
		NextSegment: Little.Uint64(h[96:]),
	}, nil
}

func decodeSummaries(b []byte) []Summary {
	all := make([]Summary, len(b)/summaryBytes)
	for i := range all {
		p := b[i*summaryBytes:]
		all[i] = Summary{
			Little.Uint64(p), uint32(Little.Uint64(p[8:])), int64(Little.Uint64(p[16:])), int64(Little.Uint64(p[24:])),
		}
	}
	return all
}
