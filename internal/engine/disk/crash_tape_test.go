package disk

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/enginetest"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// crashLong makes the crash tests visit every state that they can reach. Without it they take samples, for some ten seconds each.
var crashLong = flag.Bool("crash.long", false, "visit every state in the crash tests")

// shortOrLong chooses a size by crashLong.
func shortOrLong(short, long int) int {
	if *crashLong {
		return long
	}
	return short
}

// loseAll makes Mem.Crash keep nothing that was not synced.
func loseAll() *rand.Rand { return rand.New(lossy(1<<32 | 1)) }

type lossy uint64

func (l lossy) Uint64() uint64 { return uint64(l) }

// taped is one Append or Enqueue of a tape, in log order: there is one appender.
type taped struct{ recs []engine.Record }

// history is what is known about a store from outside: what was given to it, how much of that was answered, and what was trimmed.
type history struct {
	log   []*taped
	sure  int                              // so many entries are durable for certain
	floor map[engine.TopicID]engine.Offset // blocks below may be gone
}

func (h history) records(entries int) []engine.Record {
	var all []engine.Record
	for _, e := range h.log[:entries] {
		all = append(all, e.recs...)
	}
	return all
}

// tape plays a random script on a store whose file system can be stopped at every operation, and remembers what it may expect.
type tape struct {
	t       testing.TB
	rng     *rand.Rand
	mem     *vfs.Mem
	fs      *vfs.Faulty
	clock   *clock.Manual
	engine  *Engine
	shard   engine.Shard
	machine *enginetest.Recorder
	oldest  engine.TopicID // topics from here on, six of them, are in use

	mu   sync.Mutex // an operation of the file system looks at these from another goroutine
	h    history
	step int
}

const tapeTopics = 6

var tapeNoon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newTape(t testing.TB, seed uint64) *tape {
	return &tape{
		t: t, rng: rand.New(rand.NewPCG(seed, 2)), mem: vfs.NewMem(), clock: clock.NewManual(tapeNoon),
		h: history{floor: map[engine.TopicID]engine.Offset{}},
	}
}

// crashOptions make everything happen often: segments of 32 KiB, a checkpoint every 40 KiB.
func crashOptions(fs vfs.FS, c clock.Clock) Options {
	return Options{FS: fs, Dir: "data", Clock: c, SegmentBytes: 32 << 10, TailBytes: 64 << 10, CheckpointBytes: 40 << 10}
}

// watch has decide asked before every operation on the tape's disk from now on.
func (p *tape) watch(decide func(vfs.Op) *vfs.Fault) { p.fs = vfs.NewFaulty(p.mem, decide) }

func (p *tape) open() error {
	e, err := Open(crashOptions(p.fs, p.clock))
	if err != nil {
		return err
	}
	p.engine = e
	return p.own()
}

func (p *tape) own() error {
	machine := &enginetest.Recorder{}
	s, err := p.engine.Own(context.Background(), 0, machine)
	if err == nil {
		p.shard, p.machine = s, machine
	}
	return err
}

// known is the history as it is now, and the step of the script.
func (p *tape) known() (history, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.h.log)
	return history{log: p.h.log[:n:n], sure: p.h.sure, floor: maps.Clone(p.h.floor)}, p.step
}

// add puts an entry into the history before anybody can see it on the disk.
func (p *tape) add(recs []engine.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.h.log = append(p.h.log, &taped{recs})
}

func (p *tape) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.h.sure = len(p.h.log)
}

// play does one step of the script. Its error is what the engine answered.
func (p *tape) play() error {
	p.mu.Lock()
	p.step++
	p.mu.Unlock()
	p.clock.Advance(3 * time.Millisecond)
	switch n := p.rng.IntN(100); {
	case n < 55:
		recs := p.records()
		p.add(recs)
		if err := p.shard.Append(context.Background(), recs); err != nil {
			return err
		}
		p.answered()
	case n < 75:
		for range 1 + p.rng.IntN(3) {
			recs := p.records()
			p.add(recs)
			if err := p.shard.Enqueue(recs); err != nil {
				return err
			}
		}
	case n < 86:
		p.trim()
	case n < 90:
		p.clock.Advance(time.Duration(1+p.rng.IntN(12)) * time.Second)
	case n < 93: // what was enqueued and not yet durable is lost to the next owner, or not
		if err := p.own(); err != nil {
			return err
		}
		return p.adopt()
	case n < 96:
		if err := p.shard.Release(context.Background()); err != nil {
			return err
		}
		p.answered()
		return p.own()
	default:
		return p.restart()
	}
	return nil
}

