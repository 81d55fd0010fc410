package disk

import "github.com/posthaste-io/posthaste/internal/engine"

// Stats are figures of a shard since it was owned, for metrics and benchmarks.
type Stats struct {
	Commits      int64 // each one write and one sync
	Appends      int64 // calls of Append and Enqueue
	Bytes        int64 // written to the log
	Segments     int
	LiveBytes    int64 // of the segments, what the index still refers to
	FreeBytes    int64 // of the file system, when last looked at
	TailBytes    int64 // memory behind the tail cache
	Topics       int
	CorruptReads int64 // blocks that were found damaged
	Full         bool  // blocks are refused
}

// StatsOf gives the figures of a shard that this package's engine gave out.
func StatsOf(owned engine.Shard) Stats {
	s := owned.(*shard)
	v := Stats{
		Commits: s.commits.Load(), Appends: s.appends.Load(), Bytes: s.written.Load(), FreeBytes: s.free.Load(),
		CorruptReads: s.corrupt.Load(), Full: s.full.Load(),
	}
	s.index.Mu.RLock()
	defer s.index.Mu.RUnlock()
	v.Segments, v.Topics, v.TailBytes = len(s.index.Segments), len(s.index.Topics), s.index.Tail.Bytes
	for _, g := range s.index.Segments {
		v.LiveBytes += g.Live
	}
	return v
}

// damaged counts and reports a block that does not match its checksum.
func (s *shard) damaged(err *engine.CorruptError) {
	s.corrupt.Add(1)
	s.options.Logger.Error("stored bytes are damaged", "file", err.File, "byte", err.Offset, "topic", err.Topic, "reason", err.Reason)
}
