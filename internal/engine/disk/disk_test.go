package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// journal is a machine that remembers a digest of all records, in order, and the notes themselves.
type journal struct {
	mu     sync.Mutex
	blocks uint64
	notes  [][]byte
	digest uint64
}

func (j *journal) Apply(r *engine.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Kind == engine.KindBlock {
		if r.Body != nil {
			return fmt.Errorf("a block came with its body")
		}
		j.blocks++
		j.mix(uint64(r.Topic), uint64(r.Stamp.First), r.Stamp.ID, uint64(r.Stamp.Time), uint64(r.Count))
		return nil
	}
	j.notes = append(j.notes, bytes.Clone(r.Body))
	j.mix(uint64(len(r.Body)))
	return nil
}

func (j *journal) mix(values ...uint64) {
	for _, v := range values {
		j.digest = j.digest*1099511628211 + v
	}
}

func (j *journal) Save(w io.Writer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := binary.LittleEndian.AppendUint64(nil, j.blocks)
	b = binary.LittleEndian.AppendUint64(b, j.digest)
	for _, n := range j.notes {
		b = binary.AppendUvarint(b, uint64(len(n)))
		b = append(b, n...)
	}
	_, err := w.Write(b)
	return err
}

func (j *journal) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	j.blocks, j.digest = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	for b = b[16:]; len(b) > 0; {
		n, skip := binary.Uvarint(b)
		j.notes = append(j.notes, b[skip:skip+int(n)])
		b = b[skip+int(n):]
	}
	return nil
}

func (j *journal) state() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return fmt.Sprintf("%d blocks, %d notes, %x", j.blocks, len(j.notes), j.digest)
}

// store is an open store under test.
type store struct {
	t       testing.TB
	engine  *Engine
	shard   *shard
	journal *journal
}

func openStore(t testing.TB, o Options) *store {
	t.Helper()
	s, err := tryOpen(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryOpen(t testing.TB, o Options) (*store, error) {
	t.Helper()
	e, err := Open(o)
	if err != nil {
		return nil, err
	}
	s := &store{t: t, engine: e, journal: &journal{}}
	owned, err := e.Own(t.Context(), 0, s.journal)
	if err != nil {
		if closing := e.Close(); closing != nil {
			t.Error(closing)
		}
		return nil, err
	}
	s.shard = owned.(*shard)
	return s, nil
}

func (s *store) close() {
	s.t.Helper()
	if err := s.engine.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) append(recs ...engine.Record) {
	s.t.Helper()
	if err := s.shard.Append(context.Background(), recs); err != nil {
		s.t.Fatal(err)
	}
}

// bodyOf is what a test's block with a given first offset holds: it can be checked without having been kept.
func bodyOf(topic engine.TopicID, seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(topic), seed))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func block(topic engine.TopicID, count uint32, body []byte) engine.Record {
	return engine.Record{Kind: engine.KindBlock, Topic: topic, Count: count, Body: body}
}

func note(text string) engine.Record { return engine.Record{Kind: engine.KindNote, Body: []byte(text)} }

// readAll reads a topic from an offset to its end, a few blocks at a time.
func (s *store) readAll(topic engine.TopicID, from engine.Offset) []engine.Block {
	s.t.Helper()
	var all []engine.Block
	batch := engine.Batch{BytesMax: 64 << 10}
	for {
		if err := s.shard.Read(context.Background(), topic, from, &batch); err != nil {
			s.t.Fatal(err)
		}
		if len(batch.Blocks) == 0 {
			return all
		}
		for _, b := range batch.Blocks {
			b.Body = bytes.Clone(b.Body)
			all = append(all, b)
			from = b.End()
		}
		batch.Release()
	}
}

func memOptions() Options {
	return Options{FS: vfs.NewMem(), Dir: "/data", SegmentBytes: 256 << 10, TailBytes: 512 << 10, CheckpointBytes: 256 << 10}
}

func TestWhatWasAppendedIsReadBack(t *testing.T) {
	o := memOptions()
	s := openStore(t, o)
	var want [3][][]byte
	for i := range 300 {
		topic := engine.TopicID(i % 3)
		body := bodyOf(topic, uint64(i), 1+(i*977)%20000)
		want[topic] = append(want[topic], body)
		s.append(block(topic, uint32(1+i%5), body), note(fmt.Sprint("note ", i)))
	}
	check := func() {
		t.Helper()
		for topic := range want {
			got := s.readAll(engine.TopicID(topic), 0)
			if len(got) != len(want[topic]) {
				t.Fatalf("topic %d: %d blocks, want %d", topic, len(got), len(want[topic]))
			}
			next := engine.Offset(0)
			for i, b := range got {
				if !bytes.Equal(b.Body, want[topic][i]) || b.First != next {
					t.Fatalf("topic %d, block %d: first %d want %d, body equal: %v", topic, i, b.First, next, bytes.Equal(b.Body, want[topic][i]))
				}
				next = b.End()
			}
		}
	}
	check()
	for range 3 {
		before, epoch := s.journal.state(), s.shard.Epoch()
		s.close()
		s = openStore(t, o)
		if after := s.journal.state(); after != before {
			t.Fatalf("state after a restart: %s, want %s", after, before)
		}
		if s.shard.Epoch() <= epoch {
			t.Fatalf("epoch %d after %d", s.shard.Epoch(), epoch)
		}
		check()
	}
	s.close()
}

// clockedOptions are memOptions with a clock that stands still.
func clockedOptions() (Options, *clock.Manual) {
	o := memOptions()
	c := clock.NewManual(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
	o.Clock = c
	return o, c
}

// crash opens what is left of the store after a power cut that takes everything that was not synced. The store itself goes on.
func (s *store) crash(o Options) *store {
	s.t.Helper()
	o.FS = o.FS.(*vfs.Mem).Crash(unlucky())
	return openStore(s.t, o)
}

// noLuck makes every choice of Mem.Crash the one that loses.
type noLuck struct{}

func (noLuck) Uint64() uint64 { return 1<<32 | 1 }

func unlucky() *rand.Rand { return rand.New(noLuck{}) }
