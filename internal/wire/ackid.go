package wire

import (
	"encoding/base64"
	"encoding/binary"
)

// AckID says which delivery of which message an ack id stands for.
type AckID struct {
	Shard        uint16
	Epoch        uint32 // of the shard's owner that gave the id out
	Subscription uint64
	Offset       uint64 // of the message in its topic
	Slot         uint32 // of the outstanding message in the subscription's slab
	Turn         uint32 // how often the slot has been used
}

// An ack id on the wire, before base64:
//
//	byte  0       1      3      7             15      23    27    31        39
//	      version shard  epoch  subscription  offset  slot  turn  SipHash
//
// Numbers are big-endian. 39 bytes are 52 characters without padding and without spare bits, so that no two texts mean one id.
const (
	ackIDVersion   = 1
	ackIDMacBytes  = 8
	ackIDBodyBytes = 31
	ackIDBytes     = ackIDBodyBytes + ackIDMacBytes
)

// AckIDTextBytes is the length of every ack id's text.
const AckIDTextBytes = 52

// AckKey makes ack ids and recognises those that were made with the same secret: clients return ids that they were given, so one that
// does not match is damaged, foreign or forged. It is a value, safe for concurrent use. The zero AckKey has a secret that is no secret.
type AckKey struct{ k0, k1 uint64 }

// NewAckKey is the key of a secret.
func NewAckKey(secret [16]byte) AckKey {
	return AckKey{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
}

// Append appends the text of id: AckIDTextBytes bytes of URL-safe base64.
func (k AckKey) Append(dst []byte, id AckID) []byte {
	var raw [ackIDBytes]byte
	raw[0] = ackIDVersion
	binary.BigEndian.PutUint16(raw[1:], id.Shard)
	binary.BigEndian.PutUint32(raw[3:], id.Epoch)
	binary.BigEndian.PutUint64(raw[7:], id.Subscription)
	binary.BigEndian.PutUint64(raw[15:], id.Offset)
	binary.BigEndian.PutUint32(raw[23:], id.Slot)
	binary.BigEndian.PutUint32(raw[27:], id.Turn)
	binary.BigEndian.PutUint64(raw[ackIDBodyBytes:], k.mac((*[ackIDBodyBytes]byte)(raw[:])))
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// Decode reads the text of an ack id. It is false when Append with this key did not write it.
func (k AckKey) Decode(text []byte) (AckID, bool) {
	var raw [ackIDBytes]byte
	if len(text) != AckIDTextBytes {
		return AckID{}, false
	}
	if n, err := base64.RawURLEncoding.Decode(raw[:], text); err != nil || n != ackIDBytes || raw[0] != ackIDVersion {
		return AckID{}, false
	}
	if binary.BigEndian.Uint64(raw[ackIDBodyBytes:]) != k.mac((*[ackIDBodyBytes]byte)(raw[:])) {
		return AckID{}, false
	}
	return AckID{
		Shard:        binary.BigEndian.Uint16(raw[1:]),
		Epoch:        binary.BigEndian.Uint32(raw[3:]),
		Subscription: binary.BigEndian.Uint64(raw[7:]),
		Offset:       binary.BigEndian.Uint64(raw[15:]),
		Slot:         binary.BigEndian.Uint32(raw[23:]),
		Turn:         binary.BigEndian.Uint32(raw[27:]),
	}, true
}

func (k AckKey) mac(body *[ackIDBodyBytes]byte) uint64 {
	h := newSip(k.k0, k.k1)
	h.word(binary.LittleEndian.Uint64(body[0:]))
	h.word(binary.LittleEndian.Uint64(body[8:]))
	h.word(binary.LittleEndian.Uint64(body[16:]))
	// The last seven bytes, with the length where SipHash wants it: the top byte of the last word.
	h.word(binary.LittleEndian.Uint64(body[23:])>>8 | ackIDBodyBytes<<56)
	return h.sum()
}
