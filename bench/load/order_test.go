package load

import (
	"errors"
	"testing"
)

func TestOrderHoldsWithinAKeyAndNotAcross(t *testing.T) {
	o := newOrder(3)
	if err := o.follow([]int{0, 2, 0}, []uint64{5, 1, 6}); err != nil {
		t.Fatal(err)
	}
	if err := o.follow([]int{1}, []uint64{0}); err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint64{6, 4} {
		if err := o.follow([]int{0}, []uint64{number}); !errors.Is(err, ErrOrder) {
			t.Errorf("message %d after 6: %v", number, err)
		}
	}
	for _, key := range []int{-1, 3} {
		if err := o.follow([]int{key}, []uint64{9}); err == nil || errors.Is(err, ErrOrder) {
			t.Errorf("key %d: %v", key, err)
		}
	}
}
