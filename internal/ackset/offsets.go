package ackset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Run is the offsets From <= x < To.
type Run struct{ From, To uint64 }

// ErrOffsets says that bytes are not what AppendOffsets writes.
var ErrOffsets = errors.New("ackset: damaged offsets")

// AppendOffsets encodes offsets for a log record, in any order, each below 2^62. Sorted ones take the least: a run of neighbours costs
// 2 or 3 bytes however long it is, an offset near the one before it 1 or 2.
//
//	uvarint  how many runs
//	runs:    uvarint  zigzag(first offset − end of the run before) · 2 + (1 if a length follows)
//	         uvarint  length − 2, if it does
func AppendOffsets(dst []byte, offsets []uint64) []byte {
	runs := uint64(0)
	for i := 0; i < len(offsets); i = runEnd(offsets, i) {
		runs++
	}
	dst = binary.AppendUvarint(dst, runs)
	last := uint64(0)
	for i := 0; i < len(offsets); {
		end := runEnd(offsets, i)
		run := Run{From: offsets[i], To: offsets[end-1] + 1}
		dst = appendRun(dst, last, run)
		last, i = run.To, end
	}
	return dst
}

// AppendRuns encodes runs, none of them empty, as AppendOffsets encodes their offsets.
func AppendRuns(dst []byte, runs []Run) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	last := uint64(0)
	for _, run := range runs {
		dst = appendRun(dst, last, run)
		last = run.To
	}
	return dst
}

// appendRun encodes a run after one that ended at last.
func appendRun(dst []byte, last uint64, run Run) []byte {
	delta := int64(run.From - last)
	step := uint64(delta<<1^delta>>63) << 1
	if n := run.To - run.From; n > 1 {
		return binary.AppendUvarint(binary.AppendUvarint(dst, step|1), n-2)
	}
	return binary.AppendUvarint(dst, step)
}

// runEnd is the index after the run of neighbours that begins at offsets[i].
func runEnd(offsets []uint64, i int) int {
	for i++; i < len(offsets) && offsets[i] == offsets[i-1]+1; i++ {
	}
	return i
}

// DecodeOffsets appends to dst the runs that AppendOffsets encoded at the start of src, and returns what follows them. Nothing is
// allocated beyond what src can pay for: a run stays a run.
func DecodeOffsets(dst []Run, src []byte) (runs []Run, rest []byte, err error) {
	count, n := binary.Uvarint(src)
	if n <= 0 || count > uint64(len(src)) {
		return dst, src, fmt.Errorf("%w: count of runs", ErrOffsets)
	}
	rest, runs = src[n:], dst
	last := uint64(0)
	for range count {
		step, n := binary.Uvarint(rest)
		if n <= 0 {
			return dst, src, fmt.Errorf("%w: cut short", ErrOffsets)
		}
		rest = rest[n:]
		zigzag, length := step>>1, uint64(1)
		if step&1 != 0 {
			more, n := binary.Uvarint(rest)
			if n <= 0 || more > math.MaxInt64 {
				return dst, src, fmt.Errorf("%w: length of a run", ErrOffsets)
			}
			rest, length = rest[n:], more+2
		}
		from := last + uint64(int64(zigzag>>1)^-int64(zigzag&1))
		to := from + length
		if from > math.MaxInt64 || to > math.MaxInt64 {
			return dst, src, fmt.Errorf("%w: offset out of range", ErrOffsets)
		}
		runs = append(runs, Run{From: from, To: to})
		last = to
	}
	return runs, rest, nil
}
