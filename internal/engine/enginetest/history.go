package enginetest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/posthaste-io/posthaste/internal/engine"
)

var historyCases = map[string]func(*owner){
	"Random history 1 agrees with a list of records": func(o *owner) { playHistory(o, 1) },
	"Random history 2 agrees with a list of records": func(o *owner) { playHistory(o, 2) },
	"Random history 3 agrees with a list of records": func(o *owner) { playHistory(o, 3) },
	"Random history 4 agrees with a list of records": func(o *owner) { playHistory(o, 4) },
}

func playHistory(o *owner, seed uint64) {
	o.open()
	h := &history{
		owner:  o,
		rng:    rand.New(rand.NewPCG(seed, 1)),
		bodies: map[engine.Stamp][]byte{},
		floor:  map[engine.TopicID]engine.Offset{},
	}
	for range 150 {
		h.step()
	}
}

// history does random things to a shard and knows what must come of them.
type history struct {
	*owner
	rng    *rand.Rand
	log    []engine.Record // everything appended and enqueued that is not known to be lost; bodies of notes only
	sure   int             // so many of them are known to be durable
	ends   []int           // lengths of the log at which an append ended
	bodies map[engine.Stamp][]byte
	floor  map[engine.TopicID]engine.Offset // trimmed up to here
}

func (h *history) step() {
	switch n := h.rng.IntN(100); {
	case n < 45:
		h.took(h.append(h.records()...))
		h.sure = len(h.log)
	case n < 65:
		h.took(h.enqueue(h.records()...))
	case n < 80:
		h.checkRead()
	case n < 92:
		h.trim()
	case n < 94:
		h.kill()
		h.afterKill()
	default:
		ways := []string{"release", "close", "release, close"}
		h.ways()[ways[h.rng.IntN(len(ways))]]()
		h.sure = len(h.log)
		h.checkState()
	}
}

func (h *history) records() []engine.Record {
	recs := make([]engine.Record, 1+h.rng.IntN(4))
	for i := range recs {
		text := strings.Repeat(fmt.Sprint(h.rng.IntN(1000), " "), h.rng.IntN(400))
		if h.rng.IntN(3) == 0 {
			recs[i] = Note(text)
			continue
		}
		messages := make([]string, 1+h.rng.IntN(3))
		for m := range messages {
			messages[m] = text
		}
		recs[i] = Block(engine.TopicID(h.rng.IntN(4)), messages...)
	}
	return recs
}

func (h *history) took(recs []engine.Record) {
	for _, r := range recs {
		if r.Kind == engine.KindBlock {
			h.bodies[r.Stamp] = r.Body
			r.Body = nil
		}
		h.log = append(h.log, r)
	}
	h.ends = append(h.ends, len(h.log))
}

// afterKill lets go of what was enqueued and is lost: the end of the log, in whole appends.
func (h *history) afterKill() {
	h.Helper()
	n := len(h.machine.Records())
	if n < h.sure || n > len(h.log) {
		h.Fatalf("%d records after a kill; %d were appended, %d of them durable", n, len(h.log), h.sure)
	}
	if n != h.sure && n != len(h.log) {
		whole := false
		for _, end := range h.ends {
			whole = whole || end == n
		}
		if !whole {
			h.Fatalf("%d records after a kill: some append is there in part", n)
		}
	}
	h.log, h.sure = h.log[:n:n], n
	h.checkState()
}

func (h *history) checkState() {
	h.Helper()
	h.wantApplied(h.log)
	for range 3 {
		h.checkRead()
	}
}

// expected is the blocks of a topic that hold offsets of at least from, up to so many records of the log.
func (h *history) expected(t engine.TopicID, from engine.Offset, records int) []engine.Record {
	var want []engine.Record
	for _, r := range h.log[:records] {
		if r.Kind == engine.KindBlock && r.Topic == t && r.Stamp.First+engine.Offset(r.Count) > from {
			r.Body = h.bodies[r.Stamp]
			want = append(want, r)
		}
	}
	return want
}

func (h *history) end(t engine.TopicID) engine.Offset {
	all := h.expected(t, 0, len(h.log))
	if len(all) == 0 {
		return 0
	}
	last := all[len(all)-1]
	return last.Stamp.First + engine.Offset(last.Count)
}

// checkRead reads from a random place. What is below the trim point may be there or not; what is only enqueued, too.
func (h *history) checkRead() {
	h.Helper()
	t := engine.TopicID(h.rng.IntN(4))
	from := engine.Offset(h.rng.Uint64N(uint64(h.end(t)) + 2))
	got := h.readAll(t, from, h.rng.IntN(4000))
	for len(got) > 0 && got[0].End() <= h.floor[t] {
		if want := h.bodies[got[0].Stamp]; string(want) != string(got[0].Body) {
			h.Fatalf("topic %d: other bytes at %d than were appended", t, got[0].First)
		}
		got = got[1:]
	}
	sure, all := h.expected(t, max(from, h.floor[t]), h.sure), h.expected(t, max(from, h.floor[t]), len(h.log))
	if len(got) < len(sure) || len(got) > len(all) {
		h.Fatalf("topic %d from %d: %d blocks, want %d to %d", t, from, len(got), len(sure), len(all))
	}
	h.wantBlocks(got, all[:len(got)]...)
}

func (h *history) trim() {
	t := engine.TopicID(h.rng.IntN(4))
	if sure := h.expected(t, 0, h.sure); len(sure) > 0 { // an owner trims what is durable
		last := sure[len(sure)-1]
		h.floor[t] = max(h.floor[t], engine.Offset(h.rng.Uint64N(uint64(last.Stamp.First)+uint64(last.Count)+1)))
		h.shard.Trim(t, h.floor[t])
	}
}
