package wire

import (
	"encoding/binary"
	"testing"
)

// TestSipHashMatchesItsPaper checks the worked example of appendix A: key 00..0f, message 00..0e.
func TestSipHashMatchesItsPaper(t *testing.T) {
	got := sipHash(0x0706050403020100, 0x0f0e0d0c0b0a0908, []uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908})
	if got != 0xa129ca6149be45e5 {
		t.Errorf("SipHash-2-4 is %#x", got)
	}
}

func TestAckIDOfAnotherVersionIsRefused(t *testing.T) {
	var key AckKey
	raw := [ackIDBytes]byte{ackIDVersion}
	for _, version := range []byte{ackIDVersion, ackIDVersion + 1} {
		raw[0] = version
		binary.BigEndian.PutUint64(raw[ackIDBodyBytes:], key.mac(&raw))
		if _, ok := key.Decode(appendBase64(nil, &raw)); ok != (version == ackIDVersion) {
			t.Errorf("version %d is taken: %t", version, ok)
		}
	}
}
