package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/posthaste-io/posthaste/internal/engine"
)

var trimCases = map[string]func(*owner){
	"Trim takes nothing at or after the offset": func(o *owner) {
		o.open()
		recs := o.append(Block(1, "a", "b"), Block(1, "c", "d"), Block(2, "other"), Block(1, "e"))
		check := func() {
			o.Helper()
			kept := []engine.Record{recs[1], recs[3]}
			o.wantBlocks(o.readAll(1, 3, 0), kept...)
			all := o.readAll(1, 0, 1<<20)
			if len(all) == 3 { // a hint need not be taken
				kept = append(recs[:1:1], kept...)
			}
			o.wantBlocks(all, kept...)
			o.wantBlocks(o.readAll(2, 0, 0), recs[2])
		}
		o.shard.Trim(1, 3)
		check()
		o.close()
		o.open()
		check()
	},
	"Trim and restart never give an offset or an id twice": func(o *owner) {
		o.open()
		for _, way := range []string{"own again", "release", "close", "kill", "release, close"} {
			before := o.append(Block(1, "a", "b"), Block(2, "c"))
			o.shard.Trim(1, before[0].Stamp.First+2)
			o.shard.Trim(2, before[1].Stamp.First+1)
			o.ways()[way]()
			after := o.append(Block(1, "d"), Block(2, "e"))
			for i, count := range []engine.Offset{2, 1} {
				if want := before[i].Stamp.First + count; after[i].Stamp.First != want {
					o.Errorf("%s: topic %d goes on at %d, want %d", way, i+1, after[i].Stamp.First, want)
				}
			}
			if after[0].Stamp.ID < before[1].Stamp.ID+1 {
				o.Errorf("%s: id %d was given out before", way, after[0].Stamp.ID)
			}
		}
	},
	"Trim of everything leaves the other topics alone": func(o *owner) {
		o.open()
		recs := o.append(Block(1, "gone"), Block(2, "stays"))
		o.shard.Trim(1, engine.Everything)
		o.wantBlocks(o.readAll(2, 0, 0), recs[1])
		o.close()
		o.open()
		o.wantApplied(recs)
		o.wantBlocks(o.readAll(2, 0, 0), recs[1])
		if next := o.append(Block(2, "more"))[0].Stamp.First; next != 1 {
			o.Errorf("topic 2 goes on at %d", next)
		}
	},
}

var ownerCases = map[string]func(*owner){
	"Own gives a later owner everything that was appended, once and in order": func(o *owner) {
		o.open()
		var all [][]engine.Record
		for round := range 3 {
			for _, way := range []string{"own again", "release", "close", "kill", "release, close"} {
				all = append(all, o.append(Note(fmt.Sprint(way, " ", round)), Block(1, way), Note("a"), Block(2, way, way)))
				if round != 1 { // in one round nothing comes between two changes of owner
					all = append(all, o.append(Note("b")))
				}
				o.ways()[way]()
				o.wantApplied(all...)
			}
		}
		var blocks []engine.Record
		for _, recs := range all {
			if len(recs) > 1 {
				blocks = append(blocks, recs[1])
			}
		}
		o.wantBlocks(o.readAll(1, 0, 100), blocks...)
	},
	"Epoch grows with every owner": func(o *owner) {
		o.open()
		last := o.shard.Epoch()
		if last < 1 {
			o.Errorf("the first epoch is %d", last)
		}
		for range 2 {
			for way, change := range o.ways() {
				change()
				if e := o.shard.Epoch(); e <= last {
					o.Errorf("%s: epoch %d after %d", way, e, last)
				}
				last = o.shard.Epoch()
			}
		}
	},
	"Own shuts out an earlier owner": func(o *owner) {
		o.open()
		old, oldMachine := o.shard, o.machine
		before := o.append(Block(1, "a"))
		o.own()
		if err := old.Append(o.context(), []engine.Record{Block(1, "zombie"), Note("zombie")}); !errors.Is(err, engine.ErrFenced) {
			o.Errorf("append by the earlier owner: %v, want ErrFenced", err)
		}
		after := o.append(Block(1, "b"))
		o.wantApplied(before, after)
		if diff := Diff(oldMachine.Records(), before); diff != "" {
			o.Errorf("the earlier owner's machine went on: %s", diff)
		}
		_ = old.Release(o.context())
		o.wantBlocks(o.readAll(1, 0, 1<<20), before[0], after[0])
	},
	"Own in the midst of appends loses nothing that was answered": ownAmidst,
	"Release and Close end the shard": func(o *owner) {
		o.open()
		for name, end := range map[string]func(){"release": o.release, "close": o.close} {
			o.append(Block(1, "x"))
			end()
			if err := o.shard.Append(o.context(), []engine.Record{Note("late")}); !errors.Is(err, engine.ErrClosed) {
				o.Errorf("append after %s: %v, want ErrClosed", name, err)
			}
			if err := o.shard.Enqueue([]engine.Record{Note("late")}); !errors.Is(err, engine.ErrClosed) {
				o.Errorf("enqueue after %s: %v, want ErrClosed", name, err)
			}
			if err := o.shard.Read(o.context(), 1, 0, &engine.Batch{}); !errors.Is(err, engine.ErrClosed) {
				o.Errorf("read after %s: %v, want ErrClosed", name, err)
			}
			if _, err := o.shard.OffsetAt(o.context(), 1, 0); !errors.Is(err, engine.ErrClosed) {
				o.Errorf("OffsetAt after %s: %v, want ErrClosed", name, err)
			}
			o.shard.Trim(1, 1)
			if err := o.shard.Release(o.context()); err != nil {
				o.Errorf("release after %s: %v", name, err)
			}
			if o.engine == nil {
				o.start()
			}
			o.own()
		}
		o.wantBlocks(o.readAll(1, 1, 0), engine.Record{Kind: engine.KindBlock, Topic: 1, Count: 1, Body: Block(1, "x").Body, Stamp: o.machine.Records()[1].Stamp})
	},
	"Own of a closed engine is refused": func(o *owner) {
		o.open()
		old := o.engine
		o.close()
		if _, err := old.Own(o.context(), 0, &Recorder{}); !errors.Is(err, engine.ErrClosed) {
			o.Errorf("own: %v, want ErrClosed", err)
		}
	},
}

