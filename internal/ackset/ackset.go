// Package ackset says which messages of a topic a subscription is done with.
//
// A [Set] is a floor, below which everything is done, and a bitmap above it:
//
//	         floor
//	           │
//	███████████·██·█···████|██████████████|··············|█·······
//	                   chunk       full          empty
//
// The bitmap is cut into chunks of 65,536 offsets and those into pages of 4,096. Chunks and pages that are full or empty are not
// stored, so that memory goes with how mixed the set is and not with how far it reaches: a message that is never acked costs 8 bytes
// for each 65,536 acked after it. Pages are small because acks that overtake each other, the usual case, touch one or two of them.
//
// The package has two encodings, for checkpoints ([Set.AppendBinary]) and for log records ([AppendOffsets]).
package ackset

import "math/bits"

const (
	pageBits    = 12
	pageOffsets = 1 << pageBits
	pageWords   = pageOffsets / 64

	chunkBits    = 16
	chunkOffsets = 1 << chunkBits
	chunkPages   = chunkOffsets / pageOffsets
)

// Set is a set of offsets that are done. Its rules:
//
//  1. The floor is not done; everything below it is.
//  2. Bits below the floor are zero and counted nowhere, so counts speak of what lies above it.
//  3. chunks[0] holds the floor. The last chunk is not empty; if nothing above the floor is done there is no chunk at all.
//  4. What is frozen is shared with a clone and is never written again.
//
// The zero value is the empty set. Not safe for concurrent use; but a clone may be used by another goroutine than its original.
// A Set must not be copied except by Clone.
type Set struct {
	floor  uint64
	above  uint64   // how many offsets above the floor are done
	chunks []*chunk // nil: empty
	// The page and the chunk that became empty last. Acks that overtake each other empty and fill a page over and over.
	sparePage  *page
	spareChunk *chunk
}

type page [pageWords]uint64

type chunk struct {
	done        uint32
	frozen      bool   // this struct
	pagesFrozen uint16 // bit per page
	counts      [chunkPages]uint16
	pages       [chunkPages]*page // nil: empty or full, as the count says
}

// fullChunk stands for every chunk that is wholly done. It is frozen.
var fullChunk = &chunk{done: chunkOffsets, frozen: true, counts: fullCounts()}

func fullCounts() (counts [chunkPages]uint16) {
	for i := range counts {
		counts[i] = pageOffsets
	}
	return counts
}

// Floor is the lowest offset that is not done.
func (s *Set) Floor() uint64 { return s.floor }

// Above is how many offsets above the floor are done.
func (s *Set) Above() uint64 { return s.above }

// Reset makes the set hold exactly the offsets below floor.
func (s *Set) Reset(floor uint64) { *s = Set{floor: floor} }

// Add says that an offset is done. It reports whether that is news.
func (s *Set) Add(off uint64) bool {
	if off == s.floor {
		// In order, or nearly: the next one is not done, and chunks[0] stays the floor's.
		if s.above == 0 || (off+1)%chunkOffsets != 0 && !s.Contains(off+1) {
			s.floor++
			return true
		}
		s.discard(s.Next(off + 1))
		return true
	}
	if off < s.floor {
		return false
	}
	i := s.reach(off)
	if s.chunks[i] == fullChunk {
		return false
	}
	c := s.writable(i)
	p, word, bit := uint(off%chunkOffsets)/pageOffsets, uint(off%pageOffsets)/64, uint64(1)<<(off%64)
	if c.counts[p] == pageOffsets {
		return false
	}
	words := s.writablePage(c, p)
	if words[word]&bit != 0 {
		return false
	}
	words[word] |= bit
	s.grew(off, c, p, 1)
	return true
}

// AddRange says that the offsets from <= x < to are done.
func (s *Set) AddRange(from, to uint64) {
	if to <= s.floor || to <= from {
		return
	}
	if from <= s.floor {
		s.discard(s.Next(to))
		return
	}
	s.reach(to - 1)
	for from < to {
		end := min(to, (from|(chunkOffsets-1))+1)
		s.fill(from, end)
		from = end
	}
}

// Contains reports whether an offset is done.
func (s *Set) Contains(off uint64) bool {
	if off < s.floor {
		return true
	}
	i := s.index(off)
	if i >= uint64(len(s.chunks)) || s.chunks[i] == nil {
		return false
	}
	c, p := s.chunks[i], off%chunkOffsets/pageOffsets
	if c.pages[p] == nil {
		return c.counts[p] == pageOffsets
	}
	return c.pages[p][off%pageOffsets/64]&(1<<(off%64)) != 0
}

