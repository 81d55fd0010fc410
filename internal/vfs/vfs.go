// Package vfs is the seam between the disk engine and the operating system's files. OS is the real thing; Mem is a file system in
// memory that can lose power and fail on demand, so that a test can stand at every point where a machine may stop.
//
// Two facts about real file systems shape the interface: bytes are durable only after Sync of their file, and a file's name is
// durable only after SyncDir of its directory. Mem forgets whatever was not synced, in any subset and order.
package vfs

import (
	"errors"
	"io"
)

// Align is the granularity of direct I/O: offsets, lengths and memory addresses of a file opened for direct writing are multiples of it.
const Align = 4096

// ErrLocked says that another process, or this one, holds the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// File is an open file. Reads and writes carry their offset; it is safe for concurrent use.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes all written bytes and the file's size durable.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// FS is a tree of files. Names are slash-separated paths as the operating system takes them.
type FS interface {
	// Create makes a new file of the given size, which reads as zeros, with space set aside where the file system can. It fails when the
	// name exists. With direct, writes bypass the page cache where the file system can (they must be aligned in any case).
	Create(name string, size int64, direct bool) (File, error)
	// Open opens for reading; OpenWrite for reading and writing an existing file.
	Open(name string) (File, error)
	OpenWrite(name string, direct bool) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// List gives the names in a directory, without the path, sorted.
	List(dir string) ([]string, error)
	MkdirAll(dir string) error
	SyncDir(dir string) error
	// Free is how many bytes an unprivileged process may still write in dir's file system.
	Free(dir string) (int64, error)
	// Lock takes an exclusive lock that ends with the process or with Close: ErrLocked when it is taken.
	Lock(name string) (io.Closer, error)
}

// AlignedBytes returns n zero bytes at an address that is a multiple of Align.
func AlignedBytes(n int) []byte { return alignedBytes(n) }
