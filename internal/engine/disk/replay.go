package disk

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// replay applies the commits after the checkpoint, segment by segment, up to the end of the log.
func (r *recovery) replay(ctx context.Context) error {
	id, from := r.used.At.Segment, r.used.At.Offset
	for id != 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		g := r.shard.index.Segments[id]
		if g == nil {
			var err error
			if g, err = r.segment(layout.Summary{ID: id}); err != nil {
				return err
			}
		}
		r.replayed = append(r.replayed, id)
		next, err := r.replaySegment(g, from)
		if err != nil {
			return err
		}
		g.Sealed = true
		r.tail = g
		id, from = next, layout.PageBytes
	}
	return nil
}

// replaySegment applies the commits of one segment from a byte on, and tells where the log goes on: 0 when it ends here.
func (r *recovery) replaySegment(g *index.Segment, from int64) (next uint64, err error) {
	f, err := r.options.FS.Open(r.path(layout.SegmentName(g.ID)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	reader := layout.NewReader(f, g.ID, g.Salt)
	follower := r.follower(g.ID)
	for at := from; ; {
		if follower != nil && at >= follower.PrevEnd {
			return follower.ID, r.endAt(g, at, follower)
		}
		c, err := reader.Commit(at)
		if err != nil {
			return 0, err
		}
		if c.Flaw == nil && (c.Header.Seq != r.seq+1 || c.Header.Epoch < r.epoch) {
			c.Flaw = &layout.Flaw{At: c.Header.At, Reason: fmt.Sprintf("commit %d of epoch %d follows commit %d of epoch %d",
				c.Header.Seq, c.Header.Epoch, r.seq, r.epoch)}
		}
		if c.Flaw != nil {
			torn, err := r.judge(g, at, c.Flaw, follower)
			if torn || err != nil {
				return 0, err
			}
		}
		sealedFor, err := r.take(g, &c)
		if err != nil {
			return 0, err
		}
		at = c.Header.End()
		r.shard.committer.sinceLast += at - c.Header.At.Offset
		if sealedFor != nil && (*sealedFor != 0 || follower == nil) {
			return r.leave(g, at, *sealedFor)
		}
	}
}

// follower is the segment that was begun when this one had ended without a seal.
func (r *recovery) follower(id uint64) *layout.SegmentHeader {
	for _, h := range r.heads {
		if h.Prev == id && h.PrevEnd > 0 && !h.Compacted() {
			return &h
		}
	}
	return nil
}

// endAt ends a segment where its follower says.
func (r *recovery) endAt(g *index.Segment, at int64, follower *layout.SegmentHeader) error {
	if at != follower.PrevEnd || r.seq != follower.PrevSeq {
		return r.refuse(layout.SegmentName(g.ID), fmt.Sprintf("ends at byte %d with commit %d, but %s says byte %d and commit %d",
			at, r.seq, layout.SegmentName(follower.ID), follower.PrevEnd, follower.PrevSeq))
	}
	if !g.Footed {
		v, err := r.survey(g, at, layout.SurveyBytes)
		if err != nil {
			return err
		}
		g.Torn, g.Shrink = v.Used, true
	}
	g.End = at
	return nil
}

// leave ends a segment behind its seal: 0 is the seal of a clean stop.
func (r *recovery) leave(g *index.Segment, at int64, next uint64) (uint64, error) {
	g.End = at
	if next == 0 {
		r.clean, g.Shrink = true, true
		return 0, nil
	}
	if h, found := r.heads[next]; !found {
		return 0, r.refuse(layout.SegmentName(next), "is missing: "+layout.SegmentName(g.ID)+" says that the log goes on in it")
	} else if h.Prev != g.ID || h.PrevEnd != 0 {
		return 0, r.refuse(layout.SegmentName(next), fmt.Sprintf("does not follow %s", layout.SegmentName(g.ID)))
	}
	return next, nil
}

// judge decides about a commit that does not check out: torn ends the log before it, an error refuses the store, and neither means
// that the commit stands, with bodies that will not be served.
func (r *recovery) judge(g *index.Segment, at int64, f *layout.Flaw, follower *layout.SegmentHeader) (torn bool, err error) {
	here := layout.At(g.ID, at)
	durable, used := follower != nil, at
	if !durable {
		behind, err := r.behind(g, at)
		if err != nil {
			return false, err
		}
		durable, used = here.Before(behind.Synced), behind.Used
	}
	switch {
	case !durable:
		g.End, g.Torn, g.Shrink = at, used, true
		// A header that does not check out is what the end of every log looks like where there were other bytes before.
		if f.At.Offset != at {
			r.options.Logger.Warn("the log ends with an incomplete commit, which nobody was told of", "file", layout.SegmentName(g.ID), "byte", at,
				"reason", f.Reason)
		}
		return true, nil
	case f.Bodies:
		r.shard.damaged(&engine.CorruptError{File: r.path(layout.SegmentName(g.ID)), Offset: f.At.Offset, Reason: f.Reason})
		return false, nil
	default:
		return false, cmp.Or(r.gap(g.ID), error(&layout.FileError{
			Path: r.path(layout.SegmentName(g.ID)), Offset: f.At.Offset, Reason: f.Reason,
		}))
	}
}

// gap finds a segment behind this one that is missing. Without it, the log seems to go on in the segment before it, and that one to be
// damaged.
func (r *recovery) gap(id uint64) error {
	for _, later := range slices.Sorted(maps.Keys(r.heads)) {
		h := r.heads[later]
		if _, found := r.heads[h.Prev]; later > id && !h.Compacted() && !found {
			return r.refuse(layout.SegmentName(h.Prev), "is missing: "+layout.SegmentName(later)+" follows it")
		}
	}
	return nil
}

// behind surveys all that was written behind a place, here and in later segments.
func (r *recovery) behind(g *index.Segment, at int64) (layout.Survey, error) {
	v, err := r.survey(g, at, index.SegmentBytesMax)
	if err != nil {
		return v, err
	}
	for id, h := range r.heads {
		if id <= g.ID || h.Compacted() {
			continue
		}
		later, err := r.surveyWhole(h)
		if err != nil {
			return v, err
		}
		if v.Synced.Before(later.Synced) {
			v.Synced = later.Synced
		}
	}
	return v, nil
}

// take applies a commit, all of which was checked, and learns from the engine's own records in it. sealedFor is the successor that a seal names.
func (r *recovery) take(g *index.Segment, c *layout.Scanned) (sealedFor *uint64, err error) {
	s := r.shard
	r.seq, r.epoch = c.Header.Seq, c.Header.Epoch
	var h layout.RecordHeader
	for i := layout.CommitHeaderBytes; i < len(c.Bytes); i += h.Bytes() {
		h.Decode(c.Bytes[i:])
		if h.Kind == engine.KindBlock {
			s.nextID = max(s.nextID, h.Stamp.ID+uint64(h.Count))
			s.lastTime = max(s.lastTime, h.Stamp.Time)
			continue
		}
		if h.Kind < layout.KindOwnMin || h.Length != 8 {
			continue
		}
		value := layout.Little.Uint64(c.Bytes[i+layout.NoteHeaderBytes:])
		switch h.Kind {
		case layout.KindSeal:
			sealedFor = &value
		case layout.KindMark, layout.KindOpen:
			if !slices.Contains(r.numbers, value) {
				return nil, r.refuse(layout.CheckpointName(value), "is missing: the log says that it is complete")
			}
		}
	}
	return sealedFor, s.absorb(g, c.Header.At.Offset, c.Bytes, nil, 0)
}
