package ackset

// Cut says that nothing from a place on is done, as a seek back asks for. The floor falls to the place if it was above it.
func (s *Set) Cut(from uint64) {
	if from <= s.floor {
		s.Reset(from)
		return
	}
	i := s.index(from)
	if i >= uint64(len(s.chunks)) {
		return
	}
	for j, c := range s.chunks[i+1:] {
		if c != nil {
			s.above -= uint64(c.done)
			s.recycle(c)
			s.chunks[i+1+uint64(j)] = nil
		}
	}
	if s.chunks[i] != nil {
		s.cutIn(i, uint(from%chunkOffsets))
	}
	last := i + 1
	for last > 0 && s.chunks[last-1] == nil {
		last--
	}
	s.chunks = s.chunks[:last]
}

// cutIn forgets the offsets of a chunk from a place in it on.
func (s *Set) cutIn(i uint64, from uint) {
	c := s.writable(i)
	before := uint64(c.done)
	c.done = 0
	for p := range uint(chunkPages) {
		switch {
		case p*pageOffsets >= from:
			s.dropPage(c, p, 0)
		case (p+1)*pageOffsets > from && c.counts[p] > 0:
			s.cutPage(c, p, from%pageOffsets)
		}
		c.done += uint32(c.counts[p])
	}
	s.above -= before - uint64(c.done)
	if c.done == 0 {
		s.recycle(c)
		s.chunks[i] = nil
	}
}

// cutPage forgets the offsets of a page, which has some, from a place in it on.
func (s *Set) cutPage(c *chunk, p, from uint) {
	full := c.counts[p] == pageOffsets
	words := s.writablePage(c, p)
	if full {
		words.setRange(0, from)
		c.counts[p] = uint16(from)
	} else {
		c.counts[p] = uint16(words.clearFrom(from))
	}
	if c.counts[p] == 0 {
		s.dropPage(c, p, 0)
	}
}

// clearFrom clears the bits from a place on and returns how many are left.
func (w *page) clearFrom(from uint) int {
	left := w.countBelow(from)
	if rest := from % 64; rest != 0 {
		w[from/64] &= 1<<rest - 1
		from += 64 - rest
	}
	clear(w[from/64:])
	return left
}
