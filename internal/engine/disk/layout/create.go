package layout

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"slices"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// HoldsStore tells whether a directory is a store, without touching anything. A store is made in these steps, each durable before the
// next:
//
//	identity.tmp ─▶ seg-1, without commits ─▶ checkpoint-1, empty ─▶ epoch ─▶ identity.tmp becomes identity
//
// A directory with identity is a store, and complete. One with identity.tmp only is a store that was never finished and never held
// anything: it is made anew. One with neither is free to use only when it is empty.
func HoldsStore(fs vfs.FS, dir string) (bool, error) {
	names, err := fs.List(dir)
	if err != nil {
		return false, fmt.Errorf("list the data directory: %w", err)
	}
	present, begun := slices.Contains(names, IdentityName), slices.Contains(names, IdentityName+TempSuffix)
	other := ""
	for _, name := range names {
		kind, number := ParseName(name)
		if kind == ForeignFile {
			return false, &FileError{Path: path.Join(dir, name), Offset: -1, Reason: "does not belong into a data directory"}
		}
		// What making a store leaves when it is interrupted: see createStore.
		unfinished := begun && (kind == EpochFile || number == 1 && kind != SpareFile)
		if kind != IgnoredFile && kind != TempFile && !unfinished {
			other = name
		}
	}
	switch {
	case present:
		return true, nil
	case other != "":
		return false, &FileError{Path: path.Join(dir, IdentityName), Offset: -1, Reason: "is missing, though there is " + other}
	}
	return false, nil
}

// CreateStore makes a store at a time, in Unix nanoseconds. Files of an earlier attempt, which held nothing, are replaced.
func CreateStore(fs vfs.FS, dir string, now int64) error {
	// A directory that somebody else made for us may lie where we cannot look; then it is for them to have made it durable.
	if err := fs.SyncDir(path.Dir(dir)); err != nil && !errors.Is(err, iofs.ErrPermission) {
		return err
	}
	if err := clearAttempt(fs, dir); err != nil {
		return err
	}
	i := Identity{Store: newStoreID(), Created: now}
	temp := path.Join(dir, IdentityName+TempSuffix)
	f, err := fs.Create(temp, 0, false)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(i.encode(), 0); err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		return err
	}
	h := SegmentHeader{ID: 1, Size: PageBytes, Created: i.Created}
	first, err := CreateSegment(fs, dir, i.Store, &h, "")
	if err != nil {
		return err
	}
	if err := first.Close(); err != nil {
		return err
	}
	c := Checkpoint{Number: 1, At: Position{1, PageBytes}, NextID: 1, NextSegment: 2, Segments: []Summary{{ID: 1, FileBytes: PageBytes}}}
	if err := WriteCheckpoint(fs, dir, i.Store, &c, &Body{}); err != nil {
		return err
	}
	if err := WriteFile(fs, dir, EpochName, (&EpochMark{Segment: 1}).Encode(i.Store)); err != nil {
		return err
	}
	if err := fs.Rename(temp, path.Join(dir, IdentityName)); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// clearAttempt removes what an unfinished attempt to make a store left: its mark, identity.tmp, goes last.
func clearAttempt(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	begun := ""
	for _, name := range names {
		switch kind, _ := ParseName(name); {
		case kind == IgnoredFile:
		case name == IdentityName+TempSuffix:
			begun = name
		default:
			if err := fs.Remove(path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	if err := fs.SyncDir(dir); err != nil || begun == "" {
		return err
	}
	return fs.Remove(path.Join(dir, begun))
}
