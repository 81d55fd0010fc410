package disk

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/cache"
	"github.com/posthaste-io/posthaste/internal/engine/disk/index"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
)

// What an appender does under the append lock decides the order of everything, and so the lock is the place where these hold:
//
//  1. The place of a record in the log, the offset, the id and the time of a block are given out together: the order of the log is
//     the order of offsets, of ids and of times.
//  2. The records of one Append are in one commit, one behind the other.
//  3. A commit is filled until it is closed, and never again. Commits are closed in the order of their places, and the committer takes
//     them in that order: the log has no holes.
//  4. There is always room behind the open commit for the segment's seal and footer.
//
// The lock is held for copying, not for waiting, checksums of bodies, or anything that touches a file.

// How much may wait for the disk. Beyond dirtyBytesMax appenders wait; one commit aims at no more than an arena.
const dirtyBytesMax = 32 << 20

// commit is a commit on its way to the disk. Appenders fill it under the shard's append lock as long as it is the open one; then it is
// the committer's.
type commit struct {
	segment *index.Segment
	arena   *cache.Arena
	start   int // of the commit in the arena
	bytes   int // of header and records, without the padding
	at      layout.Position
	seq     uint64
	records uint32
	urgent  bool           // somebody waits for it, or it has waited long enough
	next    *index.Segment // where the log goes on, if this commit seals its segment
	// done is closed when the commit is durable and applied, or never will be: then err says why.
	done chan struct{}
	err  error
}

func (c *commit) padded() int { return int(layout.AlignUp(int64(c.bytes))) }

// topicTail is what stamping needs to know of a topic.
type topicTail struct {
	next    engine.Offset
	segment uint64 // the last one that a block of it went to
}

