package vfs

import (
	"errors"
	"os"
	"syscall"
)

// openDirect opens an existing file for writing past the page cache: nil when its file system cannot.
func openDirect(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_DIRECT, fileMode)
	if errors.Is(err, syscall.EINVAL) {
		return nil, nil
	}
	return f, err
}

// setAside gives an empty file its size and, where the file system can, its blocks, so that later writes into it neither move the
// end of the file nor run out of space.
func setAside(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := retry(func() error { return syscall.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		return f.Truncate(size)
	}
	return err
}

// syncData leaves out only the times of the file: fdatasync writes all that is needed to read the data back, and that includes a
// changed size and the blocks that were set aside and are now written.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// blockBytes is the unit in which Statfs counts.
func blockBytes(stat *syscall.Statfs_t) int64 {
	if stat.Frsize > 0 {
		return stat.Frsize
	}
	return stat.Bsize
}
