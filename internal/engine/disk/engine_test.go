package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

func TestASecondOpenIsRefused(t *testing.T) {
	o := memOptions()
	s := openStore(t, o)
	if _, err := Open(o); !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("second open: %v", err)
	}
	s.close()
	openStore(t, o).close()
}

func TestAForeignDirectoryIsLeftAlone(t *testing.T) {
	for _, names := range [][]string{
		{"README"}, {".hidden"}, {"seg-0000000000000001.log"}, {"seg-0000000000000002.log", "identity.tmp"}, {"checkpoint-0000000000000003"},
		{"epoch"}, {"identity", "photo.jpg"}, {"identity"},
	} {
		o := memOptions()
		if err := o.FS.MkdirAll(o.Dir); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := layout.WriteFile(o.FS, o.Dir, name, []byte("somebody's "+name)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(o)
		var bad *FileError
		if !errors.As(err, &bad) || !strings.HasPrefix(bad.Path, o.Dir+"/") {
			t.Errorf("%v: %v", names, err)
		}
		left, err := o.FS.List(o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == layout.LockName })
		slices.Sort(names)
		if !slices.Equal(left, names) {
			t.Errorf("%v became %v", names, left)
		}
	}
}

// TestCreationMayEndAnywhere stops before every operation of making a store, and opens what is left.
func TestCreationMayEndAnywhere(t *testing.T) {
	for n, more := 1, true; more; n++ {
		o := memOptions()
		mem, left, count := o.FS.(*vfs.Mem), (*vfs.Mem)(nil), 0
		o.FS = vfs.NewFaulty(mem, func(vfs.Op) *vfs.Fault {
			if count++; count == n {
				left = mem.Snapshot()
			}
			return nil
		})
		e, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if more = left != nil; !more {
			break
		}
		for what, fs := range map[string]*vfs.Mem{"killed": left, "power cut": left.Crash(unlucky())} {
			after := memOptions()
			after.FS = fs
			s, err := tryOpen(t, after)
			if err != nil {
				t.Fatalf("%s before operation %d: %v", what, n, err)
			}
			s.append(note("it works"))
			s.close()
		}
	}
}

func TestLargeRecordsTravel(t *testing.T) {
	for _, segment := range []int64{64 << 10, 32 << 20} {
		o := memOptions()
		o.SegmentBytes = segment
		s := openStore(t, o)
		var want [][]byte
		for i, n := range []int{1, engine.RecordBytesMax, 100, 5 << 20, 4<<20 - 200, 1} {
			body := bytes.Repeat([]byte{byte(i + 1)}, n)
			want = append(want, body)
			s.append(block(1, 1, body), note("between"))
		}
		for range 2 {
			got := s.readAll(1, 0)
			for i := range want {
				if len(got) != len(want) || !bytes.Equal(got[i].Body, want[i]) {
					t.Fatalf("segments of %d: %d blocks, block %d is not as it was", segment, len(got), i)
				}
			}
			s.close()
			s = openStore(t, o)
		}
		s.close()
	}
}

