package wire_test

import (
	"bytes"
	"math"
	"testing"
	"testing/quick"

	"github.com/posthaste-io/posthaste/internal/wire"
)

var secret = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func TestAckIDComesBackAsItWas(t *testing.T) {
	key := wire.NewAckKey(secret)
	roundTrip := func(id wire.AckID) bool {
		text := key.Append([]byte("prefix"), id)
		got, ok := key.Decode(text[len("prefix"):])
		return ok && got == id && len(text) == len("prefix")+wire.AckIDTextBytes && bytes.HasPrefix(text, []byte("prefix"))
	}
	if err := quick.Check(roundTrip, nil); err != nil {
		t.Error(err)
	}
	for _, id := range []wire.AckID{
		{},
		{Shard: math.MaxUint16, Epoch: math.MaxUint32, Subscription: math.MaxUint64, Offset: math.MaxUint64, Slot: math.MaxUint32, Turn: math.MaxUint32},
	} {
		if !roundTrip(id) {
			t.Errorf("%+v does not come back", id)
		}
	}
}

func TestAckIDTextIsStable(t *testing.T) {
	// Ack ids outlive a restart: clients hold them. A changed text needs a new version.
	const want = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHiuus51PZNdO"
	id := wire.AckID{
		Shard: 0x0102, Epoch: 0x03040506, Subscription: 0x0708090a0b0c0d0e, Offset: 0x0f10111213141516, Slot: 0x1718191a, Turn: 0x1b1c1d1e,
	}
	if got := wire.NewAckKey(secret).Append(nil, id); string(got) != want {
		t.Errorf("ack id %s, want %s", got, want)
	}
}

func TestAckIDOfAnotherSecretIsRefused(t *testing.T) {
	key := wire.NewAckKey(secret)
	for bit := range 128 {
		other := secret
		other[bit/8] ^= 1 << (bit % 8)
		if _, ok := key.Decode(wire.NewAckKey(other).Append(nil, wire.AckID{Offset: 7})); ok {
			t.Errorf("a secret that differs in bit %d makes the same ids", bit)
		}
	}
}

func TestChangedAckIDIsRefused(t *testing.T) {
	key := wire.NewAckKey(secret)
	text := key.Append(nil, wire.AckID{Shard: 1, Epoch: 2, Subscription: 3, Offset: 4, Slot: 5, Turn: 6})
	for at := range text {
		for _, c := range []byte("AQgwz09-_=\n\r\x00\xff") {
			changed := bytes.Clone(text)
			if changed[at] = c; changed[at] == text[at] {
				continue
			}
			if id, ok := key.Decode(changed); ok {
				t.Errorf("%q is taken for %+v", changed, id)
			}
		}
		if _, ok := key.Decode(text[:at]); ok {
			t.Errorf("the first %d characters are taken for an ack id", at)
		}
	}
	if _, ok := key.Decode(append(bytes.Clone(text), 'A')); ok {
		t.Error("one character more is taken for an ack id")
	}
}
