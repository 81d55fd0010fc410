package layout

import "hash/crc32"

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

// Identity is the content of the identity file.
type Identity struct {
	Store   StoreID
	Created int64 // Unix nanoseconds
}

func (i *Identity) encode() []byte {
	b := smallFile(identityMagic, i.Store)
	Little.PutUint64(b[32:], uint64(i.Created))
	return sealSmall(b)
}

// DecodeIdentity reads an identity file; what is not one is a FileError.
func DecodeIdentity(path string, b []byte) (Identity, error) {
	if err := checkSmall(path, identityMagic, b); err != nil {
		return Identity{}, err
	}
	i := Identity{Created: int64(Little.Uint64(b[32:]))}
	copy(i.Store[:], b[16:])
	return i, nil
}

// EpochMark is the content of the epoch file: the last owner, and the segment it began with.
type EpochMark struct {
	Epoch   uint64
	Segment uint64
}

// Encode gives the file's bytes.
func (m *EpochMark) Encode(store StoreID) []byte {
	b := smallFile(epochMagic, store)
	Little.PutUint64(b[32:], m.Epoch)
	Little.PutUint64(b[40:], m.Segment)
	return sealSmall(b)
}

// DecodeEpochMark reads an epoch file; what is not one of this store is a FileError.
func DecodeEpochMark(path string, store StoreID, b []byte) (EpochMark, error) {
	if err := checkSmall(path, epochMagic, b); err != nil {
		return EpochMark{}, err
	}
	if StoreID(b[16:32]) != store {
		return EpochMark{}, &FileError{Path: path, Offset: 16, Reason: "belongs to store " + StoreID(b[16:32]).String()}
	}
	return EpochMark{Epoch: Little.Uint64(b[32:]), Segment: Little.Uint64(b[40:])}, nil
}

func smallFile(magic string, store StoreID) []byte {
	b := make([]byte, smallFileBytes)
	copy(b, magic)
	Little.PutUint32(b[8:], formatVersion)
	copy(b[16:], store[:])
	return b
}

func sealSmall(b []byte) []byte {
	Little.PutUint32(b[60:], crc32.Checksum(b[:60], Castagnoli))
	return b
}

func checkSmall(path, magic string, b []byte) error {
	switch {
	case len(b) != smallFileBytes:
		return &FileError{Path: path, Offset: -1, Reason: "has the wrong size"}
	case string(b[:8]) != magic:
		return &FileError{Path: path, Offset: 0, Reason: "is not what its name says"}
	case Little.Uint32(b[60:]) != crc32.Checksum(b[:60], Castagnoli):
		return &FileError{Path: path, Offset: 0, Reason: "checksum mismatch"}
	case Little.Uint32(b[8:]) != formatVersion:
		return &FileError{Path: path, Offset: 8, Reason: "format version is not known to this program"}
	}
	return nil
}