func (p *tape) restart() error {
	err := p.engine.Close()
	if err != nil {
		return err
	}
	p.answered()
	return p.open()
}

// records makes a few records of random kinds and sizes. What they hold tells where they belong.
func (p *tape) records() []engine.Record {
	recs := make([]engine.Record, 1+p.rng.IntN(4))
	for i := range recs {
		size := p.rng.IntN(1500)
		if p.rng.IntN(60) == 0 {
			size = 40_000 // more than a segment
		}
		text := fmt.Sprintf("step %d record %d ", p.step, i)
		text = strings.Repeat(text, 1+size/len(text))
		if p.rng.IntN(3) == 0 {
			recs[i] = enginetest.Note(text)
			continue
		}
		topic := p.oldest + engine.TopicID(p.rng.IntN(tapeTopics))
		recs[i] = enginetest.Block(topic, []string{text, text[:p.rng.IntN(10)], "x"}[:1+p.rng.IntN(3)]...)
	}
	return recs
}

// trim lets go of some of a topic, most of it or all.
func (p *tape) trim() {
	topic, to := p.oldest+engine.TopicID(p.rng.IntN(tapeTopics)), engine.Offset(0)
	if p.rng.IntN(8) == 0 {
		topic, to = p.oldest, engine.Everything
		p.oldest++
	} else {
		for _, e := range p.h.log[:p.h.sure] {
			for _, r := range e.recs {
				if r.Kind == engine.KindBlock && r.Topic == topic {
					to = r.Stamp.First + engine.Offset(r.Count)
				}
			}
		}
		if to > 0 && p.rng.IntN(2) == 0 {
			to = engine.Offset(p.rng.Uint64N(uint64(to)))
		}
	}
	p.mu.Lock()
	p.h.floor[topic] = max(p.h.floor[topic], to)
	p.mu.Unlock()
	p.shard.Trim(topic, to)
}

// adopt checks that a new owner's state is one that the history allows, and goes on from there.
func (p *tape) adopt() error {
	n, err := p.h.prefix(p.machine.Records())
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.h.log, p.h.sure = p.h.log[:n:n], n
	return nil
}

// prefix finds how many entries a machine's state holds: all that was answered, and whole entries only.
func (h history) prefix(got []engine.Record) (int, error) {
	n, rest := 0, got
	for len(rest) > 0 && n < len(h.log) {
		recs := h.log[n].recs
		if diff := enginetest.Diff(rest[:min(len(recs), len(rest))], recs); diff != "" {
			return n, fmt.Errorf("entry %d of %d (%d sure): %s", n, len(h.log), h.sure, diff)
		}
		n, rest = n+1, rest[len(recs):]
	}
	if len(rest) > 0 {
		return n, fmt.Errorf("%d records that nobody appended", len(rest))
	}
	if n < h.sure {
		return n, fmt.Errorf("only %d entries, though %d were answered", n, h.sure)
	}
	return n, nil
}

// recovered is a store that was opened after something went wrong.
type recovered struct {
	engine  *Engine
	shard   engine.Shard
	machine *enginetest.Recorder
}

// recoverStore opens a store with a clock that was set back, which must not matter.
func recoverStore(fs vfs.FS) (*recovered, error) {
	e, err := Open(crashOptions(fs, clock.NewManual(tapeNoon.Add(-time.Hour))))
	if err != nil {
		return nil, err
	}
	r := &recovered{engine: e, machine: &enginetest.Recorder{}}
	if r.shard, err = e.Own(context.Background(), 0, r.machine); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return r, nil
}

// checkBlocks reads all topics and compares with the first n entries. Blocks whose reading answers ErrCorrupt are tolerated if the
// caller says so; the topics that have such are returned.
func (r *recovered) checkBlocks(h history, n int, tolerant bool) (corrupt map[engine.TopicID]bool, err error) {
	corrupt = map[engine.TopicID]bool{}
	want := map[engine.TopicID][]engine.Record{}
	for _, rec := range h.records(n) {
		if rec.Kind == engine.KindBlock {
			want[rec.Topic] = append(want[rec.Topic], rec)
		}
	}
	for topic, recs := range want {
		if err := r.checkTopic(recs, h.floor[topic]); err == nil {
			continue
		} else if !tolerant || !errors.Is(err, engine.ErrCorrupt) {
			return corrupt, fmt.Errorf("topic %d: %w", topic, err)
		}
		corrupt[topic] = true
	}
	return corrupt, nil
}

