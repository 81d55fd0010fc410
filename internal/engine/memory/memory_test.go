package memory

import (
	"errors"
	"testing"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/enginetest"
)

func TestContract(t *testing.T) {
	enginetest.Run(t, func(*testing.T) enginetest.Store {
		store := new(Store)
		return enginetest.Store{
			Open: func(c clock.Clock) (engine.Engine, error) { return Open(store, c), nil },
			Kill: store.Kill,
		}
	})
}

func TestAFullStoreRefusesBlocksAndTakesNotes(t *testing.T) {
	store := new(Store)
	s, err := Open(store, clock.System()).Own(t.Context(), 0, &enginetest.Recorder{})
	if err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{true, false} {
		store.SetFull(full)
		err := s.Append(t.Context(), []engine.Record{enginetest.Note("ack"), enginetest.Block(1, "x")})
		if errors.Is(err, engine.ErrFull) != full || !full && err != nil {
			t.Errorf("full %v: a block is answered with %v", full, err)
		}
		if err := s.Append(t.Context(), []engine.Record{enginetest.Note("ack")}); err != nil {
			t.Errorf("full %v: a note is answered with %v", full, err)
		}
	}
}

func TestShardsAreSeparateLogs(t *testing.T) {
	e := Open(new(Store), clock.System())
	for id := range engine.ShardID(3) {
		s, err := e.Own(t.Context(), id, &enginetest.Recorder{})
		if err != nil {
			t.Fatal(err)
		}
		recs := []engine.Record{enginetest.Block(1, "x")}
		if err := s.Append(t.Context(), recs); err != nil || recs[0].Stamp.First != 0 {
			t.Errorf("shard %d: the first block is at %d, %v", id, recs[0].Stamp.First, err)
		}
	}
}

func TestACheckpointStandsForTheRecordsBeforeIt(t *testing.T) {
	store := new(Store)
	var first, second enginetest.Recorder
	s, err := Open(store, clock.System()).Own(t.Context(), 0, &first)
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{"a", "b"} {
		if err := s.Append(t.Context(), []engine.Record{enginetest.Note(note)}); err != nil {
			t.Fatal(err)
		}
		if err := store.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	store.Kill()
	if len(store.log(0).records) > 0 {
		t.Error("records are kept that the checkpoint stands for")
	}
	if err := store.Checkpoint(); err != nil {
		t.Errorf("without an owner: %v", err)
	}
	if _, err := Open(store, clock.System()).Own(t.Context(), 0, &second); err != nil {
		t.Fatal(err)
	}
	if got, want := len(second.Records()), len(first.Records()); got != want || want != 2 {
		t.Errorf("%d records after the checkpoint, %d before", got, want)
	}
}
