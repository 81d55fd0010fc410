package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/enginetest"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

var errDisk = errors.New("the disk failed")

// fault is where the disk of a script fails: at the n-th operation of a kind, and for good if it is dead from there on.
type fault struct {
	kind vfs.OpKind
	nth  int
	dead bool
}

func (f fault) String() string { return fmt.Sprintf("%v %d, dead %v", f.kind, f.nth, f.dead) }

// tolerable tells which failures need not end the log: a file that stays where it is not needed is only untidy.
func tolerable(op vfs.Op) bool {
	return op.Kind == vfs.OpRemove || op.Kind == vfs.OpSyncDir && op.Name == "."
}

// playWithFault plays a script until the engine answers with an error, and reports what was hit: nil when the script ended before. Once
// the fault has struck and the log has said that it failed, nothing may be answered with yes.
func playWithFault(p *tape, f fault, steps int) (*vfs.Op, error) {
	var hit atomic.Pointer[vfs.Op]
	p.watch(func(op vfs.Op) *vfs.Fault {
		switch {
		case hit.Load() == nil && op.Kind == f.kind && op.Nth == f.nth:
			hit.Store(&op)
			return &vfs.Fault{Err: errDisk, Bytes: op.Bytes / 2}
		case f.dead && hit.Load() != nil && op.Kind.Changes():
			return &vfs.Fault{Err: errDisk}
		}
		return nil
	})
	if err := p.open(); err != nil {
		return hit.Load(), expected(hit.Load(), err)
	}
	for range steps {
		if err := p.play(); err != nil {
			return hit.Load(), expected(hit.Load(), err)
		}
		if op := hit.Load(); op != nil && !tolerable(*op) {
			return op, p.mustFail()
		}
	}
	return hit.Load(), nil
}

// expected takes an error that the engine answered: it is right only if the disk has failed.
func expected(hit *vfs.Op, err error) error {
	if hit == nil || !errors.Is(err, errDisk) && !errors.Is(err, engine.ErrFailed) {
		return fmt.Errorf("after fault %+v: %w", hit, err)
	}
	return nil
}

// mustFail waits until the engine has noticed the fault, and checks that it takes nothing any more.
func (p *tape) mustFail() error {
	select {
	case <-p.shard.Failed():
	case <-time.After(2 * time.Minute):
		return errors.New("the log does not say that it failed")
	}
	for range 3 {
		recs := []engine.Record{enginetest.Note("after the failure")}
		if err := p.shard.Append(context.Background(), recs); !errors.Is(err, engine.ErrFailed) {
			return fmt.Errorf("append after the failure: %w", err)
		}
		if err := p.shard.Enqueue(recs); !errors.Is(err, engine.ErrFailed) {
			return fmt.Errorf("enqueue after the failure: %w", err)
		}
	}
	return nil
}

func TestADiskThatFailsOnceOrForGoodLosesNothingThatWasAnswered(t *testing.T) {
	const steps = 60
	kinds := []vfs.OpKind{vfs.OpWrite, vfs.OpSync, vfs.OpCreate, vfs.OpRename, vfs.OpSyncDir, vfs.OpRemove, vfs.OpTruncate}
	runs := 0
	for _, kind := range kinds {
		for nth := 1; ; nth += shortOrLong(1+nth/4, 1) {
			f, over := fault{kind: kind, nth: nth, dead: nth%2 == 0}, false
			p := newTape(t, 5)
			hit, err := playWithFault(p, f, steps)
			runs++
			over = hit == nil
			if err != nil {
				t.Errorf("%v: %v", f, err)
			}
			h, _ := p.known()
			// What was given to an engine that has failed is not lost and not there: both is right.
			left := []*vfs.Mem{p.mem.Snapshot(), p.mem.Crash(loseAll()), p.mem.Crash(rand.New(rand.NewPCG(uint64(nth), 5)))}
			if p.engine != nil {
				_ = p.engine.Close()
				left = append(left, p.mem.Snapshot(), p.mem.Crash(loseAll()))
			}
			for i, mem := range left {
				if err := checkCrashed(mem, h, true); err != nil {
					t.Errorf("%v: state %d after it: %v", f, i, err)
				}
			}
			if over || t.Failed() {
				break
			}
		}
	}
	t.Logf("%d runs", runs)
}

