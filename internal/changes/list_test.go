package changes

import (
	"slices"
	"testing"
)

func TestAListHasEachChangedThingOnce(t *testing.T) {
	var l List[string]
	var a, b Flag
	for range 2 {
		l.Add("a", &a)
		l.Add("b", &b)
		l.Add("a", &a)
		if got := l.Take(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("changed: %q", got)
		}
		if got := l.Take(); len(got) != 0 {
			t.Errorf("changed again: %q", got)
		}
	}
}
