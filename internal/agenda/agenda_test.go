package agenda

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type task struct {
	name  string
	entry Entry
}

func (t *task) Entry() *Entry { return &t.entry }

// due takes everything off the agenda that is due.
func due(a *Agenda[*task], now int64) (names []string) {
	for {
		t, ok := a.Due(now)
		if !ok {
			return names
		}
		names = append(names, t.name)
	}
}

func TestThingsComeWhenTheyAreDue(t *testing.T) {
	var a Agenda[*task]
	x, y, z := &task{name: "x"}, &task{name: "y"}, &task{name: "z"}
	a.Set(x, 30)
	a.Set(y, 10)
	a.Set(z, 20)
	a.Set(x, 15)
	for _, c := range []struct {
		now  int64
		want []string
	}{{9, nil}, {10, []string{"y"}}, {10, nil}, {25, []string{"x", "z"}}, {1000, nil}} {
		if got := due(&a, c.now); !slices.Equal(got, c.want) {
			t.Errorf("due at %d: %q, want %q", c.now, got, c.want)
		}
	}
	a.Set(x, 5) // it was taken off, and may stand there again
	a.Set(y, 6)
	a.Clear(x)
	a.Clear(x)
	a.Clear(z)
	if got := due(&a, 100); !slices.Equal(got, []string{"y"}) {
		t.Errorf("after clearing the others: %q", got)
	}
}

// TestAnAgendaIsASetOfTimes holds it against a map.
func TestAnAgendaIsASetOfTimes(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 7))
		var a Agenda[*task]
		want := map[*task]int64{}
		tasks := make([]*task, 40)
		for i := range tasks {
			tasks[i] = &task{}
		}
		for step := range 2000 {
			one := tasks[r.IntN(len(tasks))]
			switch r.IntN(3) {
			case 0, 1:
				at := r.Int64N(1000)
				a.Set(one, at)
				want[one] = at
			case 2:
				if r.IntN(2) == 0 {
					a.Clear(one)
					delete(want, one)
					break
				}
				now := r.Int64N(1000)
				got, ok := a.Due(now)
				first := int64(1 << 62)
				for _, at := range want {
					first = min(first, at)
				}
				if ok != (first <= now) || ok && want[got] != first {
					t.Fatalf("seed %d, step %d: due %v with time %d, the first is %d and it is %d", seed, step, ok, want[got], first, now)
				}
				delete(want, got)
			}
			if a.Len() != len(want) {
				t.Fatalf("seed %d, step %d: %d things, want %d", seed, step, a.Len(), len(want))
			}
		}
	}
}