func TestRecoveryThatIsCutAnywhereGivesTheSameState(t *testing.T) {
	cuts, states := recordCuts(t, 3, 150), 0
	stride := shortOrLong(200, 20)
	for i := 0; i < len(cuts); i += stride {
		start := cuts[i].mem.Crash(rand.New(rand.NewPCG(uint64(i), 3)))
		var within []*vfs.Mem
		fs := vfs.NewFaulty(start, func(op vfs.Op) *vfs.Fault {
			if op.Kind.Changes() {
				within = append(within, start.Snapshot())
			}
			return nil
		})
		r, err := recoverStore(fs)
		if err != nil {
			t.Fatalf("cut %d (%v): %v", i, cuts[i], err)
		}
		n, err := cuts[i].h.prefix(r.machine.Records())
		if err != nil {
			t.Fatalf("cut %d (%v): %v", i, cuts[i], err)
		}
		_ = r.engine.Close()
		h := history{log: cuts[i].h.log[:n:n], sure: n, floor: cuts[i].h.floor}
		for k, mem := range within {
			for pattern := range 2 {
				left := mem.Crash(rand.New(rand.NewPCG(uint64(k), uint64(pattern))))
				if err := checkCrashed(left, h, pattern == 0); err != nil {
					t.Fatalf("cut %d (%v), again before change %d of the recovery, pattern %d: %v", i, cuts[i], k, pattern, err)
				}
				states++
			}
		}
	}
	t.Logf("%d crash states", states)
}

// playFull plays a script on a small disk. What is refused for want of space has never been there.
func playFull(p *tape, steps int) (refused int, err error) {
	for range steps {
		before, _ := p.known()
		if err = p.play(); err == nil {
			continue
		}
		if !errors.Is(err, engine.ErrFull) {
			return refused, err
		}
		refused++
		// A step may enqueue several entries; the one that was refused is the last.
		after, _ := p.known()
		if len(after.log) == len(before.log) {
			return refused, fmt.Errorf("something else than an append was refused: %w", err)
		}
		last := after.log[len(after.log)-1]
		p.mu.Lock()
		p.h.log = p.h.log[: len(p.h.log)-1 : len(p.h.log)-1]
		p.mu.Unlock()
		if !slices.ContainsFunc(last.recs, func(r engine.Record) bool { return r.Kind == engine.KindBlock }) {
			return refused, fmt.Errorf("notes were refused: %w", err)
		}
	}
	return refused, nil
}

func TestAFullDiskRefusesMessagesAndRecovers(t *testing.T) {
	const segment = 32 << 10
	for segments := 4; segments <= 24; segments += shortOrLong(5, 1) {
		p := newTape(t, uint64(segments))
		p.watch(func(vfs.Op) *vfs.Fault { return nil })
		p.mem.SetCapacity(int64(segments) * segment)
		err := p.open()
		refused := 0
		if err == nil {
			refused, err = playFull(p, 150)
		}
		// A disk that has nothing left may refuse a new owner or a note; but want of space is never a failure of the log.
		if err != nil && !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "notes were refused") || errors.Is(err, engine.ErrFailed) {
			t.Errorf("%d segments: %v", segments, err)
		}
		h, _ := p.known()
		for i, mem := range []*vfs.Mem{p.mem.Snapshot(), p.mem.Crash(loseAll())} {
			mem.SetCapacity(1 << 30)
			if err := checkCrashed(mem, h, true); err != nil {
				t.Errorf("%d segments, state %d: %v", segments, i, err)
			}
		}
		if p.engine != nil {
			_ = p.engine.Close()
		}
		t.Logf("%d segments: %d steps refused, then %v", segments, refused, err)
	}
}

