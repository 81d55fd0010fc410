package index

import (
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/engine/disk/layout"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Segment is one segment file of the running store. The index's lock guards the fields below it.
type Segment struct {
	layout.SegmentHeader
	Salt   uint32
	Writer vfs.File // while it is written; used by the committer, then by the keeper

	FileBytes int64 // size of the file, once sealed
	End       int64 // where its log part ends, once sealed; 0 before
	Live      int64 // bytes of records that the index still refers to
	Sealed    bool
	Footed    bool  // its footer is durable: the index needs no entries of its blocks in memory
	Torn      int64 // end of what a crash left behind end; the footer leaves it alone
	Shrink    bool  // the file ends behind the footer: it was not filled
	Keep      bool  // compaction met damage in it: its file stays as it is
	// topics have extents with entries in memory. Empty once footed.
	topics []engine.TopicID
}

// NewSegment makes a segment that was just created known by its file, which is open for writing.
func NewSegment(h layout.SegmentHeader, store layout.StoreID, writer vfs.File) *Segment {
	return &Segment{SegmentHeader: h, Salt: store.Salt(h.ID), Writer: writer, FileBytes: h.Size}
}
