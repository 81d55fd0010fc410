package transform

import (
	"errors"
	"testing"
	"time"

	"github.com/dop251/goja"

	"github.com/posthaste-io/posthaste/internal/limit"
)

func TestTimeInWhichNothingIsComputedDoesNotCount(t *testing.T) {
	s := &script{vm: goja.New()}
	waits := func() error {
		time.Sleep(limit.TransformTimeMax + limit.TransformTimeMax/4) // as a process does that the machine has no time for
		_, err := s.vm.RunString("1 + 1")
		return err
	}
	if err := s.guarded(waits); err != nil || s.spent {
		t.Errorf("%v, spent %v", err, s.spent)
	}
}

func TestTimeInWhichMuchIsComputedCounts(t *testing.T) {
	s := &script{vm: goja.New()}
	began := CPUTime()
	err := s.guarded(func() error {
		_, err := s.vm.RunString("for (;;) {}")
		return err
	})
	var interrupted *goja.InterruptedError
	if !errors.As(err, &interrupted) || !s.spent {
		t.Errorf("%v, spent %v", err, s.spent)
	}
	if used := CPUTime() - began; used < limit.TransformTimeMax {
		t.Errorf("over after %v of CPU time", used)
	}
}