// checkTopic reads a topic from its beginning. Behind damage it goes on, to find wrong bytes there too, and answers the damage at last.
func (r *recovered) checkTopic(want []engine.Record, floor engine.Offset) error {
	var damage error
	last := &want[len(want)-1]
	batch := engine.Batch{BytesMax: 4000}
	for from := engine.Offset(0); from < last.Stamp.First+engine.Offset(last.Count); {
		err := r.shard.Read(context.Background(), last.Topic, from, &batch)
		if err != nil {
			batch.Release()
			if !errors.Is(err, engine.ErrCorrupt) {
				return err
			}
			damage, from = err, from+1
			continue
		}
		blocks := enginetest.Take(&batch)
		if len(blocks) == 0 {
			if floor >= last.Stamp.First+engine.Offset(last.Count) {
				break
			}
			return fmt.Errorf("nothing at %d, though it goes on to block %d", from, last.Stamp.First)
		}
		for i := range blocks {
			b := &blocks[i]
			for len(want) > 0 && want[0].Stamp.First < b.First {
				end := want[0].Stamp.First + engine.Offset(want[0].Count)
				if end > from && end > floor {
					return fmt.Errorf("the block at %d is skipped", want[0].Stamp.First)
				}
				want = want[1:]
			}
			if len(want) == 0 || want[0].Stamp != b.Stamp || want[0].Count != b.Count || !bytes.Equal(want[0].Body, b.Body) {
				return fmt.Errorf("the block at %d is not what was appended there", b.First)
			}
			from, want = b.End(), want[1:]
		}
	}
	return damage
}

// checkGoesOn appends to every topic in use: offsets, ids and times go on behind what the state has.
func (r *recovered) checkGoesOn(h history, n int) (history, error) {
	next := map[engine.TopicID]engine.Offset{}
	var last engine.Stamp
	for _, rec := range h.records(n) {
		if rec.Kind == engine.KindBlock && h.floor[rec.Topic] != engine.Everything {
			next[rec.Topic] = rec.Stamp.First + engine.Offset(rec.Count)
		}
		if rec.Kind == engine.KindBlock {
			last = rec.Stamp
			last.ID += uint64(rec.Count)
		}
	}
	var recs []engine.Record
	for topic := range next {
		recs = append(recs, enginetest.Block(topic, "one more"), enginetest.Note("and a note"))
	}
	if err := r.shard.Append(context.Background(), recs); err != nil {
		return h, err
	}
	for _, rec := range recs {
		if rec.Kind != engine.KindBlock {
			continue
		}
		if s := rec.Stamp; s.First != next[rec.Topic] || s.ID < last.ID || s.Time < last.Time {
			return h, fmt.Errorf("topic %d goes on with %+v, want offset %d behind %+v", rec.Topic, s, next[rec.Topic], last)
		}
	}
	return history{log: append(h.log[:n:n], &taped{recs}), sure: n + 1, floor: h.floor}, nil
}

// checkCrashed recovers what a crash left and checks that it is a state that the history allows, that it lasts, and that it can be
// gone on with.
func checkCrashed(left *vfs.Mem, h history, thorough bool) error {
	r, err := recoverStore(left)
	if err != nil {
		return fmt.Errorf("refused: %w", err)
	}
	defer r.engine.Close()
	n, err := h.prefix(r.machine.Records())
	if err != nil {
		return err
	}
	if _, err := r.checkBlocks(h, n, false); err != nil {
		return err
	}
	h = history{log: h.log[:n:n], sure: n, floor: h.floor}
	// What the owner has seen is durable by now, even if the crash had only left it in memory.
	if thorough {
		if h, err = r.checkGoesOn(h, n); err != nil {
			return fmt.Errorf("going on: %w", err)
		}
	}
	again, err := recoverStore(left.Crash(loseAll()))
	if err != nil {
		return fmt.Errorf("refused the second time: %w", err)
	}
	defer again.engine.Close()
	if diff := enginetest.Diff(again.machine.Records(), h.records(len(h.log))); diff != "" {
		return fmt.Errorf("another state the second time: %s", diff)
	}
	if _, err := again.checkBlocks(h, len(h.log), false); err != nil {
		return fmt.Errorf("the second time: %w", err)
	}
	return nil
}
