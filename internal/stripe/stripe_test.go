package stripe

import (
	"sync"
	"testing"
)

func TestHoldersOfANameComeOneAfterTheOther(t *testing.T) {
	var l Locks
	var all sync.WaitGroup
	a, b := 0, 0
	for i := range 100 {
		all.Go(func() {
			names := []string{"a", "b", "a"} // one name twice, and in either order
			if i%2 == 0 {
				names[0], names[1] = names[1], names[0]
			}
			defer l.Lock(names...)()
			a++
			b++
		})
		all.Go(func() {
			defer l.Lock("a")()
			a++
		})
	}
	all.Wait()
	if a != 200 || b != 100 {
		t.Errorf("%d and %d", a, b)
	}
}
