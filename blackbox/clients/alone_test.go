package clients

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// alone is a broker in an environment that holds nothing but what it was given.
type alone struct {
	command *exec.Cmd
	ended   chan error
}

func startAlone(t *testing.T, binary string, args, env []string) *alone {
	t.Helper()
	log := new(process.Log)
	a := &alone{command: exec.Command(binary, args...), ended: make(chan error, 1)}
	a.command.Env, a.command.Stdout, a.command.Stderr = env, log, log
	must(t, a.command.Start())
	go func() { a.ended <- a.command.Wait() }()
	t.Cleanup(func() {
		_ = a.command.Process.Kill() // it has ended already where the test went well
		if t.Failed() {
			t.Logf("the broker's output:\n%s", log)
		}
	})
	return a
}

// stop ends the broker as a container's runtime does.
func (a *alone) stop(t *testing.T) {
	t.Helper()
	must(t, a.command.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-a.ended:
		must(t, err)
	case <-time.After(patience):
		t.Fatal("the broker does not end")
	}
}
