package layout

import (
	"errors"
	"path"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// CreateSegment makes a segment file under its final name: the last step is the sync of the directory. spare, if not empty, names
// a file to use again.
func CreateSegment(fs vfs.FS, dir string, store StoreID, h *SegmentHeader, spare string) (vfs.File, error) {
	final := path.Join(dir, SegmentName(h.ID))
	temp := final + TempSuffix
	f, err := openNewSegment(fs, dir, temp, h.Size, spare)
	if err != nil {
		return nil, err
	}
	page := vfs.AlignedBytes(PageBytes)
	h.Encode(page, store)
	_, err = f.WriteAt(page, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(temp, final)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		if NoSpace(err) {
			_ = fs.Remove(temp) // an incomplete file only makes space scarcer
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func openNewSegment(fs vfs.FS, dir, temp string, size int64, spare string) (vfs.File, error) {
	if spare == "" {
		return fs.Create(temp, size, true)
	}
	if err := fs.Rename(path.Join(dir, spare), temp); err != nil {
		return nil, err
	}
	// Until the directory is synced, a crash may bring back the name under which the file was a segment; it must not have another's
	// bytes by then.
	if err := fs.SyncDir(dir); err != nil {
		return nil, err
	}
	return fs.OpenWrite(temp, true)
}

// WriteCheckpoint makes a checkpoint's file: it appears, whole and durable, or not at all.
func WriteCheckpoint(fs vfs.FS, dir string, store StoreID, c *Checkpoint, b *Body) error {
	return WriteFile(fs, dir, CheckpointName(c.Number), c.encode(store, b), b.Index, b.Machine)
}

// WriteFile makes a file appear under a name with all of its bytes durable, replacing what had the name. What an error leaves behind has
// another name.
func WriteFile(fs vfs.FS, dir, name string, parts ...[]byte) error {
	temp := path.Join(dir, name+TempSuffix)
	f, err := fs.Create(temp, 0, false)
	if err != nil {
		return err
	}
	at := int64(0)
	for _, part := range parts {
		if err == nil && len(part) > 0 {
			_, err = f.WriteAt(part, at)
			at += int64(len(part))
		}
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = fs.Rename(temp, path.Join(dir, name))
	}
	if err == nil {
		return fs.SyncDir(dir)
	}
	if NoSpace(err) {
		_ = fs.Remove(temp) // an incomplete file only makes space scarcer
	}
	return err
}
