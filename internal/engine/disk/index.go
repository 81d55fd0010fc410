package disk

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// The index knows where the durable blocks of each topic are. It holds
//
//	topic ──▶ extents ──▶ entries
//	          one for each segment       one for each block
//
// and its memory does not grow with the backlog's blocks: when a segment's footer is durable, the entries of its extents are dropped
// and read from the footer on demand.
//
//  1. Extents of a topic are in offset order and do not overlap; entries of an extent have no holes.
//  2. An extent has entries in memory exactly as long as its section is 0.
//  3. A segment's live bytes are the sum of its extents' live bytes.
//  4. A topic's next offset never falls as long as the topic is known.
type index struct {
	mu       sync.RWMutex
	topics   map[engine.TopicID]*topic
	segments map[uint64]*segment // those that the index may refer to, the active one included
	tail     tail
}

type topicRef = engine.TopicID

type topic struct {
	next    engine.Offset
	extents []extent
}

// extent is a run of a topic's blocks in one segment.
type extent struct {
	segment  *segment
	first    engine.Offset // of the first message that is not trimmed, or a little less
	base     engine.Offset // what entries count their offsets from
	end      engine.Offset // behind the last message
	baseTime int64         // what entries count their times from, Unix nanoseconds
	lastTime int64         // publish time of the last block
	live     int64         // bytes of records that are not trimmed
	section  int64         // where the segment's footer has the entries; 0: they are in memory
	crc      uint32        // of the section
	blocks   uint32        // in the section
	entries  []entry
}

// entry is one block. Offsets and times are differences from the extent's base.
type entry struct {
	first  uint32
	offset uint32 // of the record's header, bytes from the start of the segment
	size   uint32 // of the body, bytes
	count  uint32
	time   uint32 // milliseconds
}

// segmentBytesMax keeps places within an entry's 32 bits.
const segmentBytesMax = 4<<30 - 1

func newIndex(tailBytes int64) *index {
	return &index{
		topics:   map[engine.TopicID]*topic{},
		segments: map[uint64]*segment{},
		tail:     tail{max: tailBytes},
	}
}

func (e *entry) recordBytes() int64 { return int64(recordBytes(engine.KindBlock, int(e.size))) }

func (x *extent) offsetOf(e *entry) engine.Offset { return x.base + engine.Offset(e.first) }

func (x *extent) timeOf(e *entry) int64 { return x.baseTime + int64(e.time)*int64(time.Millisecond) }

// takes tells whether a block can become the extent's next entry.
func (x *extent) takes(s *segment, h *recordHeader) bool {
	const far = 1 << 31
	return x.segment == s && x.section == 0 && x.end == h.stamp.First && h.stamp.First-x.base < far &&
		(h.stamp.Time-x.baseTime)/int64(time.Millisecond) < far
}

// add takes in a durable block whose record is at a byte of a segment. The lock is held.
func (x *index) add(s *segment, offset int64, h *recordHeader) error {
	t := x.topics[h.topic]
	if t == nil {
		t = &topic{next: h.stamp.First}
		x.topics[h.topic] = t
	}
	if h.stamp.First != t.next {
		return fmt.Errorf("topic %d: block begins with offset %d where %d was due", h.topic, h.stamp.First, t.next)
	}
	t.add(h.topic, s, offset, h)
	t.next += engine.Offset(h.count)
	return nil
}

// add appends an entry to the last extent, or begins a new one.
func (t *topic) add(id engine.TopicID, s *segment, offset int64, h *recordHeader) {
	last := len(t.extents) - 1
	if last < 0 || !t.extents[last].takes(s, h) {
		t.extents = append(t.extents, extent{
			segment: s, first: h.stamp.First, base: h.stamp.First, end: h.stamp.First, baseTime: h.stamp.Time,
		})
		s.topics = append(s.topics, id)
		last++
	}
	t.extents[last].append(h, offset)
}

func (x *extent) append(h *recordHeader, offset int64) {
	e := entry{
		first:  uint32(h.stamp.First - x.base),
		offset: uint32(offset),
		size:   h.length,
		count:  h.count,
		time:   uint32((h.stamp.Time - x.baseTime) / int64(time.Millisecond)),
	}
	x.entries = append(x.entries, e)
	x.blocks++
	x.end += engine.Offset(h.count)
	x.lastTime = h.stamp.Time
	x.live += e.recordBytes()
	x.segment.live += e.recordBytes()
}

// trim forgets blocks that are wholly before the offset.
func (x *index) trim(id engine.TopicID, before engine.Offset) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.topics[id]
	if t == nil {
		return
	}
	gone := t.find(before)
	for i := range t.extents[:gone] {
		t.extents[i].segment.live -= t.extents[i].live
	}
	t.extents = slices.Delete(t.extents, 0, gone)
	if len(t.extents) == 0 {
		t.extents = nil
	} else if t.extents[0].first < before {
		t.extents[0].trim(before)
	}
	if before == engine.Everything {
		delete(x.topics, id)
	}
}

// trim forgets the extent's blocks that are wholly before the offset, which is inside of it. Without entries at hand, live bytes are
// reckoned in proportion.
func (x *extent) trim(before engine.Offset) {
	if x.section != 0 {
		rest := int64(float64(x.live) * float64(x.end-before) / float64(x.end-x.first))
		x.segment.live -= x.live - rest
		x.live, x.first = rest, before
		return
	}
	gone := x.search(before)
	for i := range x.entries[:gone] {
		x.segment.live -= x.entries[i].recordBytes()
		x.live -= x.entries[i].recordBytes()
	}
	x.entries = x.entries[gone:]
	x.blocks = uint32(len(x.entries))
	x.first = x.offsetOf(&x.entries[0])
}

// find gives the first extent that holds the offset or a later one: the number of extents when there is none.
func (t *topic) find(from engine.Offset) int {
	return sort.Search(len(t.extents), func(i int) bool { return t.extents[i].end > from })
}

// search gives the first entry that holds the offset or a later one.
func (x *extent) search(from engine.Offset) int { return searchEntries(x.entries, x.base, from) }

func searchEntries(entries []entry, base, from engine.Offset) int {
	return sort.Search(len(entries), func(i int) bool {
		return base+engine.Offset(entries[i].first)+engine.Offset(entries[i].count) > from
	})
}

// forget is trim of everything for a replayed record.
func (x *index) forget(id engine.TopicID) { x.trim(id, engine.Everything) }