// Next is the first offset from a place on that is not done.
func (s *Set) Next(from uint64) uint64 {
	if from <= s.floor && s.above == 0 {
		return s.floor
	}
	for from = max(from, s.floor); ; {
		i := s.index(from)
		if i >= uint64(len(s.chunks)) || s.chunks[i] == nil {
			return from
		}
		c, p := s.chunks[i], from%chunkOffsets/pageOffsets
		switch {
		case c.done == chunkOffsets:
			from = (from | (chunkOffsets - 1)) + 1
		case c.counts[p] == pageOffsets:
			from = (from | (pageOffsets - 1)) + 1
		case c.counts[p] == 0:
			return from
		default:
			found := c.pages[p].firstZero(uint(from % pageOffsets))
			if found < pageOffsets {
				return from&^(pageOffsets-1) + uint64(found)
			}
			from = (from | (pageOffsets - 1)) + 1
		}
	}
}

// Done is how many of the offsets below to are done. It is quick when to lies at or behind the last of them, as the end of a topic does.
func (s *Set) Done(to uint64) uint64 {
	if to <= s.floor {
		return to
	}
	last := s.index(to)
	if last >= uint64(len(s.chunks)) {
		return s.floor + s.above
	}
	done := s.floor
	for _, c := range s.chunks[:last] {
		if c != nil {
			done += uint64(c.done)
		}
	}
	if c := s.chunks[last]; c != nil {
		done += c.below(uint(to % chunkOffsets))
	}
	return done
}

// Clone is a frozen copy: neither set sees later changes of the other. It costs 8 bytes per 65,536 offsets above the floor; pages are
// copied when one of the two sets changes them.
func (s *Set) Clone() Set {
	for _, c := range s.chunks {
		// A chunk that is frozen may be in another goroutine's hands already, and is not written even with what it holds.
		if c != nil && !c.frozen {
			c.frozen = true
		}
	}
	return Set{floor: s.floor, above: s.above, chunks: append([]*chunk(nil), s.chunks...)}
}

// discard moves the floor to a higher place, which is not done, and forgets the bits below it.
func (s *Set) discard(to uint64) {
	whole := min(s.index(to), uint64(len(s.chunks)))
	for i, c := range s.chunks[:whole] {
		if c != nil {
			s.above -= uint64(c.done)
			s.recycle(c)
			s.chunks[i] = nil
		}
	}
	s.chunks = s.chunks[whole:]
	s.floor = to
	if len(s.chunks) > 0 && s.chunks[0] != nil {
		s.discardIn(uint(to % chunkOffsets))
	}
	if s.above == 0 {
		clear(s.chunks)
		s.chunks = s.chunks[:0]
	}
}

// discardIn forgets the offsets of the first chunk below a place in it. The place is not done, so neither its chunk nor its page is full.
func (s *Set) discardIn(to uint) {
	if s.chunks[0].below(to) == 0 {
		return
	}
	c := s.writable(0)
	gone := uint64(0)
	for p := uint(0); p < chunkPages && p*pageOffsets < to; p++ {
		switch {
		case c.counts[p] == 0:
		case (p+1)*pageOffsets <= to:
			gone += uint64(c.counts[p])
			s.dropPage(c, p, 0)
		default:
			words := s.writablePage(c, p)
			n := words.clearBelow(to % pageOffsets)
			gone += uint64(n)
			if c.counts[p] -= uint16(n); c.counts[p] == 0 {
				s.dropPage(c, p, 0)
			}
		}
	}
	s.above -= gone
	if c.done -= uint32(gone); c.done == 0 {
		s.recycle(c)
		s.chunks[0] = nil
	}
}

// fill sets the offsets from <= x < to of one chunk.
func (s *Set) fill(from, to uint64) {
	i := s.index(from)
	if to-from == chunkOffsets {
		if c := s.chunks[i]; c != nil {
			s.above -= uint64(c.done)
			s.recycle(c)
		}
		s.chunks[i] = fullChunk
		s.above += chunkOffsets
		return
	}
	for from < to && s.chunks[i] != fullChunk {
		c := s.writable(i)
		end := min(to, (from|(pageOffsets-1))+1)
		p := uint(from%chunkOffsets) / pageOffsets
		switch {
		case c.counts[p] == pageOffsets:
		case end-from == pageOffsets:
			s.grew(from, c, p, pageOffsets-uint32(c.counts[p]))
		default:
			n := s.writablePage(c, p).setRange(uint(from%pageOffsets), uint(end-from))
			s.grew(from, c, p, uint32(n))
		}
		from = end
	}
}

