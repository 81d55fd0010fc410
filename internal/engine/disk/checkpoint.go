package disk

import (
	"cmp"
	"errors"
	"hash/crc32"
	"maps"
	"path"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine"
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

	summaryCompacted = 1
	summarySealed    = 2
	summaryFooted    = 4
)

// checkpoint is the part of one that is known without its index and machine.
type checkpoint struct {
	number      uint64
	prev        uint64 // the checkpoint before this one, which is kept too; 0: none
	at          position
	seq         uint64 // last commit before at
	epoch       uint64
	nextID      uint64
	lastTime    int64
	nextSegment uint64
	segments    []summary
}

// summary is what a checkpoint says about a segment file that it needs.
type summary struct {
	id        uint64
	flags     uint32
	end       int64
	fileBytes int64
}

// body is the bulk of a checkpoint, encoded.
type body struct {
	topics  uint64
	index   []byte
	machine []byte
}

func (c *checkpoint) encode(store storeID, b *body) []byte {
	h := make([]byte, checkpointHeaderBytes, checkpointHeaderBytes+len(c.segments)*summaryBytes)
	copy(h, checkpointMagic)
	little.PutUint32(h[8:], formatVersion)
	copy(h[16:], store[:])
	for i, v := range []uint64{
		c.number, c.prev, c.at.segment, uint64(c.at.offset), c.seq, c.epoch, c.nextID, uint64(c.lastTime), c.nextSegment,
		uint64(len(c.segments)), b.topics, uint64(len(b.index)), uint64(len(b.machine)),
	} {
		little.PutUint64(h[32+8*i:], v)
	}
	for _, s := range c.segments {
		h = little.AppendUint64(h, s.id)
		h = little.AppendUint64(h, uint64(s.flags))
		h = little.AppendUint64(h, uint64(s.end))
		h = little.AppendUint64(h, uint64(s.fileBytes))
	}
	little.PutUint32(h[136:], crc32.Checksum(h[checkpointHeaderBytes:], castagnoli))
	little.PutUint32(h[140:], crc32.Checksum(b.index, castagnoli))
	little.PutUint32(h[144:], crc32.Checksum(b.machine, castagnoli))
	little.PutUint32(h[148:], crc32.Checksum(h[:148], castagnoli))
	return h
}

// errDamaged says that a checkpoint's bytes are not those that were written: the one before it may serve instead. All other
// errors of reading one mean that the directory is not what it should be.
var errDamaged = errors.New("damaged")

// readCheckpoint reads a checkpoint: with its body, or only what comes before it.
func readCheckpoint(fs vfs.FS, filePath string, store storeID, number uint64, whole bool) (*checkpoint, *body, error) {
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
		return nil, nil, errDamaged
	}
	if err := readFull(f, h, 0); err != nil {
		return nil, nil, err
	}
	c, err := decodeCheckpoint(h, filePath, store, number)
	if err != nil {
		return nil, nil, err
	}
	count, b := little.Uint64(h[104:]), body{topics: little.Uint64(h[112:])}
	indexBytes, machineBytes := little.Uint64(h[120:]), little.Uint64(h[128:])
	if checkpointHeaderBytes+count*summaryBytes+indexBytes+machineBytes != uint64(size) {
		return nil, nil, errDamaged
	}
	table := make([]byte, count*summaryBytes)
	if err := readFull(f, table, checkpointHeaderBytes); err != nil {
		return nil, nil, err
	}
	if crc32.Checksum(table, castagnoli) != little.Uint32(h[136:]) {
		return nil, nil, errDamaged
	}
	c.segments = decodeSummaries(table)
	if !whole {
		return c, nil, nil
	}
	rest := make([]byte, indexBytes+machineBytes)
	if err := readFull(f, rest, size-int64(len(rest))); err != nil {
		return nil, nil, err
	}
	b.index, b.machine = rest[:indexBytes], rest[indexBytes:]
	if crc32.Checksum(b.index, castagnoli) != little.Uint32(h[140:]) || crc32.Checksum(b.machine, castagnoli) != little.Uint32(h[144:]) {
		return nil, nil, errDamaged
	}
	return c, &b, nil
}

