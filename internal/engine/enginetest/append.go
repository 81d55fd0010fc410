package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
)

var appendCases = map[string]func(*owner){
	"Append stamps blocks densely in the order of the records": func(o *owner) {
		o.open()
		first := o.append(Block(1, "a", "b"), Note("n"), Block(2, "c"), Block(1, "d", "e", "f"))
		second := o.append(Block(2, "g"), Block(1, "h"))
		for _, c := range []struct {
			record engine.Record
			first  engine.Offset
			after  uint64 // messages in the shard before this one
		}{
			{first[0], 0, 0}, {first[2], 0, 2}, {first[3], 2, 3}, {second[0], 1, 6}, {second[1], 5, 7},
		} {
			stamp := c.record.Stamp
			if stamp.First != c.first || stamp.ID != first[0].Stamp.ID+c.after {
				o.Errorf("block of topic %d: %+v, want offset %d and id %d", c.record.Topic, stamp, c.first, first[0].Stamp.ID+c.after)
			}
			if stamp.Time <= 0 || stamp.Time%int64(time.Millisecond) != 0 {
				o.Errorf("publish time %d is not whole milliseconds", stamp.Time)
			}
		}
		if first[1].Stamp != (engine.Stamp{}) {
			o.Errorf("a note was stamped: %+v", first[1].Stamp)
		}
	},
	"Append has copied the bodies when it returns": func(o *owner) {
		o.open()
		block, note := Block(1, "original"), Note("original")
		o.append(block, note)
		clear(block.Body)
		clear(note.Body)
		if got := o.read(1, 0, 0); len(got) != 1 || !strings.Contains(string(got[0].Body), "original") {
			o.Errorf("read %d blocks, or other bytes", len(got))
		}
		o.append(Note("another"))
		if got := o.machine.Records(); string(got[1].Body) != "original" {
			o.Errorf("the machine got %q", got[1].Body)
		}
	},
	"Apply is called for each record in log order before Append returns": func(o *owner) {
		o.open()
		var appends [][]engine.Record
		for i := range 50 {
			recs := []engine.Record{Note(fmt.Sprint("before ", i)), Block(engine.TopicID(i%3), "x"), {Kind: 7, Body: []byte("odd kind")}}
			appends = append(appends, o.append(recs[:1+i%3]...))
			o.wantApplied(appends...)
		}
	},
	"Append of nothing does nothing": func(o *owner) {
		o.open()
		o.append()
		o.enqueue()
		o.wantApplied()
	},
	"Append refuses what cannot be stored, all of it": func(o *owner) {
		o.open()
		for name, bad := range map[string]engine.Record{
			"a block without messages": {Kind: engine.KindBlock, Topic: 1},
			"a body that is too large": {Kind: engine.KindNote, Body: make([]byte, engine.RecordBytesMax+1)},
		} {
			if err := o.shard.Append(o.context(), []engine.Record{Block(1, "good"), bad}); err == nil {
				o.Errorf("%s was taken", name)
			}
			if err := o.shard.Enqueue([]engine.Record{Block(1, "good"), bad}); err == nil {
				o.Errorf("%s was enqueued", name)
			}
		}
		o.wantApplied(o.append(Block(1, "next")))
	},
	"Append takes records up to the limit": func(o *owner) {
		o.open()
		body := make([]byte, engine.RecordBytesMax-100)
		for i := range body {
			body[i] = byte(i * i >> 8)
		}
		large := o.append(Block(1, "before"), Block(1, string(body)), Block(1, "after"))
		note := o.append(engine.Record{Kind: engine.KindNote, Body: make([]byte, engine.RecordBytesMax)})
		o.wantApplied(large, note)
		o.wantBlocks(o.readAll(1, 0, 0), large...)
		o.close()
		o.open()
		o.wantApplied(large, note)
		o.wantBlocks(o.readAll(1, 0, 1<<30), large...)
	},
	"Append by many at a time keeps each one's records together and in order": func(o *owner) {
		o.open()
		const writers, each = 8, 60
		var wg sync.WaitGroup
		appended := make([][][]engine.Record, writers)
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					name := fmt.Sprintf("%d/%d", w, i)
					recs := []engine.Record{Block(engine.TopicID(i%3), name, name), Note(name), Block(engine.TopicID(w), name)}
					if err := o.shard.Append(context.Background(), recs); err != nil {
						o.Errorf("append: %v", err)
						return
					}
					appended[w] = append(appended[w], recs)
				}
			})
		}
		wg.Wait()
		checkLog(o, o.machine.Records(), appended)
	},
	"Append whose context has ended returns and leaves the log whole": func(o *owner) {
		o.open()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		known := 0
		for range 20 {
			err := o.shard.Append(ended, []engine.Record{Block(1, "maybe"), Note("maybe")})
			if err == nil {
				known++
			} else if !errors.Is(err, context.Canceled) {
				o.Fatalf("append: %v", err)
			}
		}
		last := o.append(Block(1, "sure"))
		records := o.machine.Records()
		if len(records)%2 != 1 || len(records) < 2*known+1 || len(records) > 41 {
			o.Fatalf("%d records applied, %d appends known to be there", len(records), known)
		}
		if blocks := o.readAll(1, 0, 1<<20); len(blocks) != len(records)/2+1 || last[0].Stamp.First != engine.Offset(len(blocks)-1) {
			o.Errorf("%d blocks after %d records; the last is at %d", len(blocks), len(records), last[0].Stamp.First)
		}
	},
}

