package google

import (
	"testing"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

func TestRepeatsForgetTheOldest(t *testing.T) {
	var r repeats
	id := func(i int) wire.AckID { return wire.AckID{Subscription: 1, Offset: uint64(i)} }
	if r.has(id(0)) {
		t.Error("an empty set has an id")
	}
	for i := range limit.AckRepeatsMax {
		r.add(id(i))
		r.add(id(i)) // takes no second place
	}
	if !r.has(id(0)) || !r.has(id(limit.AckRepeatsMax-1)) || r.has(wire.AckID{Subscription: 2}) {
		t.Error("a full set has not exactly what was added")
	}
	for i := range 2 {
		r.add(id(limit.AckRepeatsMax + i))
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, limit.AckRepeatsMax - 1: true, limit.AckRepeatsMax: true, limit.AckRepeatsMax + 1: true} {
		if got := r.has(id(i)); got != want {
			t.Errorf("id %d: known: %t, want %t", i, got, want)
		}
	}
	if len(r.known) != limit.AckRepeatsMax || len(r.ring) != limit.AckRepeatsMax {
		t.Errorf("it holds %d and %d ids, more than %d", len(r.known), len(r.ring), limit.AckRepeatsMax)
	}
}
