package index

import (
	"cmp"
	"maps"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// Encode writes the index's topics as a checkpoint has them, and the segments that a recovery from position at needs.
func (x *Index) Encode(at layout.Position) ([]layout.Summary, *layout.Body) {
	x.Mu.RLock()
	defer x.Mu.RUnlock()
	b := &layout.Body{Topics: uint64(len(x.Topics))}
	for _, id := range slices.Sorted(maps.Keys(x.Topics)) {
		t := x.Topics[id]
		b.Index = layout.AppendTopic(b.Index, id, t.Next, len(t.Extents))
		for i := range t.Extents {
			b.Index = layout.AppendPlaced(b.Index, t.Extents[i].Segment.ID, &t.Extents[i].Run)
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

// Decode rebuilds the topics of an index whose segments are known. It reports false for bytes that no Encode wrote.
func (x *Index) Decode(b *layout.Body) bool {
	return b.EachTopic(func(state *layout.TopicState) bool {
		t := &Topic{Next: state.Next}
		for _, r := range state.Runs {
			g := x.Segments[r.Segment]
			if g == nil {
				return false
			}
			if r.Section == 0 {
				g.topics = append(g.topics, state.Topic)
			}
			g.Live += r.Live
			t.Extents = append(t.Extents, Extent{Run: r.Run, Segment: g})
		}
		x.Topics[state.Topic] = t
		return true
	})
}
