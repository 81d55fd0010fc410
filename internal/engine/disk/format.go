package disk

import (
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
	pageBytes     = vfs.Align
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
	lockName     = "lock"
	identityName = "identity"
	epochName    = "epoch"
	tempSuffix   = ".tmp"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	little     = binary.LittleEndian
)

// fileKind is what a name in the data directory promises.
type fileKind int

const (
	foreignFile fileKind = iota
	ignoredFile          // the lock, and what file systems put into their root
	tempFile             // incomplete: left by a crash, holds nothing that anything refers to
	identityFile
	epochFile
	segmentFile
	checkpointFile
	spareFile // a segment's former file, kept for its blocks on disk
)

func segmentName(id uint64) string        { return fmt.Sprintf("seg-%016d.log", id) }
func checkpointName(number uint64) string { return fmt.Sprintf("checkpoint-%016d", number) }
func spareName(id uint64) string          { return fmt.Sprintf("spare-%016d", id) }

// parseName tells what a name promises, and the number in it. Only the exact name that this package writes is recognised.
func parseName(name string) (fileKind, uint64) {
	switch name {
	case lockName, "lost+found":
		return ignoredFile, 0
	case identityName:
		return identityFile, 0
	case epochName:
		return epochFile, 0
	}
	if whole, temp := strings.CutSuffix(name, tempSuffix); temp {
		if kind, _ := parseName(whole); kind > tempFile {
			return tempFile, 0
		}
		return foreignFile, 0
	}
	for _, numbered := range []struct {
		kind   fileKind
		prefix string
		name   func(uint64) string
	}{{segmentFile, "seg-", segmentName}, {checkpointFile, "checkpoint-", checkpointName}, {spareFile, "spare-", spareName}} {
		digits, found := strings.CutPrefix(strings.TrimSuffix(name, ".log"), numbered.prefix)
		if !found {
			continue
		}
		if number, err := strconv.ParseUint(digits, 10, 64); err == nil && number > 0 && numbered.name(number) == name {
			return numbered.kind, number
		}
	}
	return foreignFile, 0
}

// storeID tells stores apart. It is random, made once.
type storeID [16]byte

func (id storeID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// salt is the seed of all checksums inside one segment. It makes bytes that an earlier use of the file's blocks left behind invalid.
func (id storeID) salt(segment uint64) uint32 {
	var b [24]byte
	copy(b[:], id[:])
	little.PutUint64(b[16:], segment)
	return crc32.Checksum(b[:], castagnoli)
}

// position is a place in the log: a segment and a byte in it. The zero position is before everything.
type position struct {
	segment uint64
	offset  int64
}

func (p position) before(q position) bool {
	return p.segment < q.segment || p.segment == q.segment && p.offset < q.offset
}

func (p position) String() string {
	return fmt.Sprintf("%s at byte %d", segmentName(p.segment), p.offset)
}

// FileError says that a file of the data directory cannot be used, and why. Opening a store answers it for a directory that is
// foreign, incomplete or damaged; the directory is left as it was found.
type FileError struct {
	Path   string
	Offset int64 // bytes from the start of the file; -1 when the file as a whole is meant
	Reason string
}

func (e *FileError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s at byte %d: %s", e.Path, e.Offset, e.Reason)
}

// noSpace tells the one kind of error that is not a failing disk: the file system is full and may have room again.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func alignUp(n int64) int64 { return (n + pageBytes - 1) &^ (pageBytes - 1) }
