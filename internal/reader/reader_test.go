package reader

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
)

// deaf is a machine that keeps nothing.
type deaf struct{}

func (deaf) Apply(*engine.Record) error { return nil }
func (deaf) Save(io.Writer) error       { return nil }
func (deaf) Restore(io.Reader) error    { return nil }

// stored is a shard whose topic 1 has blocks of the given numbers of messages; each message's bytes are its offset.
func stored(t *testing.T, counts ...int) engine.Shard {
	t.Helper()
	e := memory.Open(new(memory.Store), clock.NewManual(time.Unix(1_800_000_000, 0)))
	shard, err := e.Own(t.Context(), 0, deaf{})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, count := range counts {
		r := engine.Record{Kind: engine.KindBlock, Topic: 1, Count: uint32(count)}
		for range count {
			text := fmt.Sprint(next)
			r.Body = append(append(r.Body, 0x12, byte(len(text)+2), 0x0a, byte(len(text))), text...)
			next++
		}
		if err := shard.Append(t.Context(), []engine.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	return shard
}

// expect reads at an offset and checks which message comes; the highest offset of all stands for none.
func expect(t *testing.T, r *Reader, at, want engine.Offset) Message {
	t.Helper()
	m, found, err := r.At(t.Context(), at)
	none := want == ^engine.Offset(0)
	if err != nil || found == none || found && (m.Offset != want || string(m.Bytes[2:]) != fmt.Sprint(want)) {
		t.Fatalf("at %d: offset %d, %q, found %v, %v; want %d", at, m.Offset, m.Bytes, found, err, want)
	}
	return m
}

func TestMessagesAreFoundForwardsAndBackwards(t *testing.T) {
	r := Reader{Shard: stored(t, 3, 1, 200, 5), Topic: 1}
	defer r.Release()
	first := expect(t, &r, 0, 0)
	for _, off := range []engine.Offset{1, 1, 2, 3, 150, 149, 4, 208, 0, 203, 204, 207} {
		m := expect(t, &r, off, off)
		if m.ID != first.ID+uint64(off) || m.Time != first.Time {
			t.Errorf("message %d has id %d and time %d", off, m.ID, m.Time)
		}
	}
	expect(t, &r, 209, ^engine.Offset(0))
}

func TestBehindAHoleComesTheNextMessageThereIs(t *testing.T) {
	shard := stored(t, 3, 4, 2)
	shard.Trim(1, 7)
	r := Reader{Shard: shard, Topic: 1}
	defer r.Release()
	expect(t, &r, 1, 7)
	expect(t, &r, 8, 8)
}

func TestWhatWasGivenStaysUntilRelease(t *testing.T) {
	r := Reader{Shard: stored(t, 2, 2), Topic: 1}
	early := expect(t, &r, 3, 3)
	expect(t, &r, 0, 0) // a step back reads again
	if len(r.spent) == 0 || string(early.Bytes[2:]) != "3" {
		t.Errorf("%d batches spent, the earlier message is %q now", len(r.spent), early.Bytes)
	}
	if r.Release(); len(r.spent) > 0 {
		t.Error("memory is held after Release")
	}
	expect(t, &r, 1, 1)
	r.Release()
}

func TestAReaderThatIsRelievedHoldsOneReadAtMost(t *testing.T) {
	r := Reader{Shard: stored(t, 2, 2, 2, 2), Topic: 1}
	defer r.Release()
	for _, get := range []func(context.Context, engine.Offset) (Message, bool, error){r.At, r.Find} {
		for _, off := range []engine.Offset{7, 0, 5, 2, 3} {
			m, found, err := get(t.Context(), off)
			if err != nil || !found || string(m.Bytes[2:]) != fmt.Sprint(off) {
				t.Fatalf("at %d: %q, found %v, %v", off, m.Bytes, found, err)
			}
			r.Relieve()
			if len(r.spent) > 0 || r.aside != nil && len(r.aside.spent) > 0 {
				t.Errorf("at %d: more than one read is held", off)
			}
		}
	}
}
