package wire

import "testing"

// TestSipHashMatchesItsPaper checks the worked example of appendix A: key 00..0f, message 00..0e.
func TestSipHashMatchesItsPaper(t *testing.T) {
	got := sipHash(0x0706050403020100, 0x0f0e0d0c0b0a0908, []uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908})
	if got != 0xa129ca6149be45e5 {
		t.Errorf("SipHash-2-4 is %#x", got)
	}
}
