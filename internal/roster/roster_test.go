package roster

import (
	"slices"
	"testing"
)

func TestNamesUnderAPrefixComeInOrder(t *testing.T) {
	names, asked := []string{"b/2", "a/1", "b/10", "c/1", "b"}, 0
	all := func() []string { asked++; return slices.Clone(names) }
	var l List
	l.Change()
	for range 2 {
		if got := l.Under("b/", all); !slices.Equal(got, []string{"b/10", "b/2"}) {
			t.Errorf("under b/: %q", got)
		}
	}
	if got := l.Under("d/", all); len(got) > 0 {
		t.Errorf("under d/: %q", got)
	}
	if asked != 1 {
		t.Errorf("sorted %d times without a change", asked)
	}
	names = append(names, "b/1")
	l.Change()
	if got := l.Under("b/", all); !slices.Equal(got, []string{"b/1", "b/10", "b/2"}) {
		t.Errorf("after a change: %q", got)
	}
}
