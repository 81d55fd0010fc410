// Package index knows where the durable blocks of each topic are.
package index

import (
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/cache"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// Index holds
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
type Index struct {
	Mu       sync.RWMutex
	Topics   map[engine.TopicID]*Topic
	Segments map[uint64]*Segment // those that the index may refer to, the active one included
	Tail     cache.Tail
}

// Topic is what the index knows of a topic.
type Topic struct {
	Next    engine.Offset
	Extents []Extent
}

// Extent is a run of a topic's blocks in one segment, and where the segment is. Its section is 0 while its entries are in memory.
type Extent struct {
	layout.Run
	Segment *Segment
}

// SegmentBytesMax keeps places within an entry's 32 bits.
const SegmentBytesMax = 4<<30 - 1

// New makes an empty index, whose tail cache may hold so many bytes.
func New(tailBytes int64) *Index {
	return &Index{
		Topics:   map[engine.TopicID]*Topic{},
		Segments: map[uint64]*Segment{},
		Tail:     cache.Tail{Max: tailBytes},
	}
}

// Age lets the tail forget what is old; see [cache.Tail.Age]. When nothing is left, memory for the next arenas is given back, too.
func (x *Index) Age(now int64, arenas *cache.Arenas) {
	x.Mu.Lock()
	empty := x.Tail.Age(now)
	x.Mu.Unlock()
	if empty {
		arenas.Drain()
	}
}

// Add takes in a durable block whose record is at a byte of a segment. The lock is held.
func (x *Index) Add(s *Segment, offset int64, h *layout.RecordHeader) error {
	t := x.Topics[h.Topic]
	if t == nil {
		t = &Topic{Next: h.Stamp.First}
		x.Topics[h.Topic] = t
	}
	if h.Stamp.First != t.Next {
		return fmt.Errorf("topic %d: block begins with offset %d where %d was due", h.Topic, h.Stamp.First, t.Next)
	}
	t.add(h.Topic, s, offset, h)
	t.Next += engine.Offset(h.Count)
	return nil
}

// add appends an entry to the last extent, or begins a new one.
func (t *Topic) add(id engine.TopicID, s *Segment, offset int64, h *layout.RecordHeader) {
	last := len(t.Extents) - 1
	if last < 0 || t.Extents[last].Segment != s || t.Extents[last].Section != 0 || !t.Extents[last].Takes(h) {
		t.Extents = append(t.Extents, Extent{Run: layout.NewRun(h), Segment: s})
		s.topics = append(s.topics, id)
		last++
	}
	s.Live += t.Extents[last].Run.Add(h, offset)
}

// Trim forgets blocks that are wholly before the offset.
func (x *Index) Trim(id engine.TopicID, before engine.Offset) {
	x.Mu.Lock()
	defer x.Mu.Unlock()
	t := x.Topics[id]
	if t == nil {
		return
	}
	gone := t.Find(before)
	for i := range t.Extents[:gone] {
		t.Extents[i].Segment.Live -= t.Extents[i].Live
	}
	t.Extents = slices.Delete(t.Extents, 0, gone)
	if len(t.Extents) == 0 {
		t.Extents = nil
	} else if t.Extents[0].First < before {
		t.Extents[0].trim(before)
	}
	if before == engine.Everything {
		delete(x.Topics, id)
	}
}

// trim forgets the extent's blocks that are wholly before the offset, which is inside of it. Without entries at hand, live bytes are
// reckoned in proportion.
func (x *Extent) trim(before engine.Offset) {
	if x.Section != 0 {
		rest := int64(float64(x.Live) * float64(x.End-before) / float64(x.End-x.First))
		x.Segment.Live -= x.Live - rest
		x.Live, x.First = rest, before
		return
	}
	gone := x.search(before)
	for i := range x.Entries[:gone] {
		x.Segment.Live -= x.Entries[i].RecordBytes()
		x.Live -= x.Entries[i].RecordBytes()
	}
	x.Entries = x.Entries[gone:]
	x.Blocks = uint32(len(x.Entries))
	x.First = x.OffsetOf(&x.Entries[0])
}

// Find gives the first extent that holds the offset or a later one: the number of extents when there is none.
func (t *Topic) Find(from engine.Offset) int {
	return sort.Search(len(t.Extents), func(i int) bool { return t.Extents[i].End > from })
}

// search gives the first entry that holds the offset or a later one.
func (x *Extent) search(from engine.Offset) int { return SearchEntries(x.Entries, x.Base, from) }

// SearchEntries gives the first of entries, which count from base, that holds the offset or a later one.
func SearchEntries(entries []layout.Entry, base, from engine.Offset) int {
	return sort.Search(len(entries), func(i int) bool {
		return base+engine.Offset(entries[i].First)+engine.Offset(entries[i].Count) > from
	})
}

// Forget is trim of everything for a replayed record.
func (x *Index) Forget(id engine.TopicID) { x.Trim(id, engine.Everything) }

// RunsOf copies the runs of a sealed segment that have entries in memory, by topic and offset. Nobody adds to their entries.
func (x *Index) RunsOf(g *Segment) []layout.Run {
	x.Mu.RLock()
	defer x.Mu.RUnlock()
	topics := slices.Clone(g.topics)
	slices.Sort(topics)
	var runs []layout.Run
	for _, id := range slices.Compact(topics) {
		t := x.Topics[id]
		if t == nil {
			continue
		}
		for i := range t.Extents {
			if e := &t.Extents[i]; e.Segment == g && e.Section == 0 {
				runs = append(runs, e.Run)
			}
		}
	}
	return runs
}

// Footed says that the footer is durable: it replaces entries in memory by sections of the footer. What was trimmed meanwhile stays trimmed.
func (x *Index) Footed(g *Segment, runs []layout.Run, fileBytes int64) {
	x.Mu.Lock()
	defer x.Mu.Unlock()
	for i := range runs {
		t := x.Topics[runs[i].Topic]
		if t == nil {
			continue
		}
		for j := range t.Extents {
			if e := &t.Extents[j]; e.Segment == g && e.End == runs[i].End {
				e.Section, e.CRC, e.Blocks, e.Entries = runs[i].Section, runs[i].CRC, runs[i].Blocks, nil
			}
		}
	}
	g.Footed, g.topics, g.FileBytes = true, nil, fileBytes
}