// Append implements engine.Shard.
func (s *shard) Append(ctx context.Context, recs []engine.Record) error {
	if err := checkRecords(recs); err != nil {
		return err
	}
	c, err := s.enter(ctx, recs, true)
	if err != nil || c == nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Enqueue implements engine.Shard. It waits only while too much is on its way to the disk already.
func (s *shard) Enqueue(recs []engine.Record) error {
	if err := checkRecords(recs); err != nil {
		return err
	}
	_, err := s.enter(context.Background(), recs, false)
	return err
}

// appendOwn appends one of the engine's own records, even while the shard is being released, and waits for it.
func (s *shard) appendOwn(kind engine.Kind, value uint64) error {
	c, err := s.enterOwn(kind, value, true)
	if err != nil {
		return err
	}
	<-c.done
	return c.err
}

func (s *shard) enterOwn(kind engine.Kind, value uint64, urgent bool) (*commit, error) {
	return s.enter(context.Background(), []engine.Record{ownRecord(kind, value)}, urgent)
}

func ownRecord(kind engine.Kind, value uint64) engine.Record {
	return engine.Record{Kind: kind, Body: layout.Little.AppendUint64(nil, value)}
}

// checkRecords refuses what the log cannot hold. These are the caller's mistakes, found before anything was stored.
func checkRecords(recs []engine.Record) error {
	total := 0
	for i := range recs {
		r := &recs[i]
		switch {
		case r.Kind == 0 || r.Kind >= layout.KindOwnMin:
			return fmt.Errorf("disk: record of kind %d", r.Kind)
		case r.Kind == engine.KindBlock && r.Count == 0:
			return fmt.Errorf("disk: block without messages for topic %d", r.Topic)
		case len(r.Body) > engine.RecordBytesMax:
			return fmt.Errorf("disk: record of %d bytes, at most %d can be stored", len(r.Body), engine.RecordBytesMax)
		}
		total += layout.RecordBytes(r.Kind, len(r.Body))
	}
	if total > layout.CommitBytesMax {
		return fmt.Errorf("disk: %d bytes in one append, at most %d can be stored", total, layout.CommitBytesMax)
	}
	return nil
}

// enter gives the records their place in the log, all in one commit, and returns that commit: nil if there are no records.
func (s *shard) enter(ctx context.Context, recs []engine.Record, urgent bool) (*commit, error) {
	if len(recs) == 0 {
		return nil, nil
	}
	// The checksums of bodies, the costly part, are taken before the lock.
	var few [16]uint32
	sums, n, blocks := few[:0], 0, 0
	for i := range recs {
		sums = append(sums, crc32.Checksum(recs[i].Body, layout.Castagnoli))
		n += layout.RecordBytes(recs[i].Kind, len(recs[i].Body))
		if recs[i].Kind == engine.KindBlock {
			blocks++
		}
	}
	s.mu.Lock()
	if err := s.admit(ctx, recs[0].Kind, n, blocks); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	c := s.open
	now := int64(0)
	if blocks > 0 {
		now = s.publishTime()
	}
	for i := range recs {
		s.place(c, &recs[i], sums[i], now)
	}
	if urgent {
		c.urgent = true
	} else if !c.urgent && !s.lazyArmed {
		s.lazyArmed = true
		s.lazy.Reset(engine.LazyMax)
	}
	// One appender wakes the committer. A committer at work looks for an urgent commit before it goes idle, so nobody is missed, and
	// an appender under load does not touch the channel at all.
	wake := c.urgent && s.idle
	s.idle = s.idle && !wake
	s.mu.Unlock()
	s.appends.Add(1)
	if wake {
		s.kick()
	}
	return c, nil
}

// publishTime is the time of what is appended now: it never falls, whatever the wall clock does. The append lock is held.
func (s *shard) publishTime() int64 {
	now := s.options.Clock.Wall()
	now -= now % int64(time.Millisecond)
	s.lastTime = max(s.lastTime, now)
	return s.lastTime
}

// place stamps a record and copies it to the end of the open commit, which has room for it. The append lock is held.
func (s *shard) place(c *commit, r *engine.Record, sum uint32, now int64) {
	h := layout.RecordHeader{Kind: r.Kind, Length: uint32(len(r.Body)), BodyCRC: sum}
	if r.Kind == engine.KindBlock {
		t := s.topics[r.Topic]
		if t.segment != c.at.Segment {
			t.segment = c.at.Segment
			s.segmentTopics++
		}
		s.segmentBlocks++
		r.Stamp = engine.Stamp{First: t.next, ID: s.nextID, Time: now}
		t.next += engine.Offset(r.Count)
		s.nextID += uint64(r.Count)
		s.topics[r.Topic] = t
		h.Topic, h.Count, h.Stamp = r.Topic, r.Count, r.Stamp
	}
	to := c.arena.Mem[c.start+c.bytes:]
	h.Encode(to, c.segment.Salt, c.at.Offset+int64(c.bytes))
	n := layout.HeaderBytes(r.Kind)
	n += copy(to[n:], r.Body)
	clear(to[n:h.Bytes()])
	c.bytes += h.Bytes()
	c.records++
	s.dirty += int64(h.Bytes())
}

// admit waits until the records may be appended, and leaves an open commit with room for n bytes. The append lock is held, but not
// while waiting.
func (s *shard) admit(ctx context.Context, kind engine.Kind, n, blocks int) error {
	// Everything is asked anew after each wait: the lock was free meanwhile, and the log may have failed, been released or been filled.
	for {
		var wait <-chan struct{}
		switch {
		case s.err != nil:
			return s.err
		case s.closing && kind != layout.KindMark && kind != layout.KindSeal:
			return engine.ErrClosed
		case blocks > 0 && (s.full.Load() || s.noNext) || s.outgrows(n, blocks):
			return engine.ErrFull // what is left of the active segment is for notes
		case s.dirty > dirtyBytesMax:
			wait = s.changed()
		case !(blocks > 0 && s.keptForNotes()) && s.room(n, blocks):
			return nil
		case s.noNext:
			return engine.ErrFull // not even notes have anywhere to go
		default:
			wait = s.changed()
		}
		s.mu.Unlock()
		s.kick()
		var err error
		select {
		case <-wait:
		case <-ctx.Done():
			err = ctx.Err()
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// changed gives a channel that is closed when something that appenders wait for has happened. The append lock is held.
func (s *shard) changed() <-chan struct{} {
	if s.news == nil {
		s.news = make(chan struct{})
	}
	return s.news
}

// announce wakes those who wait for changed. The append lock is held.
func (s *shard) announce() {
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// room makes the open commit one that can take n bytes of records. It reports false when the log must go on in a segment that is not
// there yet. The append lock is held.
func (s *shard) room(n, blocks int) bool {
	if c := s.open; c != nil {
		grown := int(layout.AlignUp(int64(c.bytes + n)))
		if c.start+grown <= len(c.arena.Mem) && c.at.Offset+int64(grown)+s.reserved(blocks) <= s.active.Size {
			return true
		}
		s.closeOpen()
	}
	need := int(layout.AlignUp(int64(layout.CommitHeaderBytes + n)))
	// A commit that is larger than any segment gets one to itself, which grows.
	if s.cursor.Offset > layout.PageBytes && s.cursor.Offset+int64(need)+s.reserved(blocks) > s.active.Size {
		if s.ready == nil {
			return false
		}
		s.rotate()
	}
	s.begin(need)
	return true
}

// reserved is what a segment needs behind its last ordinary commit: the seal, and the footer for the blocks it has and so many more.
func (s *shard) reserved(blocks int) int64 {
	return layout.PageBytes + layout.FooterBytes(s.segmentBlocks+blocks, s.segmentTopics+blocks)
}

// begin opens a commit with need bytes of memory at least.
func (s *shard) begin(need int) {
	a := s.arena
	if a == nil || a.Used+need > len(a.Mem) {
		if a != nil {
			a.Unpin()
		}
		a = s.arenas.Get(need, s.cursor)
		s.arena = a
	}
	a.Pin()
	s.open = &commit{
		segment: s.active, arena: a, start: a.Used, bytes: layout.CommitHeaderBytes, at: s.cursor, done: make(chan struct{}),
	}
}

// closeOpen ends the open commit: what comes next has its place behind it. The append lock is held.
//
// The number is given here and not when the commit is written, so that it follows the places: recovery wants both to be without gaps.
func (s *shard) closeOpen() {
	c := s.open
	s.open = nil
	s.seq++
	c.seq = s.seq
	c.arena.Used += c.padded()
	s.cursor.Offset += int64(c.padded())
	s.queue = append(s.queue, c)
}

// rotate ends the active segment with a seal, and goes on in the one that is ready: its file is durable before the seal is written.
func (s *shard) rotate() {
	s.begin(layout.PageBytes)
	seal := ownRecord(layout.KindSeal, s.ready.ID)
	s.place(s.open, &seal, crc32.Checksum(seal.Body, layout.Castagnoli), 0)
	s.open.next = s.ready
	s.open.urgent = true
	s.closeOpen()
	s.switchTo(s.ready)
	s.ready = nil
	s.prepareSoon()
}

// switchTo makes a fresh segment the one that is appended to.
func (s *shard) switchTo(next *index.Segment) {
	if s.arena != nil {
		s.arena.Unpin()
		s.arena = nil
	}
	s.active, s.cursor = next, layout.At(next.ID, layout.PageBytes)
	s.segmentBlocks, s.segmentTopics = 0, 0
}
