package reader

import (
	"context"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// shelf is a shard of one topic whose blocks hold one message each, a byte that is its offset; it counts reads and the blocks they gave.
type shelf struct {
	engine.Shard
	blocks, reads, given int
}

const shelfBytes = 10_001 // of a message

func (s *shelf) Read(_ context.Context, _ engine.TopicID, from engine.Offset, into *engine.Batch) error {
	s.reads++
	for off, bytes := from, 0; off < engine.Offset(s.blocks) && (bytes == 0 || bytes+shelfBytes <= into.BytesMax); off++ {
		body := make([]byte, shelfBytes+3)
		body[0], body[1], body[2] = 0x12, 0x91, 0x4e
		body[3], body[shelfBytes+2] = byte(off), byte(off)
		into.Blocks = append(into.Blocks, engine.Block{Stamp: engine.Stamp{First: off, ID: uint64(off) + 7}, Count: 1, Body: body})
		bytes += len(body)
		s.given++
	}
	return nil
}

// find asks a reader of a shelf, by At or by Find, and checks the answer.
func find(t *testing.T, get func(context.Context, engine.Offset) (Message, bool, error), off engine.Offset) {
	t.Helper()
	m, found, err := get(t.Context(), off)
	if err != nil || !found || m.Offset != off || m.ID != uint64(off)+7 || m.Bytes[0] != byte(off) || len(m.Bytes) != shelfBytes {
		t.Fatalf("at %d: offset %d, id %d, found %v, %v", off, m.Offset, m.ID, found, err)
	}
}

func TestFindingMessagesApartKeepsThePlace(t *testing.T) {
	s := &shelf{blocks: 400}
	r := Reader{Shard: s}
	for off := engine.Offset(200); off < 290; off++ {
		find(t, r.At, off)
		find(t, r.Find, off) // at hand
		if off%30 == 29 {
			find(t, r.Find, off-100)
			find(t, r.Find, off-110)
		}
	}
	if s.reads != 1+6 {
		t.Errorf("%d reads, want one forward and six aside", s.reads)
	}
	r.Release()
	find(t, r.Find, 5)
	find(t, r.At, 6)
}

// TestFindingManyMessagesInAnyOrderReadsEachOnce is what happens when many ordering keys are taken back: their messages come in turn, so
// that each stands far from the one before it.
func TestFindingManyMessagesInAnyOrderReadsEachOnce(t *testing.T) {
	const keys, each = 50, 40
	s := &shelf{blocks: keys * each}
	r := Reader{Shard: s}
	for range 2 {
		for i := range each {
			for key := range keys {
				find(t, r.Find, engine.Offset(key*each+i))
			}
		}
	}
	if s.given > s.blocks*3/2 {
		t.Errorf("%d blocks were read, there are %d", s.given, s.blocks)
	}
}

func TestFindingMessagesOneAfterTheOtherReadsMoreAndMore(t *testing.T) {
	s := &shelf{blocks: 1000}
	r := Reader{Shard: s}
	for off := range engine.Offset(1000) {
		find(t, r.Find, off)
	}
	if s.reads > 25 {
		t.Errorf("%d reads, want about ten each twice the one before and ten of the largest", s.reads)
	}
}
