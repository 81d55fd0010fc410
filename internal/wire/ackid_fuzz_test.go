package wire_test

import (
	"bytes"
	"testing"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// FuzzAckID: a text is taken only when it is, byte for byte, what the key writes for the id that it is taken for.
func FuzzAckID(f *testing.F) {
	key := wire.NewAckKey(secret)
	whole := key.Append(nil, wire.AckID{Shard: 1, Epoch: 2, Subscription: 3, Offset: 4, Slot: 5, Turn: 6})
	for _, text := range [][]byte{nil, whole, whole[:len(whole)-1], append(bytes.Clone(whole), 'A'), wire.NewAckKey([16]byte{}).Append(nil, wire.AckID{}),
		bytes.Repeat([]byte("A"), wire.AckIDTextBytes), bytes.Repeat([]byte("="), wire.AckIDTextBytes), bytes.Repeat([]byte{0xff}, wire.AckIDTextBytes),
		[]byte("projects/p/subscriptions/s:1")} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if id, ok := key.Decode(text); ok && !bytes.Equal(key.Append(nil, id), text) {
			t.Errorf("%q is taken for %+v, whose text is %q", text, id, key.Append(nil, id))
		}
	})
}
