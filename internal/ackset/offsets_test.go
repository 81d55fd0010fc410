package ackset

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestOffsetsSurviveEncoding(t *testing.T) {
	for name, tc := range map[string]struct {
		offsets  []uint64
		want     []Run
		bytesMax int
	}{
		"none":         {nil, nil, 1},
		"one":          {[]uint64{7}, []Run{{7, 8}}, 2},
		"a run":        {[]uint64{5, 6, 7, 8}, []Run{{5, 9}}, 3},
		"two":          {[]uint64{5, 6}, []Run{{5, 7}}, 3},
		"not in order": {[]uint64{9, 3, 4, 1_000_000, 5}, []Run{{9, 10}, {3, 5}, {1_000_000, 1_000_001}, {5, 6}}, 14},
		"the same":     {[]uint64{3, 3}, []Run{{3, 4}, {3, 4}}, 3},
		"far":          {[]uint64{1<<62 - 1, 0}, []Run{{1<<62 - 1, 1 << 62}, {0, 1}}, 22},
	} {
		t.Run(name, func(t *testing.T) {
			encoded := AppendOffsets([]byte{0xaa}, tc.offsets)
			if n := len(encoded) - 1; n > tc.bytesMax {
				t.Errorf("%d bytes, want at most %d", n, tc.bytesMax)
			}
			runs, rest, err := DecodeOffsets(nil, append(encoded[1:], 1, 2, 3))
			if err != nil || len(rest) != 3 || !reflect.DeepEqual(runs, tc.want) {
				t.Fatalf("%v, %d bytes left, %v; want %v", runs, len(rest), err, tc.want)
			}
		})
	}
}

func TestRandomOffsetsSurviveEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 500 {
		spread := uint64(1) << (1 + r.IntN(61))
		offsets := make([]uint64, r.IntN(50))
		for i := range offsets {
			offsets[i] = r.Uint64N(spread)
		}
		runs, rest, err := DecodeOffsets(nil, AppendOffsets(nil, offsets))
		if err != nil || len(rest) != 0 {
			t.Fatalf("%v, %d bytes left", err, len(rest))
		}
		var got []uint64
		for _, run := range runs {
			for off := run.From; off < run.To; off++ {
				got = append(got, off)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(offsets) {
			t.Fatalf("got %v, want %v", got, offsets)
		}
	}
}

// TestBatchedAcksTakeFewBytes is the promise of the log format: 2 to 4 bytes an ack.
func TestBatchedAcksTakeFewBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	offsets := make([]uint64, 1000)
	for i, place := range r.Perm(len(offsets)) {
		offsets[i] = 1<<40 + uint64(place)*3
	}
	if n := len(AppendOffsets(nil, offsets)); n > 2600 {
		t.Fatalf("%d bytes for 1,000 acks in no order", n)
	}
}

func TestDamagedOffsetsAreRefused(t *testing.T) {
	for name, src := range map[string][]byte{
		"nothing":         {},
		"count cut short": {0x80},
		"too many":        {5, 2, 2},
		"run cut short":   {1, 3},
		"below zero":      {1, 2},
		"endless run":     {1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"past the end":    {2, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dst := []Run{{1, 2}}
			runs, rest, err := DecodeOffsets(dst, src)
			if !errors.Is(err, ErrOffsets) || len(runs) != 1 || len(rest) != len(src) {
				t.Fatalf("%v, %d bytes left, %v", runs, len(rest), err)
			}
		})
	}
}

func FuzzDecodeOffsets(f *testing.F) {
	f.Add(AppendOffsets(nil, []uint64{1, 2, 3, 9, 4, 1 << 50}))
	f.Add([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, src []byte) {
		runs, _, err := DecodeOffsets(nil, src)
		if err == nil && len(runs) > len(src) {
			t.Fatalf("%d runs from %d bytes", len(runs), len(src))
		}
		for _, run := range runs {
			if run.From >= run.To || run.To > math.MaxInt64 {
				t.Fatalf("run %v", run)
			}
		}
	})
}

func BenchmarkAppendOffsets(b *testing.B) {
	offsets := make([]uint64, 1000)
	for i, place := range rand.New(rand.NewPCG(3, 3)).Perm(len(offsets)) {
		offsets[i] = uint64(place) * 3
	}
	var dst []byte
	for i := 0; i < b.N; i += len(offsets) {
		dst = AppendOffsets(dst[:0], offsets)
	}
}

func TestRunsAreEncodedAsTheirOffsetsAre(t *testing.T) {
	for _, runs := range [][]Run{
		nil,
		{{From: 0, To: 1}},
		{{From: 5, To: 7}, {From: 9, To: 10}, {From: 12, To: 100_000}},
		{{From: 50, To: 60}, {From: 3, To: 4}, {From: 4096, To: 4098}},
	} {
		var offsets []uint64
		for _, run := range runs {
			for off := run.From; off < run.To; off++ {
				offsets = append(offsets, off)
			}
		}
		got, want := AppendRuns(nil, runs), AppendOffsets(nil, offsets)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: encoded as %x, its offsets as %x", runs, got, want)
		}
	}
}
