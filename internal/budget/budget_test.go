package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	tenth = 10 << 20 // of the budget in these tests; a large request
	whole = 10 * tenth
	small = 1000 // an ordinary request
)

func fresh(waiting int) *Memory {
	return New(Options{Bytes: whole, Wait: time.Minute, Waiting: waiting})
}

// taking is a Take on another goroutine.
type taking struct {
	part Part
	err  error
	done chan struct{} // closed when it is over
}

func (t *taking) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func take(ctx context.Context, m *Memory, bytes int) *taking {
	t := &taking{done: make(chan struct{})}
	go func() {
		t.err = m.Take(ctx, &t.part, bytes)
		close(t.done)
	}()
	synctest.Wait()
	return t
}

// must takes what is there.
func must(t *testing.T, m *Memory, bytes int) *Part {
	t.Helper()
	got := take(t.Context(), m, bytes)
	if !got.over() || got.err != nil {
		t.Fatalf("%d bytes are not given with %d taken: %v", bytes, m.Taken(), got.err)
	}
	return &got.part
}

func TestLargeRequestsLeaveAPartToOrdinaryOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		for m.Taken()+tenth <= whole/largeParts*largePart {
			must(t, m, tenth)
		}
		waits := take(t.Context(), m, tenth)
		if waits.over() {
			t.Errorf("a large request is served with %d bytes taken", m.Taken())
		}
		must(t, m, small)
		must(t, m, OrdinaryBytesMax)
		if waits.over() {
			t.Error("ordinary requests made a large one be served")
		}
	})
}

func TestOrdinaryRequestsMayTakeEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		for m.Taken() < whole {
			must(t, m, OrdinaryBytesMax)
		}
		if one := take(t.Context(), m, 1); one.over() {
			t.Errorf("one byte more than everything: %v", one.err)
		}
	})
}

func TestRequestsAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		all := must(t, m, 7*tenth)
		first, second := take(t.Context(), m, 5*tenth), take(t.Context(), m, tenth)
		ordinary := take(t.Context(), m, small)
		if first.over() || second.over() || !ordinary.over() {
			t.Errorf("served: %v, %v, and an ordinary one %v; want the last alone", first.over(), second.over(), ordinary.over())
		}
		m.GiveBack(all)
		synctest.Wait()
		if !first.over() || first.err != nil || !second.over() || second.err != nil {
			t.Errorf("after everything was given back: over %v and %v", first.over(), second.over())
		}
		m.GiveBack(all) // it has nothing any more
		if want := 6*tenth + small; m.Taken() != want {
			t.Errorf("%d bytes are taken, want %d", m.Taken(), want)
		}
	})
}

func TestASmallerRequestDoesNotPassALargerOneOfItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		must(t, m, 4*tenth)
		larger, smaller := take(t.Context(), m, 5*tenth), take(t.Context(), m, tenth)
		if larger.over() || smaller.over() {
			t.Errorf("served: the larger %v, the smaller %v", larger.over(), smaller.over())
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		must(t, m, 7*tenth)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		gone, patient := take(ctx, m, 2*tenth), take(t.Context(), m, 2*tenth)
		cancel()
		synctest.Wait()
		if !gone.over() || !errors.Is(gone.err, context.Canceled) || patient.over() {
			t.Errorf("the one whose client left: %v; the other is over: %v", gone.err, patient.over())
		}
		<-patient.done
		if waited := time.Since(began); patient.err != ErrExhausted || waited != time.Minute {
			t.Errorf("after %v: %v", waited, patient.err)
		}
		if m.Taken() != 7*tenth || gone.part != (Part{}) || patient.part != (Part{}) {
			t.Errorf("%d bytes are taken", m.Taken())
		}
	})
}

func TestWhoStopsWaitingLetsTheNextOneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		must(t, m, 4*tenth)
		ctx, cancel := context.WithCancel(t.Context())
		take(ctx, m, 5*tenth)
		next := take(t.Context(), m, tenth)
		cancel()
		synctest.Wait()
		if !next.over() {
			t.Error("the next one still waits")
		}
	})
}

func TestTooManyDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(2)
		must(t, m, 7*tenth)
		take(t.Context(), m, tenth)
		take(t.Context(), m, tenth)
		if third := take(t.Context(), m, tenth); !third.over() || third.err != ErrExhausted {
			t.Error("the third waits, or was served")
		}
	})
}

func TestARequestLargerThanTheBudgetGetsThroughAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fresh(10)
		other := must(t, m, small)
		huge := take(t.Context(), m, 3*whole)
		if huge.over() {
			t.Error("it did not wait for the other")
		}
		m.GiveBack(other)
		synctest.Wait()
		if !huge.over() || huge.err != nil {
			t.Fatal("it still waits, or was refused")
		}
		m.GiveBack(&huge.part)
		if m.Taken() != 0 {
			t.Errorf("%d bytes are still taken", m.Taken())
		}
	})
}

func TestAPartGrows(t *testing.T) {
	m := fresh(0)
	var part Part
	for range 3 {
		if err := m.Take(t.Context(), &part, small); err != nil {
			t.Fatal(err)
		}
	}
	if m.Taken() != 3*small {
		t.Errorf("%d bytes are taken", m.Taken())
	}
	m.GiveBack(&part)
	if m.Taken() != 0 {
		t.Errorf("%d bytes are still taken", m.Taken())
	}
}

func TestManyAtOnceNeverTakeTooMuchAndAllAreServed(t *testing.T) {
	m := New(Options{Bytes: whole, Wait: time.Minute, Waiting: 1000})
	var all sync.WaitGroup
	for seed := range uint64(16) {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(seed, 1))
			for range 2000 {
				var part Part
				ctx, cancel := t.Context(), func() {}
				if dice.IntN(10) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(dice.IntN(100))*time.Microsecond)
				}
				err := m.Take(ctx, &part, dice.IntN(3*tenth))
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if taken := m.Taken(); taken > whole || taken < 0 {
					t.Errorf("%d bytes are taken", taken)
				}
				m.GiveBack(&part)
				cancel()
			}
		})
	}
	all.Wait()
	if m.Taken() != 0 {
		t.Errorf("%d bytes are still taken", m.Taken())
	}
}

func TestTakingCostsNoMemory(t *testing.T) {
	m := fresh(0)
	var part Part
	if n := testing.AllocsPerRun(100, func() {
		if err := m.Take(t.Context(), &part, small); err != nil {
			t.Error(err)
		}
		m.GiveBack(&part)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
