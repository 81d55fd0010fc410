package cache

import (
	"fmt"
	"io/fs"
	"path"
	"sync"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Files holds the segment files that are open for reading.
//
// A segment that is given back is retired first. From then on nobody gets its file, and who has it keeps an open file whose bytes no
// longer change: that is why a retired file's blocks may be used again only if retire found nobody reading.
type Files struct {
	fs  vfs.FS
	dir string

	mu      sync.Mutex
	open    map[uint64]*File
	retired map[uint64]bool
	uses    uint64
	closed  bool
}

// File is an open file and how many read from it. The cache's lock guards all but file.
type File struct {
	File    vfs.File
	id      uint64
	readers int
	used    uint64 // when it was last asked for, in uses of the cache
	closing bool   // the last reader closes it
}

// openFilesMax bounds the descriptors that idle files hold.
const openFilesMax = 128

// NewFiles opens nothing yet.
func NewFiles(files vfs.FS, dir string) *Files {
	return &Files{fs: files, dir: dir, open: map[uint64]*File{}, retired: map[uint64]bool{}}
}

// Acquire opens a segment for reading; release gives it back. A segment that is retired does not exist.
func (c *Files) Acquire(id uint64) (*File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
	if f := c.open[id]; f != nil {
		f.readers++
		f.used = c.uses
		return f, nil
	}
	if c.closed {
		return nil, engine.ErrClosed
	}
	if c.retired[id] {
		return nil, fmt.Errorf("segment %d: %w", id, fs.ErrNotExist)
	}
	file, err := c.fs.Open(path.Join(c.dir, layout.SegmentName(id)))
	if err != nil {
		return nil, err
	}
	if len(c.open) >= openFilesMax {
		c.evict()
	}
	f := &File{File: file, id: id, readers: 1, used: c.uses}
	c.open[id] = f
	return f, nil
}

// evict closes the file that nobody reads and that was not asked for the longest. The lock is held.
func (c *Files) evict() {
	var oldest *File
	for _, f := range c.open {
		if f.readers == 0 && (oldest == nil || f.used < oldest.used) {
			oldest = f
		}
	}
	if oldest != nil {
		delete(c.open, oldest.id)
		_ = oldest.File.Close()
	}
}

// Release gives back what Acquire gave.
func (c *Files) Release(f *File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.readers--
	if f.readers == 0 && f.closing {
		_ = f.File.Close()
	}
}

// Retire takes a segment away from readers to come. It reports whether nobody reads it now.
func (c *Files) Retire(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired[id] = true
	f := c.open[id]
	if f == nil {
		return true
	}
	delete(c.open, id)
	return c.drop(f)
}

// Gone says that a retired segment's name no longer exists.
func (c *Files) Gone(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.retired, id)
}

func (c *Files) drop(f *File) bool {
	if f.readers > 0 {
		f.closing = true
		return false
	}
	_ = f.File.Close()
	return true
}

// Close closes all files, those in use when their readers are done; no more are opened.
func (c *Files) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.open {
		c.drop(f)
	}
	clear(c.open)
	c.closed = true
}
