package index

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// world is an index beside a list of everything that is in it.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	x      *Index
	active *Segment
	at     int64
	nextID uint64
	time   int64
	blocks map[engine.TopicID][]placed // not trimmed
	next   map[engine.TopicID]engine.Offset
}

type placed struct {
	h       layout.RecordHeader
	segment uint64
	offset  int64
}

var store = layout.StoreID{1, 2, 3}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), x: New(0), nextID: 1, time: 1_700_000_000_000_000_000,
		blocks: map[engine.TopicID][]placed{}, next: map[engine.TopicID]engine.Offset{},
	}
	w.begin()
	return w
}

// begin goes on in a new segment.
func (w *world) begin() {
	w.active = w.segment()
	w.x.Segments[w.active.ID] = w.active
	w.at = layout.PageBytes
}

func (w *world) segment() *Segment {
	w.nextID++
	return NewSegment(layout.SegmentHeader{ID: w.nextID, Size: 1 << 20}, store, nil)
}

func (w *world) add() {
	topic := engine.TopicID(w.rng.IntN(5))
	h := layout.RecordHeader{Kind: engine.KindBlock, Topic: topic, Length: uint32(1 + w.rng.IntN(900)), Count: uint32(1 + w.rng.IntN(4))}
	w.time += int64(w.rng.IntN(3)) * 1_000_000
	h.Stamp = engine.Stamp{First: w.next[topic], Time: w.time}
	if err := w.x.Add(w.active, w.at, &h); err != nil {
		w.t.Fatal(err)
	}
	w.blocks[topic] = append(w.blocks[topic], placed{h, w.active.ID, w.at})
	w.next[topic] += engine.Offset(h.Count)
	w.at += int64(h.Bytes())
}

func (w *world) trim() {
	topic := engine.TopicID(w.rng.IntN(5))
	if w.next[topic] == 0 {
		return
	}
	before := engine.Offset(w.rng.Uint64N(uint64(w.next[topic]) + 1))
	if w.rng.IntN(20) == 0 {
		before = engine.Everything
	}
	w.x.Trim(topic, before)
	w.blocks[topic] = slices.DeleteFunc(w.blocks[topic], func(p placed) bool { return p.h.Stamp.First+engine.Offset(p.h.Count) <= before })
	if before == engine.Everything {
		delete(w.blocks, topic)
		delete(w.next, topic)
	}
}

// seal ends the active segment, and writes its footer or not.
func (w *world) seal() *Segment {
	g := w.active
	g.Sealed, g.End = true, w.at
	w.begin()
	if runs := w.x.RunsOf(g); w.rng.IntN(3) > 0 {
		layout.MakeFooter(runs, layout.AlignUp(g.End), store, g.ID, g.End)
		w.remember(g, runs)
		w.x.Footed(g, runs, g.Size)
	}
	return g
}

// sections stands for the footers in files.
var sections = map[uint64]map[int64][]layout.Entry{}

func (w *world) remember(g *Segment, runs []layout.Run) {
	sections[g.ID] = map[int64][]layout.Entry{}
	for _, r := range runs {
		sections[g.ID][r.Section] = r.Entries
	}
}

// move compacts some sealed segments that have footers.
func (w *world) move() {
	var from []*Segment
	for _, g := range w.x.Segments {
		if g.Footed && g.Live > 0 && w.rng.IntN(2) == 0 {
			from = append(from, g)
		}
	}
	if len(from) == 0 {
		return
	}
	to, at := w.segment(), int64(layout.PageBytes)
	to.Sealed, to.Footed = true, true
	var runs []layout.Run
	moved := map[engine.TopicID]map[engine.Offset]int64{}
	for _, x := range w.x.ExtentsIn(from) {
		entries := entriesOf(&x)
		for i := SearchEntries(entries, x.Base, x.First); i < len(entries); i++ {
			e := &entries[i]
			h := layout.RecordHeader{Kind: engine.KindBlock, Topic: x.Topic, Length: e.Size, Count: e.Count}
			h.Stamp = engine.Stamp{First: x.OffsetOf(e), Time: x.TimeOf(e)}
			last := len(runs) - 1
			if last < 0 || runs[last].Topic != x.Topic || !runs[last].Takes(&h) {
				runs = append(runs, layout.NewRun(&h))
				last++
			}
			runs[last].Add(&h, at)
			if moved[x.Topic] == nil {
				moved[x.Topic] = map[engine.Offset]int64{}
			}
			moved[x.Topic][h.Stamp.First] = at
			at += int64(h.Bytes())
		}
	}
	layout.MakeFooter(runs, layout.AlignUp(at), store, to.ID, at)
	w.remember(to, runs)
	if w.rng.IntN(2) == 0 {
		w.trim() // as may happen while the blocks are copied
	}
	w.x.Move(from, to, runs)
	for topic, blocks := range w.blocks {
		for i := range blocks {
			if offset, found := moved[topic][blocks[i].h.Stamp.First]; found {
				blocks[i].segment, blocks[i].offset = to.ID, offset
			}
		}
	}
}

