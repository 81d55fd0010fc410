package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/posthaste-io/posthaste/bench/load"
)

// FileSystem returns the type of the file system that holds dir, as the kernel names it: ext4, xfs, tmpfs ...
func FileSystem(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	if err != nil {
		return "", fmt.Errorf("file system of %s: %w", dir, err)
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("file system of %s: %w", dir, err)
	}
	defer mounts.Close()
	kind, err := parseMounts(mounts, absolute)
	if err != nil {
		return "", fmt.Errorf("file system of %s: %w", dir, err)
	}
	return kind, nil
}

// parseMounts finds the longest mount point that holds dir; of equal ones the last, which lies on top. Lines as in proc(5):
//
//	36 35 98:0 /mnt1 /mount/point rw,noatime master:1 - ext4 /dev/root rw
func parseMounts(mounts io.Reader, dir string) (string, error) {
	kind, longest := "", -1
	lines := bufio.NewScanner(mounts)
	for lines.Scan() {
		left, right, found := strings.Cut(lines.Text(), " - ")
		leftFields, rightFields := strings.Fields(left), strings.Fields(right)
		if !found || len(leftFields) < 5 || len(rightFields) < 1 {
			continue
		}
		point := strings.ReplaceAll(leftFields[4], `\040`, " ")
		inside := point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
		if inside && len(point) >= longest {
			kind, longest = rightFields[0], len(point)
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if kind == "" {
		return "", errors.New("no mount point holds it")
	}
	return kind, nil
}

// IsMemory says whether a file system keeps its files in memory only.
func IsMemory(kind string) bool { return kind == "tmpfs" || kind == "ramfs" }

const (
	syncBlockBytes = 4096
	syncFileBytes  = 8 << 20
)

// SyncTime measures, for d and at least once, how long the disk under dir takes to make one block of 4 KiB durable: a write and an fdatasync into a file
// that was written in full before, so that only data moves. direct says whether the page cache could be bypassed.
func SyncTime(ctx context.Context, dir string, d time.Duration) (times *load.Histogram, direct bool, err error) {
	file, direct, err := openSyncFile(filepath.Join(dir, "sync-time"))
	if err != nil {
		return nil, false, fmt.Errorf("sync time of %s: %w", dir, err)
	}
	defer func() {
		err = errors.Join(err, file.Close(), os.Remove(file.Name()))
	}()
	block := alignedBlock()
	copy(block, load.Payload(syncBlockBytes, 1))
	times = &load.Histogram{}
	end := time.Now().Add(d)
	for offset := int64(0); (times.Count() == 0 || time.Now().Before(end)) && ctx.Err() == nil; offset = (offset + syncBlockBytes) % syncFileBytes {
		start := time.Now()
		if _, err := file.WriteAt(block, offset); err != nil {
			return nil, direct, fmt.Errorf("sync time of %s: %w", dir, err)
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return nil, direct, fmt.Errorf("sync time of %s: %w", dir, err)
		}
		times.Record(time.Since(start), 1)
	}
	return times, direct, ctx.Err()
}

// openSyncFile makes the file and fills it; it falls back to the page cache where O_DIRECT is refused.
func openSyncFile(path string) (*os.File, bool, error) {
	if err := os.WriteFile(path, make([]byte, syncFileBytes), 0o600); err != nil {
		return nil, false, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	direct := err == nil
	if !direct {
		file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, false, errors.Join(err, os.Remove(path))
	}
	if err := file.Sync(); err != nil {
		return nil, false, errors.Join(err, file.Close(), os.Remove(path))
	}
	return file, direct, nil
}

// alignedBlock starts at a multiple of its size, which direct I/O asks for.
func alignedBlock() []byte {
	buffer := make([]byte, 2*syncBlockBytes)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(buffer)))) & (syncBlockBytes - 1)
	return buffer[skip : skip+syncBlockBytes]
}
