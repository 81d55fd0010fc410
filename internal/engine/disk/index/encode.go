package index

import (
	"cmp"
	"maps"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// Encode writes the index's topics as a checkpoint has them, and the segments that a recovery from position at needs.
func (x *Index) Encode(at layout.Position) ([]layout.Summary, *layout.Body) {
	x.Mu.RLock()
	defer x.Mu.RUnlock()
	b := &layout.Body{Topics: uint64(len(x.Topics))}
	for _, id := range slices.Sorted(maps.Keys(x.Topics)) {
		t := x.Topics[id]
		b.Index = layout.Little.AppendUint64(b.Index, uint64(id))
		b.Index = layout.Little.AppendUint64(b.Index, uint64(t.Next))
		b.Index = layout.Little.AppendUint64(b.Index, uint64(len(t.Extents)))
		for i := range t.Extents {
			r := &t.Extents[i]
			b.Index = layout.Little.AppendUint64(b.Index, r.Segment.ID)
			b.Index = r.Row.Append(b.Index)
			b.Index = layout.AppendEntries(b.Index, r.Entries)
		}
	}
	var segments []layout.Summary
	for _, g := range x.Segments {
		if g.Live > 0 || !g.Compacted() && g.ID >= at.Segment {
			segments = append(segments, g.summary())
		}
	}
	slices.SortFunc(segments, func(a, b layout.Summary) int { return cmp.Compare(a.ID, b.ID) })
	return segments, b
}

func (g *Segment) summary() layout.Summary {
	m := layout.Summary{ID: g.ID, End: g.End, FileBytes: g.FileBytes}
	if g.Compacted() {
		m.Flags |= layout.SummaryCompacted
	}
	if g.Sealed {
		m.Flags |= layout.SummarySealed
	}
	if g.Footed {
		m.Flags |= layout.SummaryFooted
	}
	return m
}

// Decode rebuilds the topics of an index whose segments are known. It reports false for bytes that no encode wrote.
func (x *Index) Decode(b *layout.Body) bool {
	p := b.Index
	take := func(n uint64) []byte {
		if uint64(len(p)) < n {
			p = nil
			return nil
		}
		head := p[:n]
		p = p[n:]
		return head
	}
	for range b.Topics {
		h := take(24)
		if h == nil {
			return false
		}
		id, t := engine.TopicID(layout.Little.Uint64(h)), &Topic{Next: engine.Offset(layout.Little.Uint64(h[8:]))}
		for range layout.Little.Uint64(h[16:]) {
			e := take(8 + layout.RowBytes)
			if e == nil {
				return false
			}
			r := Extent{Run: layout.Run{Row: layout.DecodeRow(e[8:])}, Segment: x.Segments[layout.Little.Uint64(e)]}
			if r.Segment == nil || r.Topic != id || r.Blocks == 0 {
				return false
			}
			if r.Section == 0 {
				entries := take(uint64(r.Blocks) * layout.EntryBytes)
				if entries == nil {
					return false
				}
				r.Entries = layout.DecodeEntries(entries)
				r.Segment.topics = append(r.Segment.topics, id)
			}
			r.Segment.Live += r.Live
			t.Extents = append(t.Extents, r)
		}
		x.Topics[id] = t
	}
	return len(p) == 0
}
