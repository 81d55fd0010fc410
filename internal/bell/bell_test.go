package bell

import "testing"

// woken says whether the taker was kicked since the last look.
func woken(t *Taker) bool {
	select {
	case <-t.Woken():
		return true
	default:
		return false
	}
}

func TestWhoeverWaitedLongestIsServedFirst(t *testing.T) {
	var b Bell
	takers := []Taker{NewTaker(), NewTaker(), NewTaker()}
	for i := range takers {
		b.LieDown(&takers[i])
	}
	if b.GetUp(&takers[0]) {
		t.Error("a bell was rung that nobody rang")
	}
	b.LieDown(&takers[0]) // at the end of the line
	b.Ring(2)
	for i, want := range []bool{false, true, true} {
		if got := woken(&takers[i]); got != want {
			t.Errorf("taker %d woken: %v", i, got)
		}
	}
	if b.Asleep() != 1 || b.Called() != 2 {
		t.Errorf("%d asleep and %d called, want 1 and 2", b.Asleep(), b.Called())
	}
	if !b.GetUp(&takers[1]) || !b.GetUp(&takers[2]) || b.Called() != 0 {
		t.Error("who was rung for does not hear of it once")
	}
	b.Ring(5)
	if !woken(&takers[0]) || b.Asleep() != 0 || b.Called() != 1 {
		t.Error("a bell rung for more than there are wakes not exactly those that there are")
	}
}
