// Package wire handles google.pubsub.v1 messages as the bytes that they are: it scans requests without decoding them, splices stored
// messages into responses, and carries both through gRPC unread.
//
// Three rules hold throughout, and the tests and fuzz targets check each:
//
//  1. A scanner accepts exactly the bytes that the generated code accepts, and reads the same values out of them.
//  2. A stored message is canonical: only data, attributes and ordering_key, at most one data and one ordering_key, every tag and
//     length in its shortest form. So whatever the server appends to it is the only field of its number, and a client's decoder that
//     is stricter than Go's (about nesting, about padding) never meets bytes that it refuses.
//  3. Nothing is allocated per message.
//
// Functions that take a stored message or a block body trust rule 2 and panic when it is broken; scanners trust nothing.
package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a message as it stands on the wire.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64 // the value, when kind is VarintType
	bytes  []byte // the value, when kind is BytesType; part of the input
}

// next splits the first field off b, which is not empty. It fails on what makes the official decoder fail on any message type.
func next(b []byte) (f field, rest []byte, ok bool) {
	if tag := b[0]; tag < 0x80 && tag&7 == byte(protowire.BytesType) && tag>>3 != 0 {
		if start, end := span(b, 1); end >= 0 {
			return field{number: protowire.Number(tag >> 3), kind: protowire.BytesType, bytes: b[start:end]}, b[end:], true
		}
	}
	tag, n := protowire.ConsumeVarint(b)
	if n < 0 || tag>>3 < uint64(protowire.MinValidNumber) || tag>>3 > uint64(protowire.MaxValidNumber) {
		return field{}, nil, false
	}
	f.number, f.kind = protowire.Number(tag>>3), protowire.Type(tag&7)
	b = b[n:]
	switch f.kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(f.number, f.kind, b)
	}
	if n < 0 {
		return field{}, nil, false
	}
	return f, b[n:], true
}

// is says whether f has the number and the wire type of a known field. A known number with another wire type is an unknown field.
func (f *field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// text is a string field's value; it is false when the bytes are not UTF-8, which proto3 refuses.
func (f *field) text() ([]byte, bool) { return f.bytes, utf8.Valid(f.bytes) }

// span reads a length at b[i] and says where the value that it announces starts and ends. The end is negative when the length is not
// in its shortest form, has more than four bytes, or reaches beyond b: the caller then takes the slow way, which tells these apart.
func span(b []byte, i int) (start, end int) {
	if i >= len(b) {
		return 0, -1
	}
	size, start := int(b[i]), i+1
	if size >= 0x80 {
		size, start = longSpan(b, i)
	}
	if size > len(b)-start {
		return 0, -1
	}
	return start, start + size
}

// longSpan reads a length of two to four bytes in its shortest form. It answers a size that fits nowhere when there is none.
func longSpan(b []byte, i int) (size, start int) {
	const nowhere = int(^uint(0) >> 1)
	size = int(b[i] & 0x7f)
	for n := 1; n < 4 && i+n < len(b); n++ {
		c := b[i+n]
		size |= int(c&0x7f) << (7 * n)
		if c == 0 {
			break
		}
		if c < 0x80 {
			return size, i + n + 1
		}
	}
	return nowhere, i
}