func TestImpossibleRecordsAreRefused(t *testing.T) {
	s := openStore(t, memOptions())
	defer s.close()
	before := s.journal.state()
	for what, recs := range map[string][]engine.Record{
		"kind 0":         {{Body: []byte("x")}},
		"an own kind":    {{Kind: layout.KindOwnMin, Body: []byte("x")}},
		"no messages":    {{Kind: engine.KindBlock, Topic: 1, Body: []byte("x")}},
		"too large":      {note(strings.Repeat("x", engine.RecordBytesMax+1))},
		"second too big": {note("fine"), note(strings.Repeat("x", engine.RecordBytesMax+1))},
	} {
		if err := s.shard.Append(t.Context(), recs); err == nil {
			t.Errorf("%s: accepted", what)
		}
		if err := s.shard.Enqueue(recs); err == nil {
			t.Errorf("%s: enqueued", what)
		}
	}
	if err := s.shard.Append(t.Context(), nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	s.append(note("a note makes sure that nothing is under way"))
	if after := s.journal.state(); !strings.HasPrefix(after, "0 blocks, 1 notes") {
		t.Errorf("%s, then %s", before, after)
	}
}

// TestSyncModesLoseWhatTheySay cuts the power at different distances from an answer.
func TestSyncModesLoseWhatTheySay(t *testing.T) {
	notes := func(s *store) int { return len(s.journal.notes) }
	o, c := clockedOptions()
	o.Sync.Interval = time.Second
	s := openStore(t, o)
	s.append(note("one"))
	early := s.crash(o)
	if n := notes(early); n != 0 {
		t.Errorf("interval: %d notes right after the answer, which is better than it must be, but by luck", n)
	}
	early.close()
	c.Advance(time.Second)
	s.append(note("two")) // the committer syncs what came before it takes this
	late := s.crash(o)
	if n := notes(late); n < 1 {
		t.Error("interval: the note is lost though the interval is over")
	}
	late.close()
	s.close()

	o = memOptions()
	o.Sync.Never = true
	s = openStore(t, o)
	s.append(note("one"))
	s.close()
	s = s.crash(o)
	if n := notes(s); n != 1 {
		t.Errorf("never: %d notes after a clean stop", n)
	}
	s.close()
}

// TestEnqueuedRecordsAreDurableSoon advances the clock by LazyMax and no more.
func TestEnqueuedRecordsAreDurableSoon(t *testing.T) {
	o, c := clockedOptions()
	s := openStore(t, o)
	defer s.close()
	commits := StatsOf(s.shard).Commits
	if err := s.shard.Enqueue([]engine.Record{note("lazy")}); err != nil {
		t.Fatal(err)
	}
	c.Advance(engine.LazyMax)
	s.eventually("the note is committed", func(v Stats) bool { return v.Commits > commits })
	after := s.crash(o)
	defer after.close()
	if n := len(after.journal.notes); n != 1 {
		t.Errorf("%d notes", n)
	}
}

// TestEverythingAtOnce has appenders, readers and a trimmer at work on the machine's own disk, with segments that are small enough to be
// given back and used again all the time.
func TestEverythingAtOnce(t *testing.T) {
	o := Options{
		FS: vfs.OS(), Dir: filepath.Join(t.TempDir(), "store"),
		SegmentBytes: 1 << 20, TailBytes: 1 << 20, CheckpointBytes: 2 << 20, FreeReserveBytes: 1 << 20,
	}
	s := openStore(t, o)
	const topics, rounds = 6, 150
	ctx := context.Background()
	ends := make([]chan engine.Offset, topics)
	var wait sync.WaitGroup
	for i := range topics {
		id := engine.TopicID(1 + i)
		ends[i] = make(chan engine.Offset, rounds)
		wait.Go(func() {
			defer close(ends[i])
			for range rounds {
				recs := []engine.Record{block(id, 3, nil), note("n")}
				// The body says which topic it belongs to, and its size varies.
				recs[0].Body = bytes.Repeat([]byte{byte(id)}, 1+len(ends[i])*977%30000)
				if err := s.shard.Append(ctx, recs); err != nil {
					t.Error(err)
					return
				}
				ends[i] <- recs[0].Stamp.First + 3
			}
		})
		wait.Go(func() {
			batch, next := engine.Batch{BytesMax: 100_000}, engine.Offset(0)
			for end := range ends[i] {
				for next < end {
					if err := s.shard.Read(ctx, id, next, &batch); err != nil || len(batch.Blocks) == 0 {
						t.Errorf("topic %d from %d, end %d: %d blocks, %v", id, next, end, len(batch.Blocks), err)
						return
					}
					for _, b := range batch.Blocks {
						if b.First != next || bytes.Count(b.Body, []byte{byte(id)}) != len(b.Body) {
							t.Errorf("topic %d: block at %d where %d was due, or a foreign body", id, b.First, next)
							return
						}
						next = b.End()
					}
					batch.Release()
				}
				if id%3 != 0 {
					s.shard.Trim(id, next-3)
				}
			}
		})
	}
	wait.Wait()
	state := s.journal.state()
	s.close()
	s = openStore(t, o)
	defer s.close()
	if after := s.journal.state(); after != state {
		t.Errorf("after a restart: %s, want %s", after, state)
	}
	for i := range topics {
		id := engine.TopicID(1 + i)
		got := s.readAll(id, 0)
		if last := got[len(got)-1].End(); last != 3*rounds || id%3 == 0 && len(got) != rounds {
			t.Errorf("topic %d: %d blocks up to %d", id, len(got), last)
		}
	}
}

func TestManyTopicsCostLittle(t *testing.T) {
	o := memOptions()
	o.SegmentBytes = 4 << 20
	s := openStore(t, o)
	const topics = 3000
	for i := 0; i < topics; i += 100 {
		var recs []engine.Record
		for j := range 100 {
			recs = append(recs, block(engine.TopicID(1+i+j), 1, []byte(fmt.Sprint("topic ", i+j))))
		}
		s.append(recs...)
	}
	s.close()
	s = openStore(t, o)
	defer s.close()
	for i := range topics {
		if got := s.readAll(engine.TopicID(1+i), 0); len(got) != 1 || string(got[0].Body) != fmt.Sprint("topic ", i) {
			t.Fatalf("topic %d: %d blocks", i, len(got))
		}
	}
}
