package ackset

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// model is the set as a map, over a world of few enough offsets to look at each.
type model struct {
	done  map[uint64]bool
	floor uint64 // all below are done
}

func (m *model) contains(off uint64) bool { return off < m.floor || m.done[off] }

func (m *model) settle() {
	for m.done[m.floor] {
		delete(m.done, m.floor)
		m.floor++
	}
}

func (m *model) add(off uint64) bool {
	if m.contains(off) {
		return false
	}
	m.done[off] = true
	m.settle()
	return true
}

func (m *model) addRange(from, to uint64) {
	for off := max(from, m.floor); off < to; off++ {
		m.done[off] = true
	}
	m.settle()
}

func (m *model) cut(from uint64) {
	m.floor = min(m.floor, from)
	for off := range m.done {
		if off >= from {
			delete(m.done, off)
		}
	}
}

func (m *model) clone() model {
	c := model{floor: m.floor, done: map[uint64]bool{}}
	for off := range m.done {
		c.done[off] = true
	}
	return c
}

// reach is one more than the highest offset that is done.
func (m *model) reach() uint64 {
	reach := m.floor
	for off := range m.done {
		reach = max(reach, off+1)
	}
	return reach
}

// verify compares a set with its model: all of it at a few places, the rules of Set, and the encoding.
func verify(t *testing.T, s *Set, m *model, r *rand.Rand) {
	t.Helper()
	if s.Floor() != m.floor || s.Above() != uint64(len(m.done)) {
		t.Fatalf("floor %d, %d above; want %d, %d", s.Floor(), s.Above(), m.floor, len(m.done))
	}
	verifyRules(t, s)
	reach := m.reach()
	for range 20 {
		off := m.floor - min(m.floor, 10) + r.Uint64N(reach-m.floor+20)
		if got, want := s.Contains(off), m.contains(off); got != want {
			t.Fatalf("Contains(%d) = %v", off, got)
		}
	}
	for range 3 {
		off := m.floor - min(m.floor, 10) + r.Uint64N(reach-m.floor+20)
		next, done := max(off, m.floor), min(off, m.floor)
		for m.contains(next) {
			next++
		}
		for x := range m.done {
			if x < off {
				done++
			}
		}
		if got := s.Next(off); got != next {
			t.Fatalf("Next(%d) = %d, want %d", off, got, next)
		}
		if got := s.Done(off); got != done {
			t.Fatalf("Done(%d) = %d, want %d", off, got, done)
		}
	}
}

// verifyRules checks the rules that Set states.
func verifyRules(t *testing.T, s *Set) {
	t.Helper()
	if s.Contains(s.floor) {
		t.Fatalf("rule 1: the floor %d is done", s.floor)
	}
	above := uint64(0)
	for i, c := range s.chunks {
		if c == nil {
			continue
		}
		done := uint32(0)
		for p, words := range c.pages {
			if words != nil && int(c.counts[p]) != words.countBelow(pageOffsets) {
				t.Fatalf("chunk %d page %d: count %d, bits %d", i, p, c.counts[p], words.countBelow(pageOffsets))
			}
			if words == nil && c.counts[p] != 0 && c.counts[p] != pageOffsets {
				t.Fatalf("chunk %d page %d: count %d without bits", i, p, c.counts[p])
			}
			if words != nil && (c.counts[p] == 0 || c.counts[p] == pageOffsets) {
				t.Fatalf("chunk %d page %d: kept though its count is %d", i, p, c.counts[p])
			}
			done += uint32(c.counts[p])
		}
		if c.done != done || done == 0 || (done == chunkOffsets) != (c == fullChunk) {
			t.Fatalf("chunk %d: done %d, pages %d", i, c.done, done)
		}
		above += uint64(done)
	}
	if n := len(s.chunks); n > 0 && (s.chunks[n-1] == nil || above == 0) {
		t.Fatalf("rule 3: the last of %d chunks is empty", n)
	}
	if len(s.chunks) > 0 && s.chunks[0] != nil && s.chunks[0].below(uint(s.floor%chunkOffsets)) != 0 {
		t.Fatal("rule 2: bits below the floor")
	}
	if above != s.above {
		t.Fatalf("above %d, counted %d", s.above, above)
	}
}