// fullDisk is a store on a disk with room for sixteen segments, and its owner.
type fullDisk struct {
	*testing.T
	mem    *vfs.Mem
	clock  *clock.Manual
	engine *Engine
	shard  engine.Shard
}

func newFullDisk(t *testing.T) *fullDisk {
	d := &fullDisk{T: t, mem: vfs.NewMem(), clock: clock.NewManual(tapeNoon)}
	d.mem.SetCapacity(16 * 256 << 10)
	d.open()
	return d
}

func (d *fullDisk) open() {
	d.Helper()
	o := crashOptions(d.mem, d.clock)
	o.SegmentBytes = 256 << 10
	var err error
	if d.engine, err = Open(o); err != nil {
		d.Fatal(err)
	}
	if d.shard, err = d.engine.Own(d.Context(), 0, &enginetest.Recorder{}); err != nil {
		d.Fatal(err)
	}
}

// fill appends until the disk is full.
func (d *fullDisk) fill(rec engine.Record) {
	d.Helper()
	for range 10_000 {
		err := d.shard.Append(d.Context(), []engine.Record{rec})
		if errors.Is(err, engine.ErrFull) {
			return
		}
		if err != nil {
			d.Fatal(err)
		}
	}
	d.Fatal("the disk does not get full")
}

// empty trims everything and waits until messages are taken again.
func (d *fullDisk) empty(what string) {
	d.Helper()
	end, err := d.shard.OffsetAt(d.Context(), 1, 1<<62)
	if err != nil {
		d.Fatal(err)
	}
	d.shard.Trim(1, end)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) { // the keeper works in its own time
		d.clock.Advance(time.Second)
		err := d.shard.Append(d.Context(), []engine.Record{enginetest.Block(1, "fits again")})
		if err == nil {
			return
		}
		if !errors.Is(err, engine.ErrFull) || time.Now().After(deadline) {
			d.Fatalf("%s: after everything was trimmed: %v", what, err)
		}
	}
}

func TestSpaceComesBackWhenNobodyNeedsTheMessages(t *testing.T) {
	d := newFullDisk(t)
	for round := range 5 {
		d.fill(enginetest.Block(1, strings.Repeat("x", 3000)))
		// Three quarters of the reserve are for notes. Each takes a page here, and each segment two more.
		for range 64 {
			if err := d.shard.Append(t.Context(), []engine.Record{enginetest.Note("an acknowledgement")}); err != nil {
				t.Fatalf("round %d: a note on the full disk: %v", round, err)
			}
		}
		d.empty(fmt.Sprint("round ", round))
	}
	if err := d.engine.Close(); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatFilledItsDiskCanBeStartedAndEmptied(t *testing.T) {
	for _, clean := range []bool{true, false} {
		d := newFullDisk(t)
		d.fill(enginetest.Block(1, strings.Repeat("x", 3000)))
		d.fill(engine.Record{Kind: engine.KindNote, Body: []byte("an acknowledgement")})
		for range 3 {
			if clean {
				if err := d.engine.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				old := d.engine
				d.mem = d.mem.Crash(loseAll())
				_ = old.Close()
			}
			d.open()
		}
		d.empty(fmt.Sprint("clean ", clean))
		if err := d.engine.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAFullDiskIsNotAskedAgainAndAgain(t *testing.T) {
	d := newFullDisk(t)
	d.fill(enginetest.Block(1, strings.Repeat("x", 3000)))
	d.fill(engine.Record{Kind: engine.KindNote, Body: []byte("an acknowledgement")})
	s := d.shard.(*shard)
	next := func() uint64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.nextSegment
	}
	before := next()
	const looks = 50
	for range looks {
		d.clock.Advance(keeperTickFull)
		time.Sleep(time.Millisecond) // gives a loop that does not wait for the clock its chance
	}
	if tries := next() - before; tries > 2*looks {
		t.Errorf("%d attempts to make a segment while the clock told the keeper to look %d times", tries, looks)
	}
	if err := d.engine.Close(); err != nil {
		t.Error(err)
	}
}
