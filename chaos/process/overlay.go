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
	"syscall"
)

// overlay is in what a binary for tests differs from the real one, which needs no switch for tests that way: a line of the source that
// is replaced, and a file that is added to its package.
type overlay struct {
	file     string // in the source tree
	old, new string // old stands in the file exactly once
	added    string // beside file
	source   []byte
}

//go:embed testdata/movable.go
var movableSource []byte

//go:embed testdata/stalling.go
var stallingSource []byte

var (
	// movable is the binary with a clock that a test moves, made once for this test process.
	movable = sync.OnceValues(overlay{
		file: "internal/clock/clock.go",
		old:  "func System() Clock { return system{start: time.Now()} }",
		new:  "func System() Clock { return theMovable() }", added: "movable.go", source: movableSource,
	}.build)
	// stalling is the binary whose disk a test makes slow, likewise.
	stalling = sync.OnceValues(overlay{
		file: "internal/vfs/os_linux.go",
		old:  "func syncData(f *os.File) error { return",
		new:  "func syncData(f *os.File) error { stall(); return", added: "stalling.go", source: stallingSource,
	}.build)
)

// build builds from the source tree, whatever BinaryVariable says.
func (o overlay) build() (string, error) {
	root, err := sourceTree()
	if err != nil {
		return "", err
	}
	place := filepath.Join(root, filepath.FromSlash(o.file))
	source, err := os.ReadFile(place)
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	if strings.Count(string(source), o.old) != 1 {
		return "", fmt.Errorf("process: %q does not stand in %s", o.old, o.file)
	}
	dir, err := os.MkdirTemp("", "posthaste-overlay-")
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	changed, added, list := filepath.Join(dir, "changed.go"), filepath.Join(dir, "added.go"), filepath.Join(dir, "overlay.json")
	names, err := json.Marshal(map[string]map[string]string{"Replace": {place: changed, filepath.Join(filepath.Dir(place), o.added): added}})
	if err != nil {
		return "", fmt.Errorf("process: %w", err)
	}
	for name, content := range map[string][]byte{
		changed: []byte(strings.Replace(string(source), o.old, o.new, 1)), added: o.source, list: names,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", fmt.Errorf("process: %w", err)
		}
	}
	return buildInto(dir, root, "-overlay", list)
}

// sourceTree is where the module's source lies.
func sourceTree() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("process: where the source lies is not known")
	}
	return filepath.Join(filepath.Dir(here), "..", ".."), nil
}

// shared is memory that a test has in common with its broker: a file that both map, each until its process ends.
type shared struct {
	name string
	data []byte
}

func share(dir string, size uintptr) (shared, error) {
	file, err := os.CreateTemp(dir, "shared-")
	if err != nil {
		return shared{}, fmt.Errorf("process: %w", err)
	}
	defer file.Close() // the memory stays
	if err := file.Truncate(int64(size)); err != nil {
		return shared{}, fmt.Errorf("process: %w", err)
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return shared{}, fmt.Errorf("process: share memory: %w", err)
	}
	return shared{file.Name(), data}, nil
}
