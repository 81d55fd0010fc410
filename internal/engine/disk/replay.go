package disk

import (
	"context"
	"fmt"
	"slices"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// replay applies the commits after the checkpoint, segment by segment, up to the end of the log.
func (r *recovery) replay(ctx context.Context) error {
	id, from := r.used.at.segment, r.used.at.offset
	for id != 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		g := r.shard.index.segments[id]
		if g == nil {
			var err error
			if g, err = r.segment(summary{id: id}); err != nil {
				return err
			}
		}
		r.replayed = append(r.replayed, id)
		next, err := r.replaySegment(g, from)
		if err != nil {
			return err
		}
		g.sealed = true
		r.tail = g
		id, from = next, pageBytes
	}
	return nil
}

// replaySegment applies the commits of one segment from a byte on, and tells where the log goes on: 0 when it ends here.
func (r *recovery) replaySegment(g *segment, from int64) (next uint64, err error) {
	f, err := r.options.FS.Open(r.path(segmentName(g.id)))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	reader := newLogReader(f, g)
	follower := r.follower(g.id)
	for at := from; ; {
		if follower != nil && at >= follower.prevEnd {
			return follower.id, r.endAt(g, at, follower)
		}
		c, err := reader.commit(at)
		if err != nil {
			return 0, err
		}
		if c.flaw == nil && (c.header.seq != r.seq+1 || c.header.epoch < r.epoch) {
			c.flaw = &flaw{at: c.header.at, reason: fmt.Sprintf("commit %d of epoch %d follows commit %d of epoch %d",
				c.header.seq, c.header.epoch, r.seq, r.epoch)}
		}
		if c.flaw != nil {
			torn, err := r.judge(g, at, c.flaw, follower)
			if torn || err != nil {
				return 0, err
			}
		}
		sealedFor, err := r.take(g, &c)
		if err != nil {
			return 0, err
		}
		at = c.header.end()
		r.shard.committer.sinceLast += at - c.header.at.offset
		if sealedFor != nil && (*sealedFor != 0 || follower == nil) {
			return r.leave(g, at, *sealedFor)
		}
	}
}

// follower is the segment that was begun when this one had ended without a seal.
func (r *recovery) follower(id uint64) *segmentHeader {
	for _, h := range r.heads {
		if h.prev == id && h.prevEnd > 0 && !h.compacted() {
			return &h
		}
	}
	return nil
}

// endAt ends a segment where its follower says.
func (r *recovery) endAt(g *segment, at int64, follower *segmentHeader) error {
	if at != follower.prevEnd || r.seq != follower.prevSeq {
		return r.refuse(segmentName(g.id), fmt.Sprintf("ends at byte %d with commit %d, but %s says byte %d and commit %d",
			at, r.seq, segmentName(follower.id), follower.prevEnd, follower.prevSeq))
	}
	if !g.footed {
		v, err := r.survey(g, at, surveyBytes)
		if err != nil {
			return err
		}
		g.torn, g.shrink = v.used, true
	}
	g.end = at
	return nil
}

// leave ends a segment behind its seal: 0 is the seal of a clean stop.
func (r *recovery) leave(g *segment, at int64, next uint64) (uint64, error) {
	g.end = at
	if next == 0 {
		r.clean, g.shrink = true, true
		return 0, nil
	}
	if h, found := r.heads[next]; !found {
		return 0, r.refuse(segmentName(next), "is missing: "+segmentName(g.id)+" says that the log goes on in it")
	} else if h.prev != g.id || h.prevEnd != 0 {
		return 0, r.refuse(segmentName(next), fmt.Sprintf("does not follow %s", segmentName(g.id)))
	}
	return next, nil
}

// judge decides about a commit that does not check out: torn ends the log before it, an error refuses the store, and neither means
// that the commit stands, with bodies that will not be served.
func (r *recovery) judge(g *segment, at int64, f *flaw, follower *segmentHeader) (torn bool, err error) {
	here := position{g.id, at}
	durable, used := follower != nil, at
	if !durable {
		behind, err := r.behind(g, at)
		if err != nil {
			return false, err
		}
		durable, used = here.before(behind.synced), behind.used
	}
	switch {
	case !durable:
		g.end, g.torn, g.shrink = at, used, true
		if g.torn > at {
			r.options.Logger.Warn("the log ends with an incomplete commit, which nobody was told of", "file", segmentName(g.id), "byte", at,
				"reason", f.reason)
		}
		return true, nil
	case f.bodies:
		r.shard.damaged(&engine.CorruptError{File: r.path(segmentName(g.id)), Offset: f.at.offset, Reason: f.reason})
		return false, nil
	default:
		return false, &FileError{Path: r.path(segmentName(g.id)), Offset: f.at.offset, Reason: f.reason}
	}
}

// behind surveys all that was written behind a place, here and in later segments.
func (r *recovery) behind(g *segment, at int64) (survey, error) {
	v, err := r.survey(g, at, segmentBytesMax)
	if err != nil {
		return v, err
	}
	for id, h := range r.heads {
		if id <= g.id || h.compacted() {
			continue
		}
		later, err := r.survey(&segment{segmentHeader: h, salt: r.store.salt(id)}, pageBytes, segmentBytesMax)
		if err != nil {
			return v, err
		}
		if v.synced.before(later.synced) {
			v.synced = later.synced
		}
	}
	return v, nil
}

// take applies a commit and learns from the engine's own records in it. sealedFor is the successor that a seal names.
func (r *recovery) take(g *segment, c *scanned) (sealedFor *uint64, err error) {
	s := r.shard
	r.seq, r.epoch = c.header.seq, c.header.epoch
	var h recordHeader
	for i := commitHeaderBytes; i < len(c.bytes); i += h.bytes() {
		h.decode(c.bytes[i:])
		if h.kind == engine.KindBlock {
			s.nextID = max(s.nextID, h.stamp.ID+uint64(h.count))
			s.lastTime = max(s.lastTime, h.stamp.Time)
			continue
		}
		if h.kind < kindOwnMin || h.length != 8 {
			continue
		}
		value := little.Uint64(c.bytes[i+noteHeaderBytes:])
		switch h.kind {
		case kindSeal:
			sealedFor = &value
		case kindMark, kindOpen:
			if !slices.Contains(r.numbers, value) {
				return nil, r.refuse(checkpointName(value), "is missing: the log says that it is complete")
			}
		}
	}
	return sealedFor, s.absorb(g, c.header.at.offset, c.bytes, nil, 0)
}
