//go:build linux || darwin

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// Files hold other people's messages: nobody but the broker's user reads them.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is the operating system's file system. It is safe for concurrent use.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Create(name string, size int64, direct bool) (File, error) {
	buffered, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	if err := setAside(buffered, size); err != nil {
		err = &fs.PathError{Op: "allocate", Path: name, Err: err}
		return nil, errors.Join(err, buffered.Close(), os.Remove(name))
	}
	f, err := newOSFile(buffered, direct)
	if err != nil {
		// The name is ours and holds nothing: leaving it would make the next Create fail for a reason that is gone.
		return nil, errors.Join(err, os.Remove(name))
	}
	return f, nil
}

func (osFS) Open(name string) (File, error) {
	buffered, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return newOSFile(buffered, false)
}

func (osFS) OpenWrite(name string, direct bool) (File, error) {
	buffered, err := os.OpenFile(name, os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	return newOSFile(buffered, direct)
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Free(dir string) (int64, error) {
	var stat syscall.Statfs_t
	if err := retry(func() error { return syscall.Statfs(dir, &stat) }); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(stat.Bavail) * blockBytes(&stat), nil
}

// Lock uses flock: it belongs to the open file, so a second Lock in this process is refused too, and it ends with the process
// however that ends.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	err = retry(func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) })
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(&fs.PathError{Op: "lock", Path: name, Err: err}, f.Close())
}

// osFile is one file with up to two descriptors. Direct writes have their own, since a direct descriptor could read only at aligned
// places and readers read anywhere.
//
// Reading through the page cache what was written past it is sound under the rule that the engine keeps anyway: a range is read
// only after its write has returned. Linux drops the cached pages of a range before a direct write to it and again after the write
// has landed (and, on ext4 and xfs, after its extents are marked as written); a page that read-ahead brought in meanwhile, past the
// range that a reader asked for, is dropped by the second pass. No page is ever dirty while the direct descriptor is in use, since
// every write goes to it, so there is no page that the kernel would refuse to drop or that could be written back over newer bytes.
type osFile struct {
	buffered *os.File
	direct   *os.File // nil when the file is not for direct writing, or the file system cannot
	aligned  bool     // writes must be aligned, whether or not they end up direct
	// refused is set when the file system turned a direct write down. From then on all writes are buffered: going back and forth
	// would leave dirty pages under direct writes.
	refused atomic.Bool
}

func newOSFile(buffered *os.File, direct bool) (File, error) {
	f := &osFile{buffered: buffered, aligned: direct}
	if !direct {
		return f, nil
	}
	var err error
	if f.direct, err = openDirect(buffered.Name()); err != nil {
		return nil, errors.Join(err, buffered.Close())
	}
	return f, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) { return f.buffered.ReadAt(p, off) }

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	if f.aligned {
		mustAlign(f.buffered.Name(), p, off)
	}
	if f.direct == nil || f.refused.Load() {
		return f.buffered.WriteAt(p, off)
	}
	n, err := f.direct.WriteAt(p, off)
	if !errors.Is(err, syscall.EINVAL) {
		return n, err
	}
	// The request was aligned, so this file system wants more than Align or nothing direct at all. The same bytes go to the same
	// place again, which is harmless if some of them have arrived.
	f.refused.Store(true)
	return f.buffered.WriteAt(p, off)
}

func (f *osFile) Sync() error {
	if err := retry(func() error { return syncData(f.buffered) }); err != nil {
		return &fs.PathError{Op: "sync", Path: f.buffered.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Truncate(size int64) error { return f.buffered.Truncate(size) }

func (f *osFile) Size() (int64, error) {
	info, err := f.buffered.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Close() error {
	if f.direct == nil {
		return f.buffered.Close()
	}
	return errors.Join(f.direct.Close(), f.buffered.Close())
}

// retry runs a system call again as long as a signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
