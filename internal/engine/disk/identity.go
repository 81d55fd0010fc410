package disk

import (
	"hash/crc32"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Identity file: written once, when the store is made. Its appearance is what makes a directory a store.
//
//	0        8         12       16             32          40        60      64
//	┌────────┬─────────┬────────┬──────────────┬───────────┬─────────┬───────┐
//	│ magic  │ version │ 0      │ store id     │ created   │ 0       │ crc   │
//	│ 8 B    │ u32     │ u32    │ 16 B         │ i64 ns    │ 20 B    │ u32   │
//	└────────┴─────────┴────────┴──────────────┴───────────┴─────────┴───────┘
//
// Epoch file: replaced (new file, sync, rename, sync of the directory) whenever the shard gets an owner.
//
//	0        8         12       16             32          40          48        60      64
//	┌────────┬─────────┬────────┬──────────────┬───────────┬───────────┬─────────┬───────┐
//	│ magic  │ version │ 0      │ store id     │ epoch     │ segment   │ 0       │ crc   │
//	│ 8 B    │ u32     │ u32    │ 16 B         │ u64       │ u64       │ 12 B    │ u32   │
//	└────────┴─────────┴────────┴──────────────┴───────────┴───────────┴─────────┴───────┘
//
// The epoch file names the segment that the owner began with. The log must reach it: without that, a store whose last segment was
// taken away would look like one that ended earlier.
const smallFileBytes = 64

type identity struct {
	store   storeID
	created int64 // Unix nanoseconds
}

func (i *identity) encode() []byte {
	b := smallFile(identityMagic, i.store)
	little.PutUint64(b[32:], uint64(i.created))
	return sealSmall(b)
}

func decodeIdentity(path string, b []byte) (identity, error) {
	if err := checkSmall(path, identityMagic, b); err != nil {
		return identity{}, err
	}
	i := identity{created: int64(little.Uint64(b[32:]))}
	copy(i.store[:], b[16:])
	return i, nil
}

type epochMark struct {
	epoch   uint64
	segment uint64
}

func (m *epochMark) encode(store storeID) []byte {
	b := smallFile(epochMagic, store)
	little.PutUint64(b[32:], m.epoch)
	little.PutUint64(b[40:], m.segment)
	return sealSmall(b)
}

func decodeEpochMark(path string, store storeID, b []byte) (epochMark, error) {
	if err := checkSmall(path, epochMagic, b); err != nil {
		return epochMark{}, err
	}
	if storeID(b[16:32]) != store {
		return epochMark{}, &FileError{Path: path, Offset: 16, Reason: "belongs to store " + storeID(b[16:32]).String()}
	}
	return epochMark{epoch: little.Uint64(b[32:]), segment: little.Uint64(b[40:])}, nil
}

func smallFile(magic string, store storeID) []byte {
	b := make([]byte, smallFileBytes)
	copy(b, magic)
	little.PutUint32(b[8:], formatVersion)
	copy(b[16:], store[:])
	return b
}

func sealSmall(b []byte) []byte {
	little.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func checkSmall(path, magic string, b []byte) error {
	switch {
	case len(b) != smallFileBytes:
		return &FileError{Path: path, Offset: -1, Reason: "has the wrong size"}
	case string(b[:8]) != magic:
		return &FileError{Path: path, Offset: 0, Reason: "is not what its name says"}
	case little.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return &FileError{Path: path, Offset: 0, Reason: "checksum mismatch"}
	case little.Uint32(b[8:]) != formatVersion:
		return &FileError{Path: path, Offset: 8, Reason: "format version is not known to this program"}
	}
	return nil
}

// readWhole reads a small file.
func readWhole(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	return b, readFull(f, b, 0)
}
