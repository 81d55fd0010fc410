package reader

import (
	"context"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// shelf is a shard of one topic whose blocks hold one message each, a byte that is its offset; it counts reads.
type shelf struct {
	engine.Shard
	blocks, reads int
}

func (s *shelf) Read(_ context.Context, _ engine.TopicID, from engine.Offset, into *engine.Batch) error {
	s.reads++
	for off, bytes := from, 0; off < engine.Offset(s.blocks) && (bytes == 0 || bytes < into.BytesMax); off++ {
		body := make([]byte, 10_004)
		body[0], body[1], body[2] = 0x12, 0x91, 0x4e // a message of 10,001 bytes
		body[3], body[10_003] = byte(off), byte(off)
		into.Blocks = append(into.Blocks, engine.Block{Stamp: engine.Stamp{First: off, ID: uint64(off) + 7}, Count: 1, Body: body})
		bytes += len(body)
	}
	return nil
}

func TestFindingMessagesApartKeepsThePlace(t *testing.T) {
	s := &shelf{blocks: 100}
	r := Reader{Shard: s}
	want := func(off engine.Offset, apart bool) {
		t.Helper()
		m, found, err := r.Find(t.Context(), off, apart)
		if err != nil || !found || m.Offset != off || m.ID != uint64(off)+7 || m.Bytes[0] != byte(off) || len(m.Bytes) != 10_001 {
			t.Fatalf("at %d: offset %d, id %d, found %v, %v", off, m.Offset, m.ID, found, err)
		}
	}
	for off := range engine.Offset(90) {
		want(off, false)
		if off%30 == 29 {
			want(off-20, true)
			want(off-19, true)
		}
	}
	if s.reads != 1+3 {
		t.Errorf("%d reads, want one forward and three aside", s.reads)
	}
	r.Release()
	want(5, true)
	want(6, false)
}
