package index

import (
	"cmp"
	"maps"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// ExtentsIn copies the extents in some segments, by topic and offset.
func (x *Index) ExtentsIn(segments []*Segment) []Extent {
	x.Mu.RLock()
	defer x.Mu.RUnlock()
	var found []Extent
	for _, id := range slices.Sorted(maps.Keys(x.Topics)) {
		for _, e := range x.Topics[id].Extents {
			if slices.Contains(segments, e.Segment) {
				found = append(found, e)
			}
		}
	}
	return found
}

// Move lets the index find in a new, footed segment what it found in others. runs, by topic and offset, hold every block of the others
// that was not trimmed when their extents were copied; what was trimmed since stays trimmed.
func (x *Index) Move(from []*Segment, to *Segment, runs []layout.Run) {
	x.Mu.Lock()
	defer x.Mu.Unlock()
	x.Segments[to.ID] = to
	for len(runs) > 0 {
		n := 1
		for n < len(runs) && runs[n].Topic == runs[0].Topic {
			n++
		}
		if t := x.Topics[runs[0].Topic]; t != nil {
			t.move(from, to, runs[:n])
		}
		runs = runs[n:]
	}
}

// move replaces the topic's extents in some segments by runs. It may have been trimmed since the runs' blocks were copied. The first extent
// that is left of the sources tells how far: a run that ends before it is gone, and one that reaches into it begins there. All behind
// it is still needed, for topics are trimmed from the front only.
func (t *Topic) move(from []*Segment, to *Segment, runs []layout.Run) {
	kept := make([]Extent, 0, len(t.Extents)+len(runs))
	first, found := engine.Offset(0), false
	for i := range t.Extents {
		e := &t.Extents[i]
		if !slices.Contains(from, e.Segment) {
			kept = append(kept, *e)
			continue
		}
		if !found {
			first, found = e.First, true
		}
		e.Segment.Live -= e.Live
	}
	if !found {
		return // all of it was trimmed
	}
	for _, r := range runs {
		if r.End <= first {
			continue
		}
		r.Live = 0
		for _, e := range r.Entries[SearchEntries(r.Entries, r.Base, first):] {
			r.Live += e.RecordBytes()
		}
		r.First, r.Entries = max(r.First, first), nil
		to.Live += r.Live
		kept = append(kept, Extent{Run: r, Segment: to})
	}
	slices.SortFunc(kept, func(a, b Extent) int { return cmp.Compare(a.First, b.First) })
	t.Extents = kept
}