func decodeCheckpoint(h []byte, filePath string, store storeID, number uint64) (*checkpoint, error) {
	switch {
	case crc32.Checksum(h[:148], castagnoli) != little.Uint32(h[148:]):
		return nil, errDamaged
	case string(h[:8]) != checkpointMagic:
		return nil, &FileError{Path: filePath, Offset: 0, Reason: "is not a checkpoint"}
	case little.Uint32(h[8:]) != formatVersion:
		return nil, &FileError{Path: filePath, Offset: 8, Reason: "format version is not known to this program"}
	case storeID(h[16:32]) != store:
		return nil, &FileError{Path: filePath, Offset: 16, Reason: "belongs to store " + storeID(h[16:32]).String()}
	case little.Uint64(h[32:]) != number:
		return nil, &FileError{Path: filePath, Offset: 32, Reason: "is really " + checkpointName(little.Uint64(h[32:]))}
	}
	return &checkpoint{
		number:      number,
		prev:        little.Uint64(h[40:]),
		at:          position{little.Uint64(h[48:]), int64(little.Uint64(h[56:]))},
		seq:         little.Uint64(h[64:]),
		epoch:       little.Uint64(h[72:]),
		nextID:      little.Uint64(h[80:]),
		lastTime:    int64(little.Uint64(h[88:])),
		nextSegment: little.Uint64(h[96:]),
	}, nil
}

func decodeSummaries(b []byte) []summary {
	all := make([]summary, len(b)/summaryBytes)
	for i := range all {
		p := b[i*summaryBytes:]
		all[i] = summary{
			little.Uint64(p), uint32(little.Uint64(p[8:])), int64(little.Uint64(p[16:])), int64(little.Uint64(p[24:])),
		}
	}
	return all
}

// writeCheckpoint makes a checkpoint's file: it appears, whole and durable, or not at all.
func writeCheckpoint(fs vfs.FS, dir string, store storeID, c *checkpoint, b *body) error {
	return writeFile(fs, dir, checkpointName(c.number), c.encode(store, b), b.index, b.machine)
}

// writeFile makes a file appear under a name with all of its bytes durable, replacing what had the name. What an error leaves behind has
// another name.
func writeFile(fs vfs.FS, dir, name string, parts ...[]byte) error {
	temp := path.Join(dir, name+tempSuffix)
	f, err := fs.Create(temp, 0, false)
	if err != nil {
		return err
	}
	at := int64(0)
	for _, part := range parts {
		if err == nil && len(part) > 0 {
			_, err = f.WriteAt(part, at)
			at += int64(len(part))
		}
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = fs.Rename(temp, path.Join(dir, name))
	}
	if err == nil {
		return fs.SyncDir(dir)
	}
	if noSpace(err) {
		_ = fs.Remove(temp) // an incomplete file only makes space scarcer
	}
	return err
}

// encode writes the index's topics as a checkpoint has them, and the segments that a recovery from position at needs.
func (x *index) encode(at position) ([]summary, *body) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	b := &body{topics: uint64(len(x.topics))}
	for _, id := range slices.Sorted(maps.Keys(x.topics)) {
		t := x.topics[id]
		b.index = little.AppendUint64(b.index, uint64(id))
		b.index = little.AppendUint64(b.index, uint64(t.next))
		b.index = little.AppendUint64(b.index, uint64(len(t.extents)))
		for i := range t.extents {
			r := row{id, t.extents[i]}
			b.index = little.AppendUint64(b.index, r.segment.id)
			b.index = r.append(b.index)
			b.index = appendEntries(b.index, r.entries)
		}
	}
	var segments []summary
	for _, g := range x.segments {
		if g.live > 0 || !g.compacted() && g.id >= at.segment {
			segments = append(segments, g.summary())
		}
	}
	slices.SortFunc(segments, func(a, b summary) int { return cmp.Compare(a.id, b.id) })
	return segments, b
}

func (g *segment) summary() summary {
	m := summary{id: g.id, end: g.end, fileBytes: g.fileBytes}
	if g.compacted() {
		m.flags |= summaryCompacted
	}
	if g.sealed {
		m.flags |= summarySealed
	}
	if g.footed {
		m.flags |= summaryFooted
	}
	return m
}

// decode rebuilds the topics of an index whose segments are known. It reports false for bytes that no encode wrote.
func (x *index) decode(b *body) bool {
	p := b.index
	take := func(n uint64) []byte {
		if uint64(len(p)) < n {
			p = nil
			return nil
		}
		head := p[:n]
		p = p[n:]
		return head
	}
	for range b.topics {
		h := take(24)
		if h == nil {
			return false
		}
		id, t := engine.TopicID(little.Uint64(h)), &topic{next: engine.Offset(little.Uint64(h[8:]))}
		for range little.Uint64(h[16:]) {
			e := take(8 + rowBytes)
			if e == nil {
				return false
			}
			r := decodeRow(e[8:])
			r.segment = x.segments[little.Uint64(e)]
			if r.segment == nil || r.topic != id || r.blocks == 0 {
				return false
			}
			if r.section == 0 {
				entries := take(uint64(r.blocks) * entryBytes)
				if entries == nil {
					return false
				}
				r.entries = decodeEntries(entries)
				r.segment.topics = append(r.segment.topics, id)
			}
			r.segment.live += r.live
			t.extents = append(t.extents, r.extent)
		}
		x.topics[id] = t
	}
	return len(p) == 0
}
