package wire

import "encoding/binary"

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
	binary.BigEndian.PutUint64(raw[ackIDBodyBytes:], k.mac(&raw))
	return appendBase64(dst, &raw)
}

// Decode reads the text of an ack id. It is false when Append with this key did not write it.
func (k AckKey) Decode(text []byte) (AckID, bool) {
	var raw [ackIDBytes]byte
	if len(text) != AckIDTextBytes || !decodeBase64(&raw, (*[AckIDTextBytes]byte)(text)) {
		return AckID{}, false
	}
	if raw[0] != ackIDVersion || binary.BigEndian.Uint64(raw[ackIDBodyBytes:]) != k.mac(&raw) {
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

// mac is the tag over all of raw that comes before the tag's place.
func (k AckKey) mac(raw *[ackIDBytes]byte) uint64 {
	return sipHash(k.k0, k.k1, []uint64{
		binary.LittleEndian.Uint64(raw[0:]),
		binary.LittleEndian.Uint64(raw[8:]),
		binary.LittleEndian.Uint64(raw[16:]),
		binary.LittleEndian.Uint64(raw[23:])>>8 | ackIDBodyBytes<<56, // the last seven bytes and, on top, the length
	})
}

// base64Digits is the URL-safe alphabet of RFC 4648, and base64Values its inverse, with base64None for all other characters. Ack ids have
// their own coder because they have one length: without the general one's loops and checks it takes a third of the time.
const (
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	base64None   = 0x80
)

var base64Values = func() (values [256]byte) {
	for i := range values {
		values[i] = base64None
	}
	for value, digit := range []byte(base64Digits) {
		values[digit] = byte(value)
	}
	return values
}()

func appendBase64(dst []byte, raw *[ackIDBytes]byte) []byte {
	var text [AckIDTextBytes]byte
	for from, to := 0, 0; from <= ackIDBytes-3 && to <= AckIDTextBytes-4; from, to = from+3, to+4 {
		bits := uint(raw[from])<<16 | uint(raw[from+1])<<8 | uint(raw[from+2])
		text[to] = base64Digits[bits>>18&63]
		text[to+1] = base64Digits[bits>>12&63]
		text[to+2] = base64Digits[bits>>6&63]
		text[to+3] = base64Digits[bits&63]
	}
	return append(dst, text[:]...)
}

// decodeBase64 is false when a character is not of the alphabet.
func decodeBase64(raw *[ackIDBytes]byte, text *[AckIDTextBytes]byte) bool {
	var seen byte
	for from, to := 0, 0; from <= AckIDTextBytes-4 && to <= ackIDBytes-3; from, to = from+4, to+3 {
		a, b, c, d := base64Values[text[from]], base64Values[text[from+1]], base64Values[text[from+2]], base64Values[text[from+3]]
		seen |= a | b | c | d
		raw[to] = a<<2 | b>>4
		raw[to+1] = b<<4 | c>>2
		raw[to+2] = c<<6 | d
	}
	return seen&base64None == 0
}