// checkLog checks that a log is made of whole appends, in the order of each writer, and that stamps grow densely along it.
func checkLog(o *owner, log []engine.Record, appended [][][]engine.Record) {
	o.Helper()
	next := map[engine.TopicID]engine.Offset{}
	var nextID uint64
	for i, r := range log {
		if r.Kind != engine.KindBlock {
			continue
		}
		if r.Stamp.First != next[r.Topic] {
			o.Fatalf("record %d: topic %d goes on at %d, want %d", i, r.Topic, r.Stamp.First, next[r.Topic])
		}
		if nextID != 0 && r.Stamp.ID != nextID {
			o.Fatalf("record %d has id %d, want %d", i, r.Stamp.ID, nextID)
		}
		next[r.Topic], nextID = r.Stamp.First+engine.Offset(r.Count), r.Stamp.ID+uint64(r.Count)
	}
	place := make([]int, len(appended))
	for len(log) > 0 {
		taken := 0
		for w, recs := range appended {
			if place[w] < len(recs) && len(recs[place[w]]) <= len(log) && Diff(log[:len(recs[place[w]])], recs[place[w]]) == "" {
				taken = len(recs[place[w]])
				place[w]++
				break
			}
		}
		if taken == 0 {
			o.Fatalf("%s is not the beginning of any writer's next append", describe(&log[0]))
		}
		log = log[taken:]
	}
	for w, recs := range appended {
		if place[w] < len(recs) {
			o.Fatalf("writer %d: append %d is missing", w, place[w])
		}
	}
}

var enqueueCases = map[string]func(*owner){
	"Enqueue is durable and applied after a while by itself": func(o *owner) {
		o.open()
		recs := o.enqueue(Note("lazy"), Block(1, "lazy"))
		for started := time.Now(); len(o.machine.Records()) < len(recs); time.Sleep(time.Millisecond) {
			if time.Since(started) > limit {
				o.Fatal("nothing was applied")
			}
		}
		o.wantApplied(recs)
		o.wantBlocks(o.read(1, 0, 0), recs[1])
		o.kill()
		o.wantApplied(recs)
	},
	"Enqueue has its place in the log before a later Append": func(o *owner) {
		o.open()
		var appends [][]engine.Record
		for i := range 100 {
			recs := []engine.Record{Note(fmt.Sprint("note ", i)), Block(1, "x")}
			if i%10 == 9 {
				appends = append(appends, o.append(recs...))
				o.wantApplied(appends...)
			} else {
				appends = append(appends, o.enqueue(recs...))
			}
		}
		o.kill()
		o.wantApplied(appends...)
	},
	"Enqueue is durable after Release": func(o *owner) {
		o.open()
		recs := o.enqueue(Note("last words"), Block(1, "x"))
		o.release()
		o.wantApplied(recs)
		o.kill()
		o.wantApplied(recs)
	},
	"Enqueue is durable after Close": func(o *owner) {
		o.open()
		recs := o.enqueue(Note("last words"), Block(1, "x"))
		o.close()
		o.wantApplied(recs)
		o.open()
		o.wantApplied(recs)
	},
	"Enqueue does not wait for Apply": func(o *owner) {
		o.open()
		var mine sync.Mutex
		o.machine.Locked = &mine
		mine.Lock()
		recs := o.enqueue(Note("under the machine's own lock"))
		mine.Unlock()
		o.wantApplied(recs, o.append(Note("more")))
	},
}
