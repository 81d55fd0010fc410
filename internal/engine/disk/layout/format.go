// Package layout is every byte of a store's files: their names, how they are encoded and checked, and how they appear in the directory.
// It knows nothing of a running log.
//
// docs/FORMAT.md shows the same drawings to those who do not read Go.
package layout

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"syscall"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// The rules that all files of a store obey, drawn in docs/FORMAT.md:
//
//  1. Every number is little endian; every checksum is CRC-32C.
//  2. Whatever can be read alone carries the store's identity and its own place, or has them in its checksum's seed: bytes of another
//     store, another file or another place of the same file never pass for it.
//  3. A sector that was synced is not written again while the file keeps its name.
//  4. A file appears under its final name only when it is complete and synced: a damaged file under a final name is damage, never the
//     trace of a crash.
const (
	formatVersion = 1
	// PageBytes is what commits, footers and headers begin at multiples of.
	PageBytes = vfs.Align
)

// The first eight bytes of each kind of file, and of the page that ends a sealed segment.
const (
	identityMagic   = "PHIDENT\n"
	epochMagic      = "PHEPOCH\n"
	segmentMagic    = "PHSEGMT\n"
	trailerMagic    = "PHTRAIL\n"
	checkpointMagic = "PHCHECK\n"
)

// Names in the data directory. Nothing else may be there, except what an empty file system has by itself.
const (
	LockName     = "lock"
	IdentityName = "identity"
	EpochName    = "epoch"
	TempSuffix   = ".tmp"
)

// Castagnoli is the table of every checksum.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the checksum of a record's body.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, Castagnoli) }

// Little is the order of bytes in every number.
var Little = binary.LittleEndian

// FileKind is what a name in the data directory promises.
type FileKind int

// Kinds of files.
const (
	ForeignFile    FileKind = iota // not ours
	IgnoredFile                    // the lock, and what file systems put into their root
	TempFile                       // incomplete: left by a crash, holds nothing that anything refers to
	IdentityFile                   // see Identity
	EpochFile                      // see EpochMark
	SegmentFile                    // see SegmentHeader
	CheckpointFile                 // see Checkpoint
	SpareFile                      // a segment's former file, kept for its blocks on disk
)

// SegmentName is the file name of a segment.
func SegmentName(id uint64) string { return fmt.Sprintf("seg-%016d.log", id) }

// CheckpointName is the file name of a checkpoint.
func CheckpointName(number uint64) string { return fmt.Sprintf("checkpoint-%016d", number) }

// SpareName is the name under which the file of a retired segment is kept.
func SpareName(id uint64) string { return fmt.Sprintf("spare-%016d", id) }

// ParseName tells what a name promises, and the number in it. Only the exact name that this package writes is recognised.
func ParseName(name string) (FileKind, uint64) {
	switch name {
	case LockName, "lost+found":
		return IgnoredFile, 0
	case IdentityName:
		return IdentityFile, 0
	case EpochName:
		return EpochFile, 0
	}
	if whole, temp := strings.CutSuffix(name, TempSuffix); temp {
		if kind, _ := ParseName(whole); kind > TempFile {
			return TempFile, 0
		}
		return ForeignFile, 0
	}
	for _, numbered := range []struct {
		kind   FileKind
		prefix string
		name   func(uint64) string
	}{{SegmentFile, "seg-", SegmentName}, {CheckpointFile, "checkpoint-", CheckpointName}, {SpareFile, "spare-", SpareName}} {
		digits, found := strings.CutPrefix(strings.TrimSuffix(name, ".log"), numbered.prefix)
		if !found {
			continue
		}
		if number, err := strconv.ParseUint(digits, 10, 64); err == nil && number > 0 && numbered.name(number) == name {
			return numbered.kind, number
		}
	}
	return ForeignFile, 0
}

// StoreID tells stores apart. It is random, made once.
type StoreID [16]byte

// newStoreID makes an identity that no other store has.
func newStoreID() StoreID {
	var id StoreID
	rand.Read(id[:]) // never fails
	return id
}

// String writes the identity as UUIDs are written.
func (id StoreID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Salt is the seed of all checksums inside one segment. It makes bytes that an earlier use of the file's blocks left behind invalid.
func (id StoreID) Salt(segment uint64) uint32 {
	var b [24]byte
	copy(b[:], id[:])
	Little.PutUint64(b[16:], segment)
	return crc32.Checksum(b[:], Castagnoli)
}

// Position is a place in the log: a segment and a byte in it. The zero position is before everything.
type Position struct {
	Segment uint64
	Offset  int64
}

// At is the position at a byte of a segment.
func At(segment uint64, offset int64) Position { return Position{segment, offset} }

// Before tells which of two places in the log comes first.
func (p Position) Before(q Position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// String names the file and the byte.
func (p Position) String() string {
	return fmt.Sprintf("%s at byte %d", SegmentName(p.Segment), p.Offset)
}

// FileError says that a file of the data directory cannot be used, and why. Opening a store answers it for a directory that is
// foreign, incomplete or damaged; the directory is left as it was found.
type FileError struct {
	Path   string
	Offset int64 // bytes from the start of the file; -1 when the file as a whole is meant
	Reason string
}

// Error implements error.
func (e *FileError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s at byte %d: %s", e.Path, e.Offset, e.Reason)
}

// NoSpace tells the one kind of error that is not a failing disk: the file system is full and may have room again.
func NoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// AlignUp is the first page boundary that is not before n.
func AlignUp(n int64) int64 { return (n + PageBytes - 1) &^ (PageBytes - 1) }
