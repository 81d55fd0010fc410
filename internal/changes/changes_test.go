package changes

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestEachChangedThingIsGivenOnce(t *testing.T) {
	s := NewSet[string]()
	s.Add("a")
	s.Add("b")
	s.Add("a")
	got, err := s.Wait(t.Context())
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("changed: %q, %v", got, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if got, err := s.Wait(ended); !errors.Is(err, context.Canceled) || len(got) > 0 {
		t.Errorf("without changes: %q, %v", got, err)
	}
	go s.Add("c")
	if got, err := s.Wait(t.Context()); err != nil || !slices.Equal(got, []string{"c"}) {
		t.Errorf("changed meanwhile: %q, %v", got, err)
	}
}