// ownAmidst changes the owner while eight goroutines append. Whatever was answered with yes by then must be in the new owner's log,
// and after the change nobody gets a yes any more.
func ownAmidst(o *owner) {
	o.open()
	const writers = 8
	for range 5 {
		old, ctx := o.shard, o.context()
		answered := make([][][]engine.Record, writers)
		before := len(o.machine.Records())
		var wg sync.WaitGroup
		started := make(chan struct{}, 2*writers)
		for w := range writers {
			wg.Go(func() {
				defer func() { started <- struct{}{} }() // who failed is not waited for
				for i := 0; ; i++ {
					recs := []engine.Record{Block(1, fmt.Sprint(w, " ", i)), Note(fmt.Sprint(w, " ", i))}
					if err := old.Append(ctx, recs); err != nil {
						if !errors.Is(err, engine.ErrFenced) {
							o.Errorf("append: %v, want ErrFenced", err)
						}
						return
					}
					answered[w] = append(answered[w], recs)
					if i == 3 {
						started <- struct{}{}
					}
				}
			})
		}
		for range writers {
			<-started
		}
		o.own()
		log := o.machine.Records()
		wg.Wait()
		known := map[engine.Stamp]bool{}
		for _, r := range log[before:] {
			known[r.Stamp] = true
		}
		for w := range answered {
			for _, recs := range answered[w] {
				if !known[recs[0].Stamp] {
					o.Fatalf("%s was answered with yes and is lost", describe(&recs[0]))
				}
			}
		}
		if len(log)%2 != 0 {
			o.Fatalf("an append was taken in part: %d records", len(log))
		}
	}
}

var errMachine = errors.New("the machine refuses")

var failureCases = map[string]func(*owner){
	"A machine that refuses a record refuses the shard": func(o *owner) {
		o.open()
		recs := o.append(Note("poison"))
		o.kill()
		if _, err := o.engine.Own(o.context(), 0, &Recorder{ApplyErr: errMachine}); !errors.Is(err, errMachine) {
			o.Fatalf("own: %v, want the machine's error", err)
		}
		o.own()
		o.wantApplied(recs)
	},
	"A machine that refuses its checkpoint refuses the shard": func(o *owner) {
		o.open()
		recs := o.append(Note("x"))
		o.close()
		o.start()
		broken := &Recorder{RestoreErr: errMachine}
		if _, err := o.engine.Own(o.context(), 0, broken); err == nil {
			if Diff(broken.Records(), recs) != "" {
				o.Fatal("the shard was given out without its state")
			}
		} else if !errors.Is(err, errMachine) {
			o.Fatalf("own: %v, want the machine's error", err)
		}
		o.own()
		o.wantApplied(recs)
	},
	"A machine that refuses a record later fails the shard": func(o *owner) {
		o.open()
		recs := o.append(Note("good"))
		select {
		case <-o.shard.Failed():
			o.Fatal("failed without a failure")
		default:
		}
		o.machine.ApplyErr = errMachine
		for range 2 {
			if err := o.shard.Append(o.context(), []engine.Record{Note("bad")}); !errors.Is(err, engine.ErrFailed) {
				o.Fatalf("append: %v, want ErrFailed", err)
			}
		}
		select {
		case <-o.shard.Failed():
		case <-o.context().Done():
			o.Fatal("Failed is not closed")
		}
		_ = o.shard.Release(o.context())
		_ = o.engine.Close()
		o.open()
		if got := o.machine.Records(); len(got) < 1 || Diff(got[:1], recs) != "" {
			o.Errorf("the next owner has %d records", len(got))
		}
	},
	"A machine that cannot save loses nothing": func(o *owner) {
		o.open()
		recs := o.append(Note("a"), Block(1, "b"))
		o.machine.SaveErr = errMachine
		_ = o.shard.Release(context.Background())
		_ = o.engine.Close()
		o.open()
		o.wantApplied(recs)
		o.wantBlocks(o.readAll(1, 0, 0), recs[1])
	},
}