func verifyEncoding(t *testing.T, s *Set) {
	t.Helper()
	encoded := s.AppendBinary(nil)
	decoded, err := Decode(encoded)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	verifyRules(t, &decoded)
	if again := decoded.AppendBinary(nil); !bytes.Equal(encoded, again) || decoded.floor != s.floor || decoded.above != s.above {
		t.Fatalf("decoded to another set: floor %d, %d above; want %d, %d", decoded.floor, decoded.above, s.floor, s.above)
	}
}

// TestSetAgreesWithAMap does random things to sets and their clones, and to maps.
func TestSetAgreesWithAMap(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			start := r.Uint64N(300_000)
			span := []uint64{100, 5000, 70_000, 200_000}[r.IntN(4)]
			sets := []*Set{{}}
			sets[0].Reset(start)
			models := []model{{done: map[uint64]bool{}, floor: start}}
			for step := range min(300, 30+2_000_000/int(span)) {
				i := r.IntN(len(sets))
				change(t, sets[i], &models[i], r, span)
				if r.IntN(10) == 0 && len(sets) < 4 {
					clone := sets[i].Clone()
					sets, models = append(sets, &clone), append(models, models[i].clone())
				}
				verify(t, sets[i], &models[i], r)
				if step%30 == 0 {
					for j := range sets {
						verify(t, sets[j], &models[j], r)
						verifyEncoding(t, sets[j])
					}
				}
			}
		})
	}
}

func change(t *testing.T, s *Set, m *model, r *rand.Rand, span uint64) {
	t.Helper()
	switch kind := r.IntN(20); {
	case kind < 10: // a few near the floor, with gaps
		for range r.IntN(200) {
			off := m.floor - min(m.floor, 3) + r.Uint64N(64)
			if got, want := s.Add(off), m.add(off); got != want {
				t.Fatalf("Add(%d) = %v", off, got)
			}
		}
	case kind < 14: // anywhere
		for range r.IntN(400) {
			off := m.floor + r.Uint64N(span)
			if got, want := s.Add(off), m.add(off); got != want {
				t.Fatalf("Add(%d) = %v", off, got)
			}
		}
	case kind < 17:
		from := m.floor - min(m.floor, 5) + r.Uint64N(span)
		to := from + r.Uint64N(span)
		s.AddRange(from, to)
		m.addRange(from, to)
	case kind < 18: // page and chunk edges
		from := (m.floor + r.Uint64N(span)) &^ (pageOffsets - 1)
		to := from + pageOffsets*r.Uint64N(20)
		s.AddRange(from, to)
		m.addRange(from, to)
	case kind < 19:
		s.AddRange(m.floor, m.floor+1)
		m.addRange(m.floor, m.floor+1)
	default:
		switch r.IntN(10) {
		case 0:
			from := m.floor - min(m.floor, 200) + r.Uint64N(2*(m.reach()-m.floor)+400)
			if r.IntN(3) == 0 {
				from &^= pageOffsets - 1
			}
			s.Cut(from)
			m.cut(from)
		case 1:
			floor := m.floor - min(m.floor, r.Uint64N(span))
			s.Reset(floor)
			*m = model{done: map[uint64]bool{}, floor: floor}
		}
	}
}

func TestZeroValueHasNothingDone(t *testing.T) {
	var s Set
	if s.Floor() != 0 || s.Contains(0) || s.Next(0) != 0 || s.Next(9) != 9 || s.Done(100) != 0 {
		t.Fatalf("floor %d, Contains(0) %v, Next(9) %d, Done(100) %d", s.Floor(), s.Contains(0), s.Next(9), s.Done(100))
	}
}

func TestAckInOrderKeepsNothing(t *testing.T) {
	var s Set
	for off := range uint64(200_000) {
		if !s.Add(off) || s.Add(off) {
			t.Fatalf("offset %d is not news exactly once", off)
		}
	}
	if s.chunks != nil || s.Floor() != 200_000 {
		t.Fatalf("%d chunks, floor %d", len(s.chunks), s.Floor())
	}
}