// grew counts n more offsets in a page, and drops what is full now. A chunk that fills up is replaced: c must not be used afterwards.
func (s *Set) grew(off uint64, c *chunk, p uint, n uint32) {
	s.above += uint64(n)
	c.done += n
	if c.done == chunkOffsets {
		s.recycle(c)
		s.chunks[s.index(off)] = fullChunk
		return
	}
	if c.counts[p] += uint16(n); c.counts[p] == pageOffsets {
		s.dropPage(c, p, pageOffsets)
	}
}

// index is the place in chunks of the chunk that holds an offset, which must not be below the floor.
func (s *Set) index(off uint64) uint64 { return off>>chunkBits - s.floor>>chunkBits }

// reach makes chunks long enough to hold an offset, and returns its place there.
func (s *Set) reach(off uint64) uint64 {
	i := s.index(off)
	if need := i + 1; need > uint64(len(s.chunks)) {
		s.chunks = append(s.chunks, make([]*chunk, need-uint64(len(s.chunks)))...)
	}
	return i
}

// writable is the chunk at a place, which is not wholly done or about to lose offsets; made or copied if need be.
func (s *Set) writable(i uint64) *chunk {
	c := s.chunks[i]
	switch {
	case c == nil:
		if c, s.spareChunk = s.spareChunk, nil; c == nil {
			c = new(chunk)
		}
	case c.frozen:
		thawed := *c
		thawed.frozen, thawed.pagesFrozen = false, 1<<chunkPages-1
		c = &thawed
	default:
		return c
	}
	s.chunks[i] = c
	return c
}

// writablePage is the bitmap of a page that is not full.
func (s *Set) writablePage(c *chunk, p uint) *page {
	words := c.pages[p]
	switch {
	case words == nil:
		if words, s.sparePage = s.sparePage, nil; words == nil {
			words = new(page)
		}
	case c.pagesFrozen&(1<<p) != 0:
		thawed := *words
		words = &thawed
	default:
		return words
	}
	c.pages[p] = words
	c.pagesFrozen &^= 1 << p
	return words
}

// dropPage gives up a page's bitmap: the count says it all.
func (s *Set) dropPage(c *chunk, p uint, count uint16) {
	if words := c.pages[p]; words != nil && c.pagesFrozen&(1<<p) == 0 {
		clear(words[:])
		s.sparePage = words
	}
	c.pages[p] = nil
	c.pagesFrozen &^= 1 << p
	c.counts[p] = count
}

// recycle keeps a chunk that is no longer part of the set for the next one that is needed.
func (s *Set) recycle(c *chunk) {
	if c.frozen {
		return
	}
	for p := range uint(chunkPages) {
		s.dropPage(c, p, 0)
	}
	*c = chunk{}
	s.spareChunk = c
}

// below is how many offsets of the chunk below a place in it are done.
func (c *chunk) below(to uint) uint64 {
	n := uint64(0)
	for p := uint(0); p < chunkPages && p*pageOffsets < to; p++ {
		switch {
		case (p+1)*pageOffsets <= to:
			n += uint64(c.counts[p])
		case c.pages[p] != nil:
			n += uint64(c.pages[p].countBelow(to % pageOffsets))
		case c.counts[p] == pageOffsets:
			n += uint64(to % pageOffsets)
		}
	}
	return n
}

// firstZero is the first clear bit from a place on: pageOffsets if there is none.
func (w *page) firstZero(from uint) uint {
	for i := from / 64; i < pageWords; i++ {
		zeros := ^w[i]
		if i == from/64 {
			zeros &= ^uint64(0) << (from % 64)
		}
		if zeros != 0 {
			return i*64 + uint(bits.TrailingZeros64(zeros))
		}
	}
	return pageOffsets
}

func (w *page) countBelow(to uint) int {
	n := 0
	for i := range to / 64 {
		n += bits.OnesCount64(w[i])
	}
	if rest := to % 64; rest != 0 {
		n += bits.OnesCount64(w[to/64] & (1<<rest - 1))
	}
	return n
}

// clearBelow clears the bits below a place and returns how many were set.
func (w *page) clearBelow(to uint) int {
	n := w.countBelow(to)
	clear(w[:to/64])
	if rest := to % 64; rest != 0 {
		w[to/64] &^= 1<<rest - 1
	}
	return n
}

// setRange sets n bits from a place on and returns how many were clear.
func (w *page) setRange(from, n uint) int {
	news := 0
	for n > 0 {
		in := min(n, 64-from%64)
		mask := ^uint64(0) >> (64 - in) << (from % 64)
		news += bits.OnesCount64(mask &^ w[from/64])
		w[from/64] |= mask
		from, n = from+in, n-in
	}
	return news
}
