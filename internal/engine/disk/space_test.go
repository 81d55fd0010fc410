package disk

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// eventually waits until something that the shard's goroutines do has come about. It wakes the keeper, who would come by himself, later.
func (s *store) eventually(what string, done func(Stats) bool) {
	s.t.Helper()
	give := time.NewTimer(2 * time.Minute)
	defer give.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !done(StatsOf(s.shard)) {
		select {
		case <-look.C:
			s.shard.keeper.wake()
		case <-give.C:
			s.t.Fatalf("never: %s: %+v", what, StatsOf(s.shard))
		}
	}
}

// checkpoint makes the shard write a checkpoint now.
func (s *store) checkpoint() {
	s.t.Helper()
	if err := <-s.shard.ask(); err != nil {
		s.t.Fatal(err)
	}
}

// fill appends rounds of one block to each of some topics and returns what each should hold.
func (s *store) fill(topics, rounds, blockBytes int) map[engine.TopicID][][]byte {
	want := map[engine.TopicID][][]byte{}
	for i := range rounds {
		for t := range topics {
			id := engine.TopicID(1 + t)
			body := bodyOf(id, uint64(i), blockBytes)
			want[id] = append(want[id], body)
			s.append(block(id, 2, body))
		}
	}
	return want
}

// wantBlocks checks that a topic holds, from the block with a number on, just the given ones.
func (s *store) wantBlocks(id engine.TopicID, bodies [][]byte, from int) {
	s.t.Helper()
	got := s.readAll(id, engine.Offset(2*from))
	if len(got) != len(bodies)-from {
		s.t.Fatalf("topic %d: %d blocks from the %dth on, want %d", id, len(got), from, len(bodies)-from)
	}
	for i, b := range got {
		if b.First != engine.Offset(2*(from+i)) || !bytes.Equal(b.Body, bodies[from+i]) {
			s.t.Fatalf("topic %d: block %d is another than was appended: first %d", id, from+i, b.First)
		}
	}
}

func TestSegmentsThatNobodyNeedsAreGivenBack(t *testing.T) {
	s := openStore(t, memOptions())
	defer s.close()
	want := s.fill(1, 200, 10_000)
	s.eventually("the log fills segments", func(v Stats) bool { return v.Segments > 5 })
	s.shard.Trim(1, 2*199)
	for range 3 {
		s.append(note("so that the log goes on"))
		s.checkpoint()
	}
	s.eventually("all but the last segments go", func(v Stats) bool { return v.Segments <= 3 })
	s.wantBlocks(1, want[1], 199)
}

// On a disk with room nothing hurries: so few wait for deadWaitMax, which does not pass here.
func TestDeadSegmentsGoAtOnceWhereSpaceIsScarce(t *testing.T) {
	o := memOptions()
	o.CheckpointBytes, o.FreeReserveBytes = 1<<30, o.SegmentBytes
	o.Clock = clock.NewManual(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	s := openStore(t, o)
	defer s.close()
	want := s.fill(1, 60, 10_000)
	s.shard.Trim(1, 2*59)
	s.eventually("segments die", func(v Stats) bool { return v.Segments == 2 })
	mem := o.FS.(*vfs.Mem)
	mem.SetCapacity(1 << 40)
	free, err := mem.Free(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(1<<40 - free + 4*o.SegmentBytes)
	s.eventually("the dead segments go", func(v Stats) bool { return v.Segments == 1 })
	if s.shard.full.Load() {
		t.Error("the disk is full, want it to be nearly so")
	}
	s.wantBlocks(1, want[1], 59)
}

func TestMostlyDeadSegmentsAreCompacted(t *testing.T) {
	o := memOptions()
	o.TailBytes = 1
	s := openStore(t, o)
	const topics, rounds, kept = 20, 20, 18
	want := s.fill(topics, rounds, 5_000)
	before := StatsOf(s.shard).Segments
	for id := engine.TopicID(1); id <= topics; id++ {
		from := engine.Offset(2 * kept)
		if id%10 == 0 {
			from = 0 // these keep a little everywhere
		}
		s.shard.Trim(id, from)
	}
	s.eventually("segments are compacted", func(v Stats) bool {
		if v.Segments > before/2 {
			s.append(note("so that the log goes on"))
			s.checkpoint()
		}
		return v.Segments <= before/2
	})
	check := func() {
		t.Helper()
		for id, bodies := range want {
			from := kept
			if id%10 == 0 {
				from = 0
			}
			s.wantBlocks(id, bodies, from)
		}
	}
	check()
	for range 2 {
		s.close()
		s = openStore(t, o)
		check()
	}
	if after := StatsOf(s.shard).Segments; after > before/2+3 {
		t.Errorf("%d segments after restarts, %d before compaction", after, before)
	}
	s.close()
}

func TestATopicThatIsGoneStaysGone(t *testing.T) {
	o := memOptions()
	s := openStore(t, o)
	s.fill(2, 10, 100)
	s.shard.Trim(1, engine.Everything)
	s.append(note("behind it"))
	crashed := s.crash(o)
	defer crashed.close()
	if got := crashed.readAll(1, 0); len(got) != 0 {
		t.Errorf("the topic came back with %d blocks", len(got))
	}
	if n := StatsOf(crashed.shard).Topics; n != 1 {
		t.Errorf("%d topics are known, want 1", n)
	}
	s.close()
}

func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	s := openStore(t, memOptions())
	defer s.close()
	s.fill(3, 400, 2_000)
	s.eventually("footers are written", func(Stats) bool { return s.entriesInMemory() < 300 })
	for id := engine.TopicID(1); id <= 3; id++ {
		if n := len(s.readAll(id, 0)); n != 400 {
			t.Errorf("topic %d: %d blocks, want 400", id, n)
		}
	}
}

func (s *store) entriesInMemory() int {
	s.shard.index.Mu.RLock()
	defer s.shard.index.Mu.RUnlock()
	n := 0
	for _, topic := range s.shard.index.Topics {
		for _, e := range topic.Extents {
			n += len(e.Entries)
		}
	}
	return n
}

func TestOffsetAtFindsTimes(t *testing.T) {
	o, c := clockedOptions()
	s := openStore(t, o)
	defer s.close()
	const blocks = 300
	times := make([]int64, blocks)
	for i := range times {
		c.Advance(time.Duration(1+i%3) * time.Millisecond)
		r := []engine.Record{block(1, 2, bodyOf(1, uint64(i), 3000))}
		s.append(r...)
		times[i] = c.Wall()
	}
	check := func() {
		t.Helper()
		for i, at := range times {
			for _, c := range []struct {
				at   int64
				want engine.Offset
			}{{at, engine.Offset(2 * i)}, {at + 1, engine.Offset(2*i + 2)}} {
				got, err := s.shard.OffsetAt(t.Context(), 1, c.at)
				if err != nil || got != c.want {
					t.Fatalf("block %d: OffsetAt(%d) = %d, %v; want %d", i, c.at, got, err, c.want)
				}
			}
		}
	}
	s.eventually("footers are written", func(Stats) bool { return s.entriesInMemory() < blocks/2 })
	check()
	s.close()
	s = openStore(t, o)
	check()
	if _, err := s.shard.OffsetAt(t.Context(), 7, 0); err != nil {
		t.Error("unknown topic:", fmt.Sprint(err))
	}
}