func entriesOf(x *Extent) []layout.Entry {
	if x.Section != 0 {
		return sections[x.Segment.ID][x.Section]
	}
	return x.Entries
}

// check compares all that the index knows.
func (w *world) check() {
	w.t.Helper()
	live := map[uint64]int64{}
	for topic, want := range w.blocks {
		t := w.x.Topics[topic]
		if t == nil || t.Next != w.next[topic] {
			w.t.Fatalf("topic %d: %+v, want next %d", topic, t, w.next[topic])
		}
		var got []placed
		for i := range t.Extents {
			x := &t.Extents[i]
			live[x.Segment.ID] += x.Live
			if i > 0 && x.First < t.Extents[i-1].End || (x.Section == 0) != (x.Entries != nil) {
				w.t.Fatalf("topic %d: extents %+v", topic, t.Extents)
			}
			entries := entriesOf(x)
			for j := SearchEntries(entries, x.Base, x.First); j < len(entries); j++ {
				e := &entries[j]
				h := layout.RecordHeader{Kind: engine.KindBlock, Topic: topic, Length: e.Size, Count: e.Count}
				h.Stamp = engine.Stamp{First: x.OffsetOf(e), Time: x.TimeOf(e)}
				got = append(got, placed{h, x.Segment.ID, int64(e.Offset)})
			}
		}
		if !slices.Equal(got, want) {
			w.t.Fatalf("topic %d has\n%v\nwant\n%v", topic, got, want)
		}
		for range 5 {
			w.checkFind(t, want)
		}
	}
	for id, g := range w.x.Segments {
		if g.Live != live[id] || g.Live < 0 {
			w.t.Fatalf("segment %d: %d bytes live, want %d", id, g.Live, live[id])
		}
	}
}

func (w *world) checkFind(t *Topic, want []placed) {
	w.t.Helper()
	from := engine.Offset(w.rng.Uint64N(uint64(t.Next) + 2))
	k := slices.IndexFunc(want, func(p placed) bool { return p.h.Stamp.First+engine.Offset(p.h.Count) > from })
	i := t.Find(from)
	if k < 0 {
		if i != len(t.Extents) {
			w.t.Fatalf("found extent %d for offset %d, behind the last", i, from)
		}
		return
	}
	x := &t.Extents[i]
	entries := entriesOf(x)
	e := &entries[SearchEntries(entries, x.Base, max(from, x.First))]
	if x.OffsetOf(e) != want[k].h.Stamp.First {
		w.t.Fatalf("offset %d: found the block at %d, want %d", from, x.OffsetOf(e), want[k].h.Stamp.First)
	}
}

// reload sends the index through a checkpoint.
func (w *world) reload() {
	summaries, b := w.x.Encode(layout.At(w.active.ID, w.at))
	again := New(0)
	for _, m := range summaries {
		old := w.x.Segments[m.ID]
		g := NewSegment(old.SegmentHeader, store, nil)
		g.End, g.FileBytes = m.End, m.FileBytes
		g.Sealed, g.Footed = m.Flags&layout.SummarySealed != 0, m.Flags&layout.SummaryFooted != 0
		again.Segments[m.ID] = g
	}
	if !again.Decode(b) {
		w.t.Fatal("what was encoded cannot be decoded")
	}
	w.x, w.active = again, again.Segments[w.active.ID]
}

func TestIndexAgreesWithAList(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		for range 400 {
			switch n := w.rng.IntN(100); {
			case n < 75:
				w.add()
			case n < 88:
				w.trim()
			case n < 93:
				w.seal()
			case n < 96:
				w.move()
			default:
				w.check()
				w.reload()
				w.check()
			}
		}
		w.check()
	}
}

func TestOffsetsMustFollowEachOther(t *testing.T) {
	x := New(0)
	g := NewSegment(layout.SegmentHeader{ID: 1}, store, nil)
	h := layout.RecordHeader{Kind: engine.KindBlock, Topic: 1, Count: 2}
	if err := x.Add(g, layout.PageBytes, &h); err != nil {
		t.Fatal(err)
	}
	for _, first := range []engine.Offset{0, 1, 3} {
		h.Stamp.First = first
		if x.Add(g, 2*layout.PageBytes, &h) == nil {
			t.Errorf("offset %d follows the block of 0 and 1", first)
		}
	}
}
