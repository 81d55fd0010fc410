package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
)

var readCases = map[string]func(*owner){
	"Read begins with the block that holds the offset": func(o *owner) {
		o.open()
		recs := o.append(Block(1, "a", "b", "c"), Block(2, "other"), Block(1, "d"), Block(1, "e", "f"))
		for from, want := range [][]engine.Record{
			{recs[0], recs[2], recs[3]}, {recs[0], recs[2], recs[3]}, {recs[0], recs[2], recs[3]},
			{recs[2], recs[3]}, {recs[3]}, {recs[3]}, nil, nil,
		} {
			o.wantBlocks(o.readAll(1, engine.Offset(from), 0), want...)
			o.wantBlocks(o.readAll(1, engine.Offset(from), 1<<20), want...)
		}
		if got := o.read(3, 0, 1<<20); len(got) != 0 {
			o.Errorf("a topic that does not exist has %d blocks", len(got))
		}
	},
	"Read stops before BytesMax is passed and returns at least one": func(o *owner) {
		o.open()
		recs := o.append(Block(1, "aaaa"), Block(1, "bbbb"), Block(1, "cccc"))
		size := len(recs[0].Body)
		for bytesMax, blocks := range map[int]int{0: 1, 1: 1, size: 1, 2*size - 1: 1, 2 * size: 2, 3*size - 1: 2, 3 * size: 3, 1 << 20: 3} {
			got := o.read(1, 0, bytesMax)
			if len(got) == 0 || len(got) > blocks {
				o.Errorf("%d blocks within %d bytes, want 1 to %d", len(got), bytesMax, blocks)
			}
			o.wantBlocks(got, recs[:len(got)]...)
		}
	},
	"Read fills the same batch again and again": func(o *owner) {
		o.open()
		batch := engine.Batch{BytesMax: 1 << 20}
		for i := range 20 {
			rec := o.append(Block(1, fmt.Sprint("message ", i)))
			if err := o.shard.Read(o.context(), 1, engine.Offset(i), &batch); err != nil {
				o.Fatal(err)
			}
			o.wantBlocks(Take(&batch), rec...)
		}
	},
	"Read gives memory that stays until the batch is released": func(o *owner) {
		o.open()
		want := o.append(Block(1, strings.Repeat("hold on ", 1000)))
		held := engine.Batch{}
		if err := o.shard.Read(o.context(), 1, 0, &held); err != nil {
			o.Fatal(err)
		}
		for i := range 200 {
			o.append(Block(2, strings.Repeat(string(rune('a'+i%26)), 100_000)))
			if i%20 == 0 {
				o.readAll(2, engine.Offset(i/2), 1<<20)
			}
		}
		if len(held.Blocks) != 1 || !bytes.Equal(held.Blocks[0].Body, want[0].Body) {
			o.Error("the bytes changed under a batch that was not released")
		}
		held.Release()
	},
	"Read by many follows the end while others append": func(o *owner) {
		o.open()
		const topics, messages = 3, 200
		ctx := o.context()
		var wg sync.WaitGroup
		for t := range engine.TopicID(topics) {
			wg.Go(func() {
				for i := range messages {
					if err := o.shard.Append(ctx, []engine.Record{Block(t, fmt.Sprintf("%d of %d", i, t))}); err != nil {
						o.Errorf("append: %v", err)
						return
					}
				}
			})
			wg.Go(func() { follow(ctx, o, t, messages) })
		}
		wg.Wait()
	},
	"Read and OffsetAt whose context has ended return": func(o *owner) {
		o.open()
		rec := o.append(Block(1, "x"))
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		batch := engine.Batch{}
		if err := o.shard.Read(ended, 1, 0, &batch); err == nil {
			o.wantBlocks(Take(&batch), rec...)
		} else if !errors.Is(err, context.Canceled) {
			o.Errorf("read: %v", err)
		}
		if at, err := o.shard.OffsetAt(ended, 1, 0); err == nil && at != 0 || err != nil && !errors.Is(err, context.Canceled) {
			o.Errorf("OffsetAt: %d, %v", at, err)
		}
	},
}

// follow reads a topic until it has seen so many messages, each in its place.
func follow(ctx context.Context, o *owner, t engine.TopicID, messages int) {
	for next := 0; next < messages; {
		blocks, err := ReadAll(ctx, o.shard, t, engine.Offset(next), 1000)
		if err != nil {
			o.Errorf("read: %v", err)
			return
		}
		for _, b := range blocks {
			want := Block(t, fmt.Sprintf("%d of %d", next, t))
			if b.First != engine.Offset(next) || !bytes.Equal(b.Body, want.Body) {
				o.Errorf("topic %d has %q at %d, want %q at %d", t, b.Body, b.First, want.Body, next)
				return
			}
			next++
		}
	}
}

// noon is where the clock of a case stands at first.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

var timeCases = map[string]func(*owner){
	"OffsetAt is the first offset with at least that time": func(o *owner) {
		hands := clock.NewManual(noon)
		o.clock = hands
		o.open()
		for range 5 { // offsets 0 to 9 at noon, then every second
			o.append(Block(1, "a"), Block(2, "x"), Block(1, "b"))
			hands.SetWall(time.Unix(0, hands.Wall()).Add(time.Second))
		}
		check := func() {
			o.Helper()
			for at, want := range map[time.Duration]engine.Offset{
				-time.Hour: 0, -1: 0, 0: 0, 1: 2, time.Second: 2, time.Second + 1: 4, 3500 * time.Millisecond: 8, 4 * time.Second: 8,
				4*time.Second + 1: 10, time.Hour: 10,
			} {
				if got, err := o.shard.OffsetAt(o.context(), 1, noon.Add(at).UnixNano()); got != want || err != nil {
					o.Errorf("%v from the beginning: offset %d, %v; want %d", at, got, err, want)
				}
			}
			if got, err := o.shard.OffsetAt(o.context(), 3, 0); got != 0 || err != nil {
				o.Errorf("a topic that does not exist: offset %d, %v", got, err)
			}
		}
		check()
		o.close()
		o.open()
		check()
	},
	"Stamp times never fall, whatever the wall clock does": func(o *owner) {
		hands := clock.NewManual(noon)
		o.clock = hands
		o.open()
		last := noon.UnixNano()
		for i, wall := range []time.Time{noon.Add(1234567), noon.Add(-time.Hour), noon.Add(time.Hour), noon, time.Unix(0, 0), noon.AddDate(0, 0, 7), noon} {
			hands.SetWall(wall)
			stamp := o.append(Block(1, "x"))[0].Stamp
			want := max(last, wall.Truncate(time.Millisecond).UnixNano())
			if stamp.Time != want {
				o.Errorf("step %d: publish time %v, want %v", i, time.Unix(0, stamp.Time), time.Unix(0, want))
			}
			last = want
			switch i % 3 {
			case 1:
				o.close()
				o.open()
			case 2:
				o.kill()
			}
		}
	},
}
