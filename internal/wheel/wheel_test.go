package wheel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestItemsAreDueWhenTheirTickIsOver compares random use with a map.
func TestItemsAreDueWhenTheirTickIsOver(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			var w Wheel
			model := map[uint32]int64{}
			items := uint32(1) << r.IntN(12)
			span := int64(1) << (20 + r.IntN(22))
			now := r.Int64N(1 << 50)
			for range 300 {
				switch kind := r.IntN(10); {
				case kind < 5:
					for range 1 + r.IntN(int(items)/4+1) {
						item, at := r.Uint32N(items), now-span/50+r.Int64N(span)
						w.Set(now, item, at)
						model[item] = max(at, now)
					}
				case kind < 7:
					item := r.Uint32N(items + 2000)
					w.Clear(item)
					delete(model, item)
				case kind < 9:
					now += r.Int64N(span / 10)
					verifyDue(t, &w, model, now)
				default:
					if at, ok := w.Next(); ok {
						now = max(now, at)
						verifyDue(t, &w, model, now)
					}
				}
				verify(t, &w, model)
			}
		})
	}
}

// due is Due without a bound.
func due(w *Wheel, now int64) (item uint32, ok bool) {
	left := math.MaxInt
	return w.Due(now, &left)
}

// verifyDue takes out what is due and compares.
func verifyDue(t *testing.T, w *Wheel, model map[uint32]int64, now int64) {
	t.Helper()
	for item, ok := due(w, now); ok; item, ok = due(w, now) {
		at, set := model[item]
		if !set || at > now || at>>tickBits >= now>>tickBits {
			t.Fatalf("at %d item %d is due, which is set: %v, for %d", now, item, set, at)
		}
		delete(model, item)
	}
	for item, at := range model {
		if at>>tickBits < now>>tickBits {
			t.Fatalf("at %d item %d is not due, set for %d", now, item, at)
		}
	}
}

func verify(t *testing.T, w *Wheel, model map[uint32]int64) {
	t.Helper()
	if w.Len() != len(model) {
		t.Fatalf("%d items, want %d", w.Len(), len(model))
	}
	earliest := int64(math.MaxInt64)
	for item, want := range model {
		if at, ok := w.At(item); !ok || at != want {
			t.Fatalf("item %d is set: %v, for %d, want %d", item, ok, at, want)
		}
		earliest = min(earliest, want)
	}
	next, ok := w.Next()
	if ok != (len(model) > 0) {
		t.Fatalf("Next is %v with %d items", ok, len(model))
	}
	if ok && next > (earliest>>tickBits+1)<<tickBits {
		t.Fatalf("Next is %d, after %d", next, earliest)
	}
}

func TestEmptyWheelCostsNothing(t *testing.T) {
	var w Wheel
	if _, ok := w.Next(); ok {
		t.Error("something is next")
	}
	if _, ok := due(&w, math.MaxInt64); ok {
		t.Error("something is due")
	}
	w.Clear(5)
	w.Shrink()
	if _, ok := w.At(5); ok || w.heads != nil || w.pages != nil {
		t.Errorf("%d slots, %d pages", len(w.heads), len(w.pages))
	}
}

// TestNextDoesNotWakeForNothing: a wheel that was idle for long must not be woken for slots of the past.
func TestNextDoesNotWakeForNothing(t *testing.T) {
	var w Wheel
	w.Set(0, 1, Tick)
	if item, ok := due(&w, 10*Tick); !ok || item != 1 {
		t.Fatalf("item %d, %v", item, ok)
	}
	const now = 1_000_000 * Tick
	w.Set(now, 1, now+5*Tick)
	if at, ok := w.Next(); !ok || at != now+6*Tick {
		t.Fatalf("next %d ticks from now, %v", (at-now)/Tick, ok)
	}
}

// TestFarItemIsLookedAtOncePerHorizon: parking is not polling.
func TestFarItemIsLookedAtOncePerHorizon(t *testing.T) {
	var w Wheel
	w.Set(0, 0, 600e9)
	looks := 0
	for {
		at, ok := w.Next()
		if !ok {
			t.Fatal("lost")
		}
		looks++
		if _, due := due(&w, at); due {
			if at < 600e9 || at > 600e9+Tick {
				t.Fatalf("due at %d", at)
			}
			break
		}
	}
	if most := int(600e9/(slotsFew*Tick)) + 2; looks > most {
		t.Fatalf("%d looks, want at most %d", looks, most)
	}
}

func TestNodeIs16Bytes(t *testing.T) {
	if n := unsafe.Sizeof(node{}); n != 16 {
		t.Fatalf("%d bytes", n)
	}
}

func TestNothingIsAllocatedOnceWarm(t *testing.T) {
	var w Wheel
	now := int64(0)
	round := func() {
		for item := range uint32(5000) {
			w.Set(now, item, now+int64(item)*Tick/10)
		}
		for item := uint32(0); item < 5000; item += 2 {
			w.Set(now, item, now+20e9)
			w.Clear(item + 1)
		}
		for now += 30e9; ; {
			if _, ok := due(&w, now); !ok {
				return
			}
		}
	}
	round()
	if allocs := testing.AllocsPerRun(5, round); allocs != 0 {
		t.Fatalf("%v allocations", allocs)
	}
}

func BenchmarkSetAndClear(b *testing.B) {
	for _, items := range []uint32{1000, 1_000_000} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			var w Wheel
			for i := range b.N {
				item := uint32(i) % items
				w.Clear(item)
				w.Set(int64(i)*1000, item, int64(i)*1000+10e9)
			}
		})
	}
}

func BenchmarkExtend(b *testing.B) {
	const items = 10_000
	var w Wheel
	for i := range b.N {
		now := int64(i) * 10_000 // 10,000 items every 100 ms
		w.Set(now, uint32(i)%items, now+10e9)
		if i%items == 0 {
			for _, ok := due(&w, now); ok; _, ok = due(&w, now) {
			}
		}
	}
}

func TestDueLooksAtNoMoreThanItMayAndGoesOnThere(t *testing.T) {
	var w Wheel
	const items, moved, most = 100, 40, 16
	for i := range uint32(items) {
		w.Set(0, i, Tick)
	}
	for i := range uint32(moved) {
		w.Set(0, i, 100*Tick) // they stay where they are until somebody looks
	}
	seen := map[uint32]bool{}
	now := 3 * Tick
	for calls := 0; len(seen) < items-moved; calls++ {
		if at, ok := w.Next(); !ok || at > now {
			t.Fatalf("Next is %d, %v, with %d items due", at, ok, items-moved-len(seen))
		}
		left := most
		before := len(seen)
		for item, ok := w.Due(now, &left); ok; item, ok = w.Due(now, &left) {
			if item < moved || seen[item] {
				t.Fatalf("item %d is due", item)
			}
			seen[item] = true
		}
		if left != 0 && len(seen) < items-moved || len(seen)-before > most || calls > items/most {
			t.Fatalf("call %d: %d of %d looks left, %d items taken out", calls, left, most, len(seen)-before)
		}
	}
	if item, ok := due(&w, now); ok {
		t.Errorf("item %d is due", item)
	}
	if at, ok := w.Next(); !ok || at <= now || w.Len() != moved {
		t.Errorf("next at %d, %v, with %d items", at, ok, w.Len())
	}
}