// TestFloorCrossesEdges: the floor goes over the end of a page and of a chunk while something beyond is done, or nothing is.
func TestFloorCrossesEdges(t *testing.T) {
	for _, edge := range []uint64{pageOffsets, chunkOffsets, 3 * chunkOffsets} {
		for _, ahead := range []uint64{0, 1, 2, 5000, 70_000} {
			t.Run(fmt.Sprintf("edge=%d,ahead=%d", edge, ahead), func(t *testing.T) {
				var s Set
				s.Reset(edge - 3)
				s.Add(edge + ahead)
				for off := edge - 3; off < edge+3; off++ {
					if want := off != edge+ahead; s.Contains(off) == want || s.Add(off) != want {
						t.Fatalf("offset %d was not yet done: %v", off, !want)
					}
					verifyRules(t, &s)
				}
				if !s.Contains(edge+ahead) || s.Done(edge+100_000) != edge+3+min(1, ahead/3) {
					t.Fatalf("%d done", s.Done(edge+100_000))
				}
			})
		}
	}
}

// TestStuckMessageCostsLittle: all but offset 0 of 100 million are acked.
func TestStuckMessageCostsLittle(t *testing.T) {
	var s Set
	s.AddRange(1, 100_000_000)
	stored := 0
	for _, c := range s.chunks {
		if c != fullChunk {
			stored++
		}
	}
	if stored > 2 {
		t.Fatalf("%d chunks are stored", stored)
	}
	if n := len(s.AppendBinary(nil)); n > 1100 {
		t.Fatalf("encoded to %d bytes", n)
	}
	if !s.Add(0) || s.Floor() != 100_000_000 || s.chunks == nil || len(s.chunks) != 0 {
		t.Fatalf("floor %d, %d chunks", s.Floor(), len(s.chunks))
	}
}

// TestTenMillionHolesFitInTheirBits: 1 bit an offset, and a little.
func TestTenMillionHolesFitInTheirBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var s Set
	for range 5_000_000 {
		s.Add(1 + r.Uint64N(10_000_000))
	}
	bytes := cap(s.chunks) * 8
	for _, c := range s.chunks {
		if c != nil && c != fullChunk {
			bytes += 176
			for _, words := range c.pages {
				if words != nil {
					bytes += 512
				}
			}
		}
	}
	if bytes > 1_350_000 {
		t.Fatalf("%d bytes", bytes)
	}
}

func TestAckAllocatesNothingOnceWarm(t *testing.T) {
	var s Set
	at := uint64(0)
	allocs := testing.AllocsPerRun(10, func() {
		for range 100_000 / 4 { // each four in an order of their own
			s.Add(at + 2)
			s.Add(at + 3)
			s.Add(at)
			s.Add(at + 1)
			at += 4
		}
	})
	if allocs > 2 { // the directory is moved now and then
		t.Fatalf("%v allocations for 100,000 acks", allocs)
	}
}

func FuzzDecode(f *testing.F) {
	var s Set
	f.Add(s.AppendBinary(nil))
	s.Reset(5000)
	for off := uint64(5001); off < 9000; off += 3 {
		s.Add(off)
	}
	s.AddRange(10_000, 200_000)
	s.Add(300_000)
	f.Add(s.AppendBinary(nil))
	f.Add([]byte{1, 0, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{1, 5, 4<<2 | kindRuns, 10, 20, 30, 40})
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := Decode(src)
		if err != nil {
			return
		}
		verifyEncoding(t, &s)
	})
}

func BenchmarkAddInOrder(b *testing.B) {
	var s Set
	for i := range uint64(b.N) {
		s.Add(i)
	}
}

// BenchmarkAddNearlyInOrder acks within a window of 1,024, in an order of its own.
func BenchmarkAddNearlyInOrder(b *testing.B) {
	var s Set
	order := rand.New(rand.NewPCG(1, 1)).Perm(1024)
	for i := range b.N {
		s.Add(uint64(i&^1023 + order[i&1023]))
	}
}

// BenchmarkAddBehindAStuckMessage acks in order above a floor that does not move.
func BenchmarkAddBehindAStuckMessage(b *testing.B) {
	var s Set
	for i := range uint64(b.N) {
		s.Add(i + 1)
	}
}

func BenchmarkAddAtRandom(b *testing.B) {
	var s Set
	r := rand.New(rand.NewPCG(1, 1))
	for range b.N {
		s.Add(1 + r.Uint64N(10_000_000))
	}
}

func BenchmarkContains(b *testing.B) {
	var s Set
	r := rand.New(rand.NewPCG(1, 1))
	for range 5_000_000 {
		s.Add(1 + r.Uint64N(10_000_000))
	}
	b.ResetTimer()
	for i := range b.N {
		s.Contains(uint64(i) * 7919 % 10_000_000)
	}
}
