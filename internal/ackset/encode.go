package ackset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ErrEncoding says that bytes are not what AppendBinary writes.
var ErrEncoding = errors.New("ackset: damaged set")

// A set is encoded as
//
//	byte     version, 1
//	uvarint  floor
//	tokens, for the pages from the floor's on, until the last that is not empty:
//	  uvarint  n·4 + kind
//	    kind 0  n empty pages
//	    kind 1  n full pages
//	    kind 2  one page as it is: 512 bytes, n = 1
//	    kind 3  one page as runs: n uvarints, lengths of alternately clear and set bits from the page's start; clear bits to its end
const (
	encodingVersion = 1

	kindEmpty = 0
	kindFull  = 1
	kindBits  = 2
	kindRuns  = 3

	// spanMax bounds how far above the floor a decoded set may reach, since a few bytes can ask for any length. 2^38 offsets are six
	// days of half a million messages a second behind one that is never acked, and cost 32 MiB.
	spanMax = 1 << 38
)

// AppendBinary appends the encoding of the set. It takes 512 bytes for 4,096 offsets at worst, and nearly nothing for long runs.
func (s *Set) AppendBinary(dst []byte) []byte {
	dst = append(dst, encodingVersion)
	dst = binary.AppendUvarint(dst, s.floor)
	first := uint(s.floor%chunkOffsets) / pageOffsets
	same, kind := uint64(0), uint64(kindEmpty) // pages of one kind not yet written
	for _, c := range s.chunks {
		for p := first; p < chunkPages; p++ {
			now := uint64(kindEmpty)
			if c != nil && c.pages[p] != nil {
				dst = appendSame(dst, &same, kind)
				dst = c.pages[p].append(dst)
				continue
			} else if c != nil && c.counts[p] == pageOffsets {
				now = kindFull
			}
			if now != kind {
				dst = appendSame(dst, &same, kind)
				kind = now
			}
			same++
		}
		first = 0
	}
	if kind == kindFull {
		dst = appendSame(dst, &same, kind)
	}
	return dst
}

func appendSame(dst []byte, same *uint64, kind uint64) []byte {
	if *same > 0 {
		dst = binary.AppendUvarint(dst, *same<<2|kind)
		*same = 0
	}
	return dst
}

// append encodes one page, as runs if that is shorter.
func (w *page) append(dst []byte) []byte {
	var runs [2 * pageWords]uint16 // more would not be shorter
	n, last := 0, uint(0)
	carry := uint64(0) // the bit before the word
	for i, word := range w {
		for edges := word ^ (word<<1 | carry); edges != 0; edges &= edges - 1 {
			at := uint(i)*64 + uint(bits.TrailingZeros64(edges))
			if n == len(runs) {
				return w.appendBits(dst)
			}
			runs[n] = uint16(at - last)
			n, last = n+1, at
		}
		carry = word >> 63
	}
	if carry != 0 {
		if n == len(runs) {
			return w.appendBits(dst)
		}
		runs[n] = uint16(pageOffsets - last)
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n)<<2|kindRuns)
	for _, run := range runs[:n] {
		dst = binary.AppendUvarint(dst, uint64(run))
	}
	return dst
}

func (w *page) appendBits(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, 1<<2|kindBits)
	for _, word := range w {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	return dst
}

// Decode is the set that AppendBinary encoded as the whole of src.
func Decode(src []byte) (Set, error) {
	if len(src) == 0 || src[0] != encodingVersion {
		return Set{}, fmt.Errorf("%w: version", ErrEncoding)
	}
	floor, n := binary.Uvarint(src[1:])
	if n <= 0 || floor > math.MaxInt64 {
		return Set{}, fmt.Errorf("%w: floor", ErrEncoding)
	}
	src = src[1+n:]
	s := Set{floor: floor}
	at := floor &^ (pageOffsets - 1)
	for len(src) > 0 {
		token, n := binary.Uvarint(src)
		if n <= 0 || token>>2 == 0 || token>>2 > spanMax/pageOffsets {
			return Set{}, fmt.Errorf("%w: token for offset %d", ErrEncoding, at)
		}
		pages, kind := token>>2, token&3
		if kind >= kindBits {
			var err error
			if src, err = s.decodePage(src[n:], at, pages, kind); err != nil {
				return Set{}, err
			}
			at += pageOffsets
		} else {
			src = src[n:]
			to := at + pages*pageOffsets
			if to-floor > spanMax {
				return Set{}, fmt.Errorf("%w: reaches too far, to offset %d", ErrEncoding, to)
			}
			if kind == kindFull {
				if at <= floor {
					return Set{}, fmt.Errorf("%w: offset %d is the floor and done", ErrEncoding, floor)
				}
				s.AddRange(at, to)
			}
			at = to
		}
	}
	return s, nil
}

// decodePage reads the body of a page token. at is the page's first offset, n the number in the token.
func (s *Set) decodePage(src []byte, at, n, kind uint64) (rest []byte, err error) {
	var words page
	if kind == kindBits {
		if n != 1 || len(src) < pageOffsets/8 {
			return nil, fmt.Errorf("%w: page at offset %d", ErrEncoding, at)
		}
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(src[i*8:])
		}
		src = src[pageOffsets/8:]
	} else if src, err = words.decodeRuns(src, at, n); err != nil {
		return nil, err
	}
	if at+pageOffsets-s.floor > spanMax && at > s.floor {
		return nil, fmt.Errorf("%w: reaches too far, to offset %d", ErrEncoding, at)
	}
	if at <= s.floor && words.countBelow(uint(s.floor-at)+1) != 0 {
		return nil, fmt.Errorf("%w: offset %d is at or below the floor and stored", ErrEncoding, at)
	}
	if done := words.countBelow(pageOffsets); done != 0 {
		c := s.writable(s.reach(at))
		p := uint(at%chunkOffsets) / pageOffsets
		*s.writablePage(c, p) = words
		s.grew(at, c, p, uint32(done))
	}
	return src, nil
}

func (w *page) decodeRuns(src []byte, at, n uint64) (rest []byte, err error) {
	place, set := uint64(0), false
	for range n {
		run, size := binary.Uvarint(src)
		if size <= 0 || run > pageOffsets-place {
			return nil, fmt.Errorf("%w: runs of the page at offset %d", ErrEncoding, at)
		}
		if set {
			w.setRange(uint(place), uint(run))
		}
		src = src[size:]
		place, set = place+run, !set
	}
	return src, nil
}
