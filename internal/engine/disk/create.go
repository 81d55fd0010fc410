package disk

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"path"
	"slices"

	"github.com/posthaste-io/posthaste/internal/vfs"
)

// A store is made in these steps, each durable before the next:
//
//	identity.tmp ─▶ seg-1, without commits ─▶ checkpoint-1, empty ─▶ epoch ─▶ identity.tmp becomes identity
//
// A directory with identity is a store, and complete. One with identity.tmp only is a store that was never finished and never held
// anything: it is made anew. One with neither is free to use only when it is empty.
type found int

const (
	storeAbsent found = iota
	storePresent
)

// examine tells whether a directory holds a store, without touching anything.
func examine(fs vfs.FS, dir string) (found, error) {
	names, err := fs.List(dir)
	if err != nil {
		return storeAbsent, fmt.Errorf("list the data directory: %w", err)
	}
	present, begun := slices.Contains(names, identityName), slices.Contains(names, identityName+tempSuffix)
	other := ""
	for _, name := range names {
		kind, number := parseName(name)
		if kind == foreignFile {
			return storeAbsent, &FileError{Path: path.Join(dir, name), Offset: -1, Reason: "does not belong into a data directory"}
		}
		// What making a store leaves when it is interrupted: see create.
		unfinished := begun && (kind == epochFile || number == 1 && kind != spareFile)
		if kind != ignoredFile && kind != tempFile && !unfinished {
			other = name
		}
	}
	switch {
	case present:
		return storePresent, nil
	case other != "":
		return storeAbsent, &FileError{Path: path.Join(dir, identityName), Offset: -1, Reason: "is missing, though there is " + other}
	}
	return storeAbsent, nil
}

// create makes a store. Files of an earlier attempt, which held nothing, are replaced.
func (e *Engine) create() error {
	o := &e.options
	// A directory that somebody else made for us may lie where we cannot look; then it is for them to have made it durable.
	if err := o.FS.SyncDir(path.Dir(o.Dir)); err != nil && !errors.Is(err, iofs.ErrPermission) {
		return err
	}
	if err := e.clear(); err != nil {
		return err
	}
	i := identity{store: newStoreID(), created: o.Clock.Wall()}
	temp := path.Join(o.Dir, identityName+tempSuffix)
	f, err := o.FS.Create(temp, 0, false)
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
		err = o.FS.SyncDir(o.Dir)
	}
	if err != nil {
		return err
	}
	h := segmentHeader{id: 1, size: pageBytes, created: i.created}
	g, err := createSegment(o.FS, o.Dir, i.store, h, "")
	if err != nil {
		return err
	}
	if err := g.writer.Close(); err != nil {
		return err
	}
	c := checkpoint{number: 1, at: position{1, pageBytes}, nextID: 1, nextSegment: 2, segments: []summary{g.summary()}}
	if err := writeCheckpoint(o.FS, o.Dir, i.store, &c, &body{}); err != nil {
		return err
	}
	if err := writeFile(o.FS, o.Dir, epochName, (&epochMark{segment: 1}).encode(i.store)); err != nil {
		return err
	}
	if err := o.FS.Rename(temp, path.Join(o.Dir, identityName)); err != nil {
		return err
	}
	return o.FS.SyncDir(o.Dir)
}

// clear removes what an unfinished attempt to make a store left: its mark, identity.tmp, goes last.
func (e *Engine) clear() error {
	fs, dir := e.options.FS, e.options.Dir
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	begun := ""
	for _, name := range names {
		switch kind, _ := parseName(name); {
		case kind == ignoredFile:
		case name == identityName+tempSuffix:
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
