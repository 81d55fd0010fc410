package disk

import (
	"io"

	"github.com/posthaste-io/posthaste/internal/engine/disk/dump"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Dump prints a file of a store, or every file of a data directory, for people. It only reads; the store may be open or damaged. note, if
// not nil, says what the owner's note means. When everything is printed, the error is a FileError for the first damage, or nil.
func Dump(w io.Writer, fs vfs.FS, path string, note func([]byte) string) error {
	return dump.File(w, fs, path, note)
}
