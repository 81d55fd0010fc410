package disk

import (
	"fmt"
	"hash/crc32"
	"io"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// logReader reads commits of one segment, front to back, through a window over the file.
type logReader struct {
	file    vfs.File
	segment *segment
	window  []byte
	start   int64 // of the window in the file
	filled  int
}

// windowBytes is how much a logReader reads at once, unless a commit is larger.
const windowBytes = 1 << 20

func newLogReader(f vfs.File, g *segment) *logReader { return &logReader{file: f, segment: g} }

// flaw says what is wrong with a commit, and where.
type flaw struct {
	at     position
	reason string
	bodies bool // nothing but bodies of blocks is damaged: all headers and notes are right
}

func (f *flaw) Error() string { return fmt.Sprintf("%v: %s", f.at, f.reason) }

// scanned is a commit as it was read. bytes, header and records without the padding, are valid until the next read.
type scanned struct {
	header commitHeader
	bytes  []byte
	flaw   *flaw // nil when every checksum is right
}

// commit reads and checks the commit at a byte of the segment. The error is one of reading; what is wrong with the bytes is the flaw.
func (r *logReader) commit(at int64) (scanned, error) {
	var c scanned
	place := position{r.segment.id, at}
	b, err := r.bytes(at, commitHeaderBytes)
	if err != nil {
		return c, err
	}
	if !c.header.check(b, r.segment.salt, place) {
		c.flaw = &flaw{at: place, reason: "no commit: its header does not match its checksum"}
		return c, nil
	}
	if b, err = r.bytes(at, int(c.header.length)); err != nil {
		return c, err
	}
	if len(b) < int(c.header.length) {
		c.flaw = &flaw{at: place, reason: "the file ends inside a commit"}
		return c, nil
	}
	c.bytes = b
	c.flaw = r.records(&c)
	return c, nil
}

// records checks all records of a commit. A damaged body of a block is remembered, but the check goes on: a worse flaw may follow.
func (r *logReader) records(c *scanned) *flaw {
	var worst *flaw
	var h recordHeader
	count := uint32(0)
	i := commitHeaderBytes
	for ; i < len(c.bytes); i += h.bytes() {
		place := position{r.segment.id, c.header.at.offset + int64(i)}
		if !h.check(c.bytes[i:], r.segment.salt, place.offset) || i+headerBytes(h.kind)+int(h.length) > len(c.bytes) {
			return &flaw{at: place, reason: "the header of a record does not match its checksum"}
		}
		count++
		if crc32.Checksum(c.bytes[i+headerBytes(h.kind):][:h.length], castagnoli) == h.bodyCRC {
			continue
		}
		if h.kind != engine.KindBlock {
			return &flaw{at: place, reason: "the body of a note does not match its checksum"}
		}
		if worst == nil {
			worst = &flaw{at: place, reason: "the body of a block does not match its checksum", bodies: true}
		}
	}
	if count != c.header.records || i != len(c.bytes) {
		return &flaw{at: c.header.at, reason: fmt.Sprintf("the commit has %d records, not the %d that it says", count, c.header.records)}
	}
	return worst
}

// bytes gives n bytes of the file, fewer at its end, valid until the next call.
func (r *logReader) bytes(at int64, n int) ([]byte, error) {
	if at < r.start || at+int64(n) > r.start+int64(r.filled) {
		if err := r.fill(at, max(n, windowBytes)); err != nil {
			return nil, err
		}
	}
	from := int(at - r.start)
	return r.window[from:min(from+n, r.filled)], nil
}

func (r *logReader) fill(at int64, n int) error {
	if len(r.window) < n {
		r.window = make([]byte, n)
	}
	filled, err := r.file.ReadAt(r.window, at)
	if err == io.EOF {
		err = nil
	}
	r.start, r.filled = at, filled
	return err
}

// survey is what lies behind a place of a segment.
type survey struct {
	synced position // the furthest position that a valid commit behind the place knows to be durable
	commit bool     // there is one
	used   int64    // end of the last page that is not zero, at most surveyBytes behind the place
}

// surveyBytes is more than what one commit in flight can have left behind.
const surveyBytes = engine.RecordBytesMax + arenaBytes

// survey looks at every page of a part of the segment. seq is the last commit before it.
func (r *logReader) survey(from, to int64, seq uint64) (survey, error) {
	v := survey{used: from}
	for at := from; at < to; at += pageBytes {
		b, err := r.bytes(at, pageBytes)
		if err != nil || len(b) == 0 {
			return v, err
		}
		var h commitHeader
		if h.check(b, r.segment.salt, position{r.segment.id, at}) && h.seq > seq {
			v.commit = true
			if v.synced.before(h.synced) {
				v.synced = h.synced
			}
		}
		if at-from < surveyBytes && !allZero(b) {
			v.used = at + int64(len(b))
		}
	}
	return v, nil
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if little.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
