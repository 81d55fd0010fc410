package disk

import (
	"errors"
	"hash/crc32"
	"path"

	"github.com/posthaste-io/posthaste/internal/vfs"
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
	segmentHeaderBytes = 84
	flagCompacted      = 1
)

type segmentHeader struct {
	flags   uint32
	id      uint64
	prev    uint64
	prevEnd int64
	prevSeq uint64
	size    int64 // of the file when it was made
	created int64 // Unix nanoseconds
}

func (h *segmentHeader) compacted() bool { return h.flags&flagCompacted != 0 }

// encode writes the header to a page of zeros.
func (h *segmentHeader) encode(dst []byte, store storeID) {
	copy(dst, segmentMagic)
	little.PutUint32(dst[8:], formatVersion)
	little.PutUint32(dst[12:], h.flags)
	copy(dst[16:], store[:])
	little.PutUint64(dst[32:], h.id)
	little.PutUint64(dst[40:], h.prev)
	little.PutUint64(dst[48:], uint64(h.prevEnd))
	little.PutUint64(dst[56:], h.prevSeq)
	little.PutUint64(dst[64:], uint64(h.size))
	little.PutUint64(dst[72:], uint64(h.created))
	little.PutUint32(dst[80:], crc32.Checksum(dst[:80], castagnoli))
}

func decodeSegmentHeader(b []byte, filePath string, store storeID, id uint64) (segmentHeader, error) {
	bad := func(offset int64, reason string) (segmentHeader, error) {
		return segmentHeader{}, &FileError{Path: filePath, Offset: offset, Reason: reason}
	}
	switch {
	case len(b) < segmentHeaderBytes || string(b[:8]) != segmentMagic:
		return bad(0, "is not a segment")
	case little.Uint32(b[80:]) != crc32.Checksum(b[:80], castagnoli):
		return bad(0, "the segment header's checksum does not match")
	case little.Uint32(b[8:]) != formatVersion:
		return bad(8, "format version is not known to this program")
	case storeID(b[16:32]) != store:
		return bad(16, "belongs to store "+storeID(b[16:32]).String())
	case little.Uint64(b[32:]) != id:
		return bad(32, "is really "+segmentName(little.Uint64(b[32:])))
	}
	return segmentHeader{
		flags:   little.Uint32(b[12:]),
		id:      id,
		prev:    little.Uint64(b[40:]),
		prevEnd: int64(little.Uint64(b[48:])),
		prevSeq: little.Uint64(b[56:]),
		size:    int64(little.Uint64(b[64:])),
		created: int64(little.Uint64(b[72:])),
	}, nil
}

// segment is one segment file of the running store. The index's lock guards the fields below it.
type segment struct {
	segmentHeader
	salt   uint32
	writer vfs.File // while it is written; used by the committer, then by the keeper

	fileBytes int64 // size of the file, once sealed
	end       int64 // where its log part ends, once sealed; 0 before
	live      int64 // bytes of records that the index still refers to
	sealed    bool
	footed    bool  // its footer is durable: the index needs no entries of its blocks in memory
	torn      int64 // end of what a crash left behind end; the footer leaves it alone
	shrink    bool  // the file ends behind the footer: it was not filled
	keep      bool  // compaction met damage in it: its file stays as it is
	// topics have extents with entries in memory. Empty once footed.
	topics []topicRef
}

// createSegment makes a segment file under its final name: the last step is the sync of the directory. spare, if not empty, names
// a file to use again.
func createSegment(fs vfs.FS, dir string, store storeID, h segmentHeader, spare string) (*segment, error) {
	final := path.Join(dir, segmentName(h.id))
	temp := final + tempSuffix
	f, err := openNewSegment(fs, dir, temp, h.size, spare)
	if err != nil {
		return nil, err
	}
	page := vfs.AlignedBytes(pageBytes)
	h.encode(page, store)
	_, err = f.WriteAt(page, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(temp, final)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		if noSpace(err) {
			_ = fs.Remove(temp) // an incomplete file only makes space scarcer
		}
		return nil, errors.Join(err, f.Close())
	}
	return &segment{segmentHeader: h, salt: store.salt(h.id), writer: f, fileBytes: h.size}, nil
}

func openNewSegment(fs vfs.FS, dir, temp string, size int64, spare string) (vfs.File, error) {
	if spare == "" {
		return fs.Create(temp, size, true)
	}
	if err := fs.Rename(path.Join(dir, spare), temp); err != nil {
		return nil, err
	}
	// Until the directory is synced, a crash may bring back the name under which the file was a segment; it must not have another's
	// bytes by then.
	if err := fs.SyncDir(dir); err != nil {
		return nil, err
	}
	return fs.OpenWrite(temp, true)
}
