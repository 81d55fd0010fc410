package vfs

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync/atomic"
	"syscall"
)

// SectorBytes is what a disk writes as one. Mem decides sector by sector what a power cut leaves, and may tear even a sector.
const SectorBytes = 512

// memSector is never changed once it is part of a file: a write puts a new one in its place.
type memSector [SectorBytes]byte

// memFile is what a name stands for. A snapshot shares its content until one side changes it.
type memFile struct {
	content *memContent
	shared  bool
}

// memContent is a file's bytes, with all that they have been since the last Sync.
type memContent struct {
	size    int64
	sectors []*memSector // nil reads as zeros
	// sizesBefore and before are earlier sizes and earlier values of sectors, oldest first. The oldest is what the disk has for certain.
	// What is not in them is durable as it is.
	sizesBefore []int64
	before      map[int64][]*memSector
}

// change gives the content for changing it.
func (f *memFile) change() *memContent {
	if f.shared {
		c := *f.content
		c.sectors, c.sizesBefore = slices.Clone(c.sectors), slices.Clone(c.sizesBefore)
		c.before = maps.Clone(c.before)
		for i, versions := range c.before {
			c.before[i] = slices.Clip(versions)
		}
		f.content, f.shared = &c, false
	}
	return f.content
}

// replace puts a new value in a sector's place and remembers the old one.
func (c *memContent) replace(i int64, s *memSector) {
	if c.before == nil {
		c.before = map[int64][]*memSector{}
	}
	c.before[i] = append(c.before[i], c.sectors[i])
	c.sectors[i] = s
}

// sector is a copy of a sector's bytes.
func (c *memContent) sector(i int64) memSector {
	if c.sectors[i] == nil {
		return memSector{}
	}
	return *c.sectors[i]
}

// resize changes the size; what is cut off reads as zeros should the file grow again.
func (c *memContent) resize(size int64) {
	if size == c.size {
		return
	}
	c.sizesBefore = append(c.sizesBefore, c.size)
	for i := size / SectorBytes; i < int64(len(c.sectors)); i++ {
		if c.sectors[i] == nil {
			continue
		}
		var kept *memSector
		if rest := size - i*SectorBytes; rest > 0 {
			whole := c.sector(i)
			clear(whole[rest:])
			kept = &whole
		}
		c.replace(i, kept)
	}
	// Sectors past a smaller size stay in the slice, as nil: a power cut may bring the old size back.
	if need := sectorsOf(size); need > int64(len(c.sectors)) {
		c.sectors = append(c.sectors, make([]*memSector, need-int64(len(c.sectors)))...)
	}
	c.size = size
}

func sectorsOf(size int64) int64 { return (size + SectorBytes - 1) / SectorBytes }

func (c *memContent) write(p []byte, off int64) {
	if end := off + int64(len(p)); end > c.size {
		c.resize(end)
	}
	for len(p) > 0 {
		i, skip := off/SectorBytes, off%SectorBytes
		s := c.sector(i)
		n := copy(s[skip:], p)
		c.replace(i, &s)
		p, off = p[n:], off+int64(n)
	}
}

func (c *memContent) read(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for done := 0; done < len(p); {
		i, skip := (off+int64(done))/SectorBytes, (off+int64(done))%SectorBytes
		part := p[done:min(len(p), done+SectorBytes-int(skip))]
		if s := c.sectors[i]; s != nil {
			copy(part, s[skip:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return len(p)
}

// memHandle is an open file of a Mem.
type memHandle struct {
	mem      *Mem
	file     *memFile
	name     string
	aligned  bool
	writable bool
	closed   atomic.Bool
}

// usable is called with the file system's mutex held.
func (h *memHandle) usable(op string, toWrite bool) error {
	if h.closed.Load() {
		return pathError(op, h.name, fs.ErrClosed)
	}
	if toWrite && !h.writable {
		return pathError(op, h.name, syscall.EBADF)
	}
	return nil
}

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if err := h.usable("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", h.name, syscall.EINVAL)
	}
	n := h.file.content.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(p []byte, off int64) (int, error) {
	if h.aligned {
		mustAlign(h.name, p, off)
	}
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if err := h.usable("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", h.name, syscall.EINVAL)
	}
	// A full disk takes what fits.
	var full error
	if growth := off + int64(len(p)) - h.file.content.size; growth > 0 {
		if missing := growth - h.mem.free(); missing > 0 {
			p, full = p[:max(int64(len(p))-missing, 0)], pathError("write", h.name, syscall.ENOSPC)
		}
	}
	if len(p) > 0 {
		h.file.change().write(p, off)
	}
	return len(p), full
}

// Sync is File.Sync. A handle that cannot write can sync, as in Linux.
func (h *memHandle) Sync() error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if err := h.usable("sync", false); err != nil {
		return err
	}
	c := h.file.change()
	c.sizesBefore, c.before = nil, nil
	c.sectors = c.sectors[:sectorsOf(c.size)]
	return nil
}

func (h *memHandle) Truncate(size int64) error {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if err := h.usable("truncate", true); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", h.name, syscall.EINVAL)
	}
	if size-h.file.content.size > h.mem.free() {
		return pathError("truncate", h.name, syscall.ENOSPC)
	}
	h.file.change().resize(size)
	return nil
}

func (h *memHandle) Size() (int64, error) {
	h.mem.mu.Lock()
	defer h.mem.mu.Unlock()
	if err := h.usable("stat", false); err != nil {
		return 0, err
	}
	return h.file.content.size, nil
}

func (h *memHandle) Close() error {
	if h.closed.Swap(true) {
		return pathError("close", h.name, fs.ErrClosed)
	}
	return nil
}
