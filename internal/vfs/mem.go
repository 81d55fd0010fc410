package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Mem is a file system in memory that can lose power. It knows, of everything that was done, what a real disk would have by now for
// certain and what it may or may not have: see Crash. It is safe for concurrent use; names are those of a tree whose root is both
// "/" and ".".
type Mem struct {
	mu       sync.Mutex
	root     *memDir
	locked   map[string]bool
	capacity int64
}

// memCapacityDefault is far more than a test writes: 1 TiB.
const memCapacityDefault = 1 << 40

// NewMem is an empty file system.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locked: map[string]bool{}, capacity: memCapacityDefault}
}

// memNode is a directory or a file.
type memNode struct {
	dir  *memDir
	file *memFile
}

// memDir holds its entries as programs see them and as the disk has them. unsynced is what leads from the second to the first.
type memDir struct {
	entries  map[string]memNode
	durable  map[string]memNode
	unsynced []memChange
}

// memChange is one step that a power cut keeps or loses as a whole: gone, if not empty, disappears and name, if not empty, appears. A
// rename is both, which no file system tears apart inside one directory.
type memChange struct {
	gone string
	name string
	node memNode
}

func newMemDir() *memDir {
	return &memDir{entries: map[string]memNode{}, durable: map[string]memNode{}}
}

func (d *memDir) change(c memChange) {
	c.apply(d.entries)
	d.unsynced = append(d.unsynced, c)
}

func (c memChange) apply(entries map[string]memNode) {
	if c.gone != "" {
		delete(entries, c.gone)
	}
	if c.name != "" {
		entries[c.name] = c.node
	}
}

// SetCapacity sets how many bytes all files together may have. What is there already stays.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Create is FS.Create. The new name and the size are both unsynced.
func (m *Mem) Create(name string, size int64, direct bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, base, err := m.parent("create", name)
	if err != nil {
		return nil, err
	}
	if _, taken := parent.entries[base]; taken || base == "" {
		return nil, pathError("create", name, fs.ErrExist)
	}
	if size > m.free() {
		return nil, pathError("create", name, syscall.ENOSPC)
	}
	file := &memFile{content: &memContent{}}
	file.content.resize(size)
	parent.change(memChange{name: base, node: memNode{file: file}})
	return &memHandle{mem: m, file: file, name: name, aligned: direct, writable: true}, nil
}

// Open is FS.Open.
func (m *Mem) Open(name string) (File, error) {
	return m.open(name, &memHandle{mem: m, name: name})
}

// OpenWrite is FS.OpenWrite.
func (m *Mem) OpenWrite(name string, direct bool) (File, error) {
	return m.open(name, &memHandle{mem: m, name: name, aligned: direct, writable: true})
}

func (m *Mem) open(name string, h *memHandle) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	if node.file == nil {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	h.file = node.file
	return h, nil
}

// Rename is FS.Rename. It replaces what has the new name.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	source, gone, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	target, name, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	node, found := source.entries[gone]
	if !found {
		return pathError("rename", from, fs.ErrNotExist)
	}
	if node.dir != nil || target.entries[name].dir != nil {
		return pathError("rename", from, syscall.EISDIR)
	}
	if source == target {
		if gone != name {
			source.change(memChange{gone: gone, name: name, node: node})
		}
		return nil
	}
	target.change(memChange{name: name, node: node})
	source.change(memChange{gone: gone})
	return nil
}

// Remove is FS.Remove. Open handles of the file go on working.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	node, found := parent.entries[base]
	if !found {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if node.dir != nil && len(node.dir.entries) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	parent.change(memChange{gone: base})
	return nil
}

// List is FS.List.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.directory("list", dir)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.entries)), nil
}

// MkdirAll is FS.MkdirAll. Each new directory is an unsynced entry of its parent.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, name := range split(dir) {
		node, found := d.entries[name]
		if !found {
			node = memNode{dir: newMemDir()}
			d.change(memChange{name: name, node: node})
		}
		if node.dir == nil {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		d = node.dir
	}
	return nil
}

// SyncDir is FS.SyncDir: the directory's entries, not what they name, become durable.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.directory("sync", dir)
	if err != nil {
		return err
	}
	d.durable, d.unsynced = maps.Clone(d.entries), nil
	return nil
}

// Free is what SetCapacity gave, less the sizes of all files that have a name.
func (m *Mem) Free(dir string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.directory("statfs", dir); err != nil {
		return 0, err
	}
	return max(m.free(), 0), nil
}

func (m *Mem) free() int64 {
	free := m.capacity
	m.root.files(func(f *memFile) { free -= f.content.size })
	return free
}

// files calls f for each file below d.
func (d *memDir) files(f func(*memFile)) {
	for _, node := range d.entries {
		if node.dir != nil {
			node.dir.files(f)
		} else {
			f(node.file)
		}
	}
}

// Lock is FS.Lock. It makes the file when there is none.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parent, base, err := m.parent("lock", name)
	if err != nil {
		return nil, err
	}
	key := path.Join(split(name)...)
	if m.locked[key] {
		return nil, pathError("lock", name, ErrLocked)
	}
	if _, found := parent.entries[base]; !found {
		parent.change(memChange{name: base, node: memNode{file: &memFile{content: &memContent{}}}})
	}
	m.locked[key] = true
	return &memLock{mem: m, key: key}, nil
}

type memLock struct {
	mem  *Mem
	key  string
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.mem.mu.Lock()
		defer l.mem.mu.Unlock()
		delete(l.mem.locked, l.key)
	})
	return nil
}

// parent is the directory that has or would have the name, and the name's last part.
func (m *Mem) parent(op, name string) (*memDir, string, error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", pathError(op, name, fs.ErrInvalid)
	}
	last := len(parts) - 1
	d, err := m.directory(op, path.Join(parts[:last]...))
	return d, parts[last], err
}

func (m *Mem) directory(op, name string) (*memDir, error) {
	node, err := m.find(op, name)
	if err == nil && node.dir == nil {
		err = pathError(op, name, syscall.ENOTDIR)
	}
	return node.dir, err
}

func (m *Mem) find(op, name string) (memNode, error) {
	node := memNode{dir: m.root}
	for _, part := range split(name) {
		if node.dir == nil {
			return memNode{}, pathError(op, name, syscall.ENOTDIR)
		}
		next, found := node.dir.entries[part]
		if !found {
			return memNode{}, pathError(op, name, fs.ErrNotExist)
		}
		node = next
	}
	return node, nil
}

// split gives the parts of a name: none for the root.
func split(name string) []string {
	clean := strings.Trim(path.Clean("/"+filepath.ToSlash(name)), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

func pathError(op, name string, err error) error {
	return fmt.Errorf("mem: %w", &fs.PathError{Op: op, Path: name, Err: err})
}
