package layout

import (
	"fmt"
	"hash/crc32"
	"io"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/vfs"
)

// Reader reads commits of one segment, front to back, through a window over the file.
type Reader struct {
	file    vfs.File
	segment uint64
	salt    uint32
	window  []byte
	start   int64 // of the window in the file
	filled  int
}

// windowBytes is how much a Reader reads at once, unless a commit is larger.
const windowBytes = 1 << 20

// NewReader reads a segment, whose salt is that of its store.
func NewReader(f vfs.File, segment uint64, salt uint32) *Reader {
	return &Reader{file: f, segment: segment, salt: salt}
}

// Flaw says what is wrong with a commit, and where.
type Flaw struct {
	At     Position
	Reason string
	Bodies bool // nothing but bodies of blocks is damaged: all headers and notes are right
}

// Error implements error.
func (f *Flaw) Error() string { return fmt.Sprintf("%v: %s", f.At, f.Reason) }

// Scanned is a commit as it was read. bytes, header and records without the padding, are valid until the next read.
type Scanned struct {
	Header CommitHeader
	Bytes  []byte
	Flaw   *Flaw // nil when every checksum is right
}

// Commit reads and checks the commit at a byte of the segment. The error is one of reading; what is wrong with the bytes is the flaw.
func (r *Reader) Commit(at int64) (Scanned, error) {
	var c Scanned
	place := Position{r.segment, at}
	b, err := r.bytes(at, CommitHeaderBytes)
	if err != nil {
		return c, err
	}
	if !c.Header.check(b, r.salt, place) {
		c.Flaw = &Flaw{At: place, Reason: "no commit: its header does not match its checksum"}
		return c, nil
	}
	if b, err = r.bytes(at, int(c.Header.Length)); err != nil {
		return c, err
	}
	if len(b) < int(c.Header.Length) {
		c.Flaw = &Flaw{At: place, Reason: "the file ends inside a commit"}
		return c, nil
	}
	c.Bytes = b
	c.Flaw = r.records(&c)
	return c, nil
}

// records checks all records of a commit. A damaged body of a block is remembered, but the check goes on: a worse flaw may follow.
func (r *Reader) records(c *Scanned) *Flaw {
	var worst *Flaw
	var h RecordHeader
	count := uint32(0)
	i := CommitHeaderBytes
	for ; i < len(c.Bytes); i += h.Bytes() {
		place := Position{r.segment, c.Header.At.Offset + int64(i)}
		if !h.Check(c.Bytes[i:], r.salt, place.Offset) || i+HeaderBytes(h.Kind)+int(h.Length) > len(c.Bytes) {
			return &Flaw{At: place, Reason: "the header of a record does not match its checksum"}
		}
		count++
		if crc32.Checksum(c.Bytes[i+HeaderBytes(h.Kind):][:h.Length], Castagnoli) == h.BodyCRC {
			continue
		}
		if h.Kind != engine.KindBlock {
			return &Flaw{At: place, Reason: "the body of a note does not match its checksum"}
		}
		if worst == nil {
			worst = &Flaw{At: place, Reason: "the body of a block does not match its checksum", Bodies: true}
		}
	}
	if count != c.Header.Records || i != len(c.Bytes) {
		return &Flaw{At: c.Header.At, Reason: fmt.Sprintf("the commit has %d records, not the %d that it says", count, c.Header.Records)}
	}
	return worst
}

// bytes gives n bytes of the file, fewer at its end, valid until the next call.
func (r *Reader) bytes(at int64, n int) ([]byte, error) {
	if at < r.start || at+int64(n) > r.start+int64(r.filled) {
		if err := r.fill(at, max(n, windowBytes)); err != nil {
			return nil, err
		}
	}
	from := int(at - r.start)
	return r.window[from:min(from+n, r.filled)], nil
}

func (r *Reader) fill(at int64, n int) error {
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

// Survey is what lies behind a place of a segment.
type Survey struct {
	Synced Position // the furthest position that a valid commit behind the place knows to be durable
	Commit bool     // there is one
	Used   int64    // end of the last page that is not zero, at most surveyBytes behind the place
}

// SurveyBytes is more than what one commit in flight can have left behind.
const SurveyBytes = engine.RecordBytesMax + CommitBytesAim

// Survey looks at every page of a part of the segment. seq is the last commit before it.
func (r *Reader) Survey(from, to int64, seq uint64) (Survey, error) {
	v := Survey{Used: from}
	for at := from; at < to; at += PageBytes {
		b, err := r.bytes(at, PageBytes)
		if err != nil || len(b) == 0 {
			return v, err
		}
		var h CommitHeader
		if h.check(b, r.salt, Position{r.segment, at}) && h.Seq > seq {
			v.Commit = true
			if v.Synced.Before(h.Synced) {
				v.Synced = h.Synced
			}
		}
		if at-from < SurveyBytes && !allZero(b) {
			v.Used = at + int64(len(b))
		}
	}
	return v, nil
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if Little.Uint64(b) != 0 {
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
