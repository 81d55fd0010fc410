package process

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Clock is the time of a broker, as a test that cannot wait for days wants it to be: ahead of the machine's by as much as the test says.
// It goes on over restarts. A broker that is given one runs a binary whose package clock is replaced, so that the real one needs no switch
// for tests. It is safe for concurrent use.
type Clock struct {
	name string
	data []byte
	page *clockPage
}

// clockPage is the memory that a test and its broker share; testdata/movable.go has its twin.
type clockPage struct{ passed, jumped atomic.Int64 }

// NewClock makes a clock that shows the machine's time, on a file in the directory, until it is closed. A broker that
// runs on may go on with it then.
func NewClock(dir string) (*Clock, error) {
	file, err := os.CreateTemp(dir, "clock-")
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	defer file.Close() // the memory stays
	size := int(unsafe.Sizeof(clockPage{}))
	if err := file.Truncate(int64(size)); err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("process: share a clock: %w", err)
	}
	return &Clock{name: file.Name(), data: data, page: (*clockPage)(unsafe.Pointer(unsafe.SliceData(data)))}, nil
}

// Close ends the clock, which must not be used any more.
func (c *Clock) Close() error { return errors.Join(syscall.Munmap(c.data), os.Remove(c.name)) }

// Pass lets time pass, for a broker that runs and for one that does not.
func (c *Clock) Pass(d time.Duration) { c.page.passed.Add(int64(d)) }

// Set sets the time of day forward, or back, as somebody who sets the machine's clock does: no time passes.
func (c *Clock) Set(by time.Duration) { c.page.jumped.Add(int64(by)) }

// Now is the time of day as the broker sees it.
func (c *Clock) Now() time.Time {
	return time.Now().Add(time.Duration(c.page.passed.Load() + c.page.jumped.Load()))
}

// movable is the binary with a clock that a test moves, made for this test process.
var movable = sync.OnceValues(buildMovable)

//go:embed testdata/movable.go
var movableSource []byte

// systemBody is how package clock makes the machine's clock, and movableBody what stands there in the movable binary.
const (
	systemBody  = "func System() Clock { return system{start: time.Now()} }"
	movableBody = "func System() Clock { return theMovable() }"
)

// buildMovable builds from the source tree, whatever BinaryVariable says.
func buildMovable() (string, error) {
	root, err := sourceTree()
	if err != nil {
		return "", err
	}
	place := filepath.Join(root, "internal", "clock")
	source, err := os.ReadFile(filepath.Join(place, "clock.go"))
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	if strings.Count(string(source), systemBody) != 1 {
		return "", fmt.Errorf("process: %q does not stand in package clock", systemBody)
	}
	dir, err := os.MkdirTemp("", "posthaste-movable-")
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	changed, added := filepath.Join(dir, "clock.go"), filepath.Join(dir, "movable.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(place, "clock.go"): changed, filepath.Join(place, "movable.go"): added,
	}})
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	for name, content := range map[string][]byte{
		changed: []byte(strings.Replace(string(source), systemBody, movableBody, 1)), added: movableSource, filepath.Join(dir, "overlay.json"): overlay,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", fmt.Errorf("process: %w", err)
		}
	}
	return buildInto(dir, root, "-overlay", filepath.Join(dir, "overlay.json"))
}

// sourceTree is where the module's source lies.
func sourceTree() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("process: where the source lies is not known")
	}
	return filepath.Join(filepath.Dir(here), "..", ".."), nil
}
