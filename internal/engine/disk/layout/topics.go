package layout

import "github.com/posthaste-io/posthaste/internal/engine"

// TopicState is a topic as a checkpoint's index has it.
type TopicState struct {
	Topic engine.TopicID
	Next  engine.Offset
	Runs  []PlacedRun
}

// PlacedRun is a run and the segment it is in. Without a section it has its entries.
type PlacedRun struct {
	Segment uint64
	Run
}

const (
	topicBytes     = 24
	placedRowBytes = 8 + RowBytes
)

// AppendTopic begins a topic in a checkpoint's index; so many runs must follow.
func AppendTopic(b []byte, id engine.TopicID, next engine.Offset, runs int) []byte {
	b = Little.AppendUint64(b, uint64(id))
	b = Little.AppendUint64(b, uint64(next))
	return Little.AppendUint64(b, uint64(runs))
}

// AppendPlaced adds a run to the topic that was begun last.
func AppendPlaced(b []byte, segment uint64, r *Run) []byte {
	b = Little.AppendUint64(b, segment)
	b = r.Row.Append(b)
	if r.Section == 0 {
		b = AppendEntries(b, r.Entries)
	}
	return b
}

// EachTopic calls do for each topic of the index, until do returns false. t is valid until the next call; its runs' entries stay valid.
// EachTopic reports false if do did, or if the index is not one that this package writes.
func (b *Body) EachTopic(do func(t *TopicState) bool) bool {
	p := b.Index
	var t TopicState
	for range b.Topics {
		if len(p) < topicBytes {
			return false
		}
		t.Topic, t.Next, t.Runs = engine.TopicID(Little.Uint64(p)), engine.Offset(Little.Uint64(p[8:])), t.Runs[:0]
		runs := Little.Uint64(p[16:])
		p = p[topicBytes:]
		for range runs {
			if len(p) < placedRowBytes {
				return false
			}
			r := PlacedRun{Segment: Little.Uint64(p), Run: Run{Row: DecodeRow(p[8:])}}
			p = p[placedRowBytes:]
			if r.Topic != t.Topic || r.Blocks == 0 {
				return false
			}
			if n := int(r.Blocks) * EntryBytes; r.Section == 0 {
				if len(p) < n {
					return false
				}
				r.Entries = DecodeEntries(p[:n])
				p = p[n:]
			}
			t.Runs = append(t.Runs, r)
		}
		if !do(&t) {
			return false
		}
	}
	return len(p) == 0
}
