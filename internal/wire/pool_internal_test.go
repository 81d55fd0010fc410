package wire

import "testing"

func TestBuffersHoldWhatIsAskedForAndLittleMore(t *testing.T) {
	const mib = 1 << 20
	var p bufferPool
	for length, most := range map[int]int{
		0: 2048, 1: 2048, 2048: 2048, 2049: 4096, 100_000: 128 << 10, mib: mib, mib + 1: 2 * mib, 3*mib - 1: 3 * mib, 10_000_000: 10 * mib,
		16 * mib: 16*mib + 1, 16*mib + 1: 16*mib + 1,
	} {
		for range 3 { // once made, then used again
			b := p.Get(length)
			if len(*b) != length || cap(*b) < length || cap(*b) > most {
				t.Errorf("%d bytes: a buffer of %d with room for %d, want at most %d", length, len(*b), cap(*b), most)
			}
			p.Put(b)
		}
	}
}

func TestBuffersOfAnySizeMayComeBack(t *testing.T) {
	const mib = 1 << 20
	var p bufferPool
	for _, capacity := range []int{0, 1, 2047, 2048, 3000, mib - 1, mib, 2*mib - 1, 2 * mib, 16*mib + 5, 17 * mib} {
		b := make([]byte, capacity)
		p.Put(&b)
	}
	for _, length := range []int{1, 2048, 4096, mib, 2 * mib, 3 * mib, 16 * mib, 17 * mib} {
		if b := p.Get(length); len(*b) != length {
			t.Errorf("%d bytes are asked for, %d come", length, len(*b))
		}
	}
}
