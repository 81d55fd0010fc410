package ackset

import (
	"fmt"
	"testing"
)

func TestCutLeavesNothingDoneFromThePlaceOn(t *testing.T) {
	for _, from := range []uint64{0, 9, 10, 11, 20, pageOffsets, pageOffsets + 1, chunkOffsets - 1, chunkOffsets, 2*chunkOffsets + 77, 3 * chunkOffsets, 1 << 30} {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			var s Set
			s.Reset(10)
			s.AddRange(20, 3*chunkOffsets)
			frozen := s.Clone()
			s.Cut(from)
			verifyRules(t, &s)
			for _, off := range []uint64{0, 9, 10, 19, 20, 21, pageOffsets - 1, pageOffsets, chunkOffsets - 1, chunkOffsets, 2*chunkOffsets + 76, 2*chunkOffsets + 77, 3*chunkOffsets - 1} {
				was := off < 10 || off >= 20
				if got := s.Contains(off); got != (was && off < from) {
					t.Errorf("%d is done: %v", off, got)
				}
				if frozen.Contains(off) != was {
					t.Errorf("%d changed in the clone", off)
				}
			}
		})
	}
}
