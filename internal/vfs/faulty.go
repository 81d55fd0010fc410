package vfs

import (
	"io"
	"sync"
)

// OpKind says what is asked of a file system.
type OpKind uint8

// The operations that a Faulty tells apart. OpOpen is OpenWrite too.
const (
	OpCreate OpKind = iota
	OpOpen
	OpRename
	OpRemove
	OpList
	OpMkdir
	OpSyncDir
	OpLock
	OpRead
	OpWrite
	OpSync
	OpTruncate
	opKinds
)

var opNames = [opKinds]string{"create", "open", "rename", "remove", "list", "mkdir", "syncdir", "lock", "read", "write", "sync", "truncate"}

// String is the operation's name in lower case.
func (k OpKind) String() string { return opNames[k] }

// Changes tells whether the operation changes the disk: the others may be left out when a test counts the points where to stop.
func (k OpKind) Changes() bool {
	return k != OpOpen && k != OpList && k != OpLock && k != OpRead
}

// Op is one operation on its way to a file system.
type Op struct {
	Kind   OpKind
	Name   string // of the file or directory; for a rename, the old one
	Offset int64  // of a read or write; the new size for a truncate
	Bytes  int    // of a read or write
	Nth    int    // counted from 1 among operations of its kind
}

// Fault is how an operation fails: with Err, which must not be nil. A write puts its first Bytes bytes in place nevertheless; no other
// operation does anything.
type Fault struct {
	Err   error
	Bytes int
}

// Faulty is a file system whose operations are seen, and may be made to fail, before they reach the one below.
type Faulty struct {
	below  FS
	mu     sync.Mutex
	counts [opKinds]int
	decide func(Op) *Fault
}

// NewFaulty asks decide before every operation, one at a time: nil lets it pass. decide may use the file system below, to take a
// Snapshot for example, but not the Faulty itself.
func NewFaulty(below FS, decide func(Op) *Fault) *Faulty {
	return &Faulty{below: below, decide: decide}
}

// Count is how many operations of a kind there have been, failed ones included.
func (f *Faulty) Count(kind OpKind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[kind]
}

func (f *Faulty) ask(op Op) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[op.Kind]++
	op.Nth = f.counts[op.Kind]
	return f.decide(op)
}

func (f *Faulty) do(kind OpKind, name string, operation func() error) error {
	if fault := f.ask(Op{Kind: kind, Name: name}); fault != nil {
		return fault.Err
	}
	return operation()
}

func (f *Faulty) open(kind OpKind, name string, operation func() (File, error)) (File, error) {
	if fault := f.ask(Op{Kind: kind, Name: name}); fault != nil {
		return nil, fault.Err
	}
	file, err := operation()
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

// Create is FS.Create.
func (f *Faulty) Create(name string, size int64, direct bool) (File, error) {
	return f.open(OpCreate, name, func() (File, error) { return f.below.Create(name, size, direct) })
}

// Open is FS.Open.
func (f *Faulty) Open(name string) (File, error) {
	return f.open(OpOpen, name, func() (File, error) { return f.below.Open(name) })
}

// OpenWrite is FS.OpenWrite.
func (f *Faulty) OpenWrite(name string, direct bool) (File, error) {
	return f.open(OpOpen, name, func() (File, error) { return f.below.OpenWrite(name, direct) })
}

// Rename is FS.Rename.
func (f *Faulty) Rename(from, to string) error {
	return f.do(OpRename, from, func() error { return f.below.Rename(from, to) })
}

// Remove is FS.Remove.
func (f *Faulty) Remove(name string) error {
	return f.do(OpRemove, name, func() error { return f.below.Remove(name) })
}

// List is FS.List.
func (f *Faulty) List(dir string) (names []string, err error) {
	err = f.do(OpList, dir, func() error { names, err = f.below.List(dir); return err })
	return names, err
}

// MkdirAll is FS.MkdirAll.
func (f *Faulty) MkdirAll(dir string) error {
	return f.do(OpMkdir, dir, func() error { return f.below.MkdirAll(dir) })
}

// SyncDir is FS.SyncDir.
func (f *Faulty) SyncDir(dir string) error {
	return f.do(OpSyncDir, dir, func() error { return f.below.SyncDir(dir) })
}

// Free is FS.Free; it is not an operation that fails.
func (f *Faulty) Free(dir string) (int64, error) { return f.below.Free(dir) }

// Lock is FS.Lock.
func (f *Faulty) Lock(name string) (lock io.Closer, err error) {
	err = f.do(OpLock, name, func() error { lock, err = f.below.Lock(name); return err })
	return lock, err
}

// faultyFile lets Size and Close pass.
type faultyFile struct {
	File
	fs   *Faulty
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if fault := f.fs.ask(Op{Kind: OpRead, Name: f.name, Offset: off, Bytes: len(p)}); fault != nil {
		return 0, fault.Err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	fault := f.fs.ask(Op{Kind: OpWrite, Name: f.name, Offset: off, Bytes: len(p)})
	if fault == nil {
		return f.File.WriteAt(p, off)
	}
	arrives := min(fault.Bytes, len(p))
	if arrives == 0 {
		return 0, fault.Err
	}
	// The file may ask for alignment, so a whole write goes down: its rest is what is there already.
	whole := AlignedBytes(len(p))
	if _, err := f.File.ReadAt(whole, off); err != nil && err != io.EOF {
		return 0, err
	}
	copy(whole, p[:arrives])
	if _, err := f.File.WriteAt(whole, off); err != nil {
		return 0, err
	}
	return arrives, fault.Err
}

func (f *faultyFile) Sync() error { return f.fs.do(OpSync, f.name, f.File.Sync) }

func (f *faultyFile) Truncate(size int64) error {
	if fault := f.fs.ask(Op{Kind: OpTruncate, Name: f.name, Offset: size}); fault != nil {
		return fault.Err
	}
	return f.File.Truncate(size)
}
