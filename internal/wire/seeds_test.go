package wire_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// bytesField is a length-delimited field in its shortest form.
func bytesField(number protowire.Number, value ...byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func textField(number protowire.Number, value string) []byte {
	return bytesField(number, []byte(value)...)
}

func varintField(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

// paddedVarint is a varint of exactly n bytes, more than it needs.
func paddedVarint(value uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(value) | 0x80
		value >>= 7
	}
	b[n-1] &= 0x7f
	return b
}

// paddedField is a length-delimited field whose tag and length take the given numbers of bytes.
func paddedField(number protowire.Number, tagBytes, lengthBytes int, value ...byte) []byte {
	return join(paddedVarint(protowire.EncodeTag(number, protowire.BytesType), tagBytes), paddedVarint(uint64(len(value)), lengthBytes), value)
}

func groupField(number protowire.Number, content ...byte) []byte {
	b := protowire.AppendTag(nil, number, protowire.StartGroupType)
	return protowire.AppendTag(append(b, content...), number, protowire.EndGroupType)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oddFields are fields that a client's library never writes and that a decoder has an opinion on, whatever the message type. Their
// numbers lie in the range of the known fields of every message that is tested.
func oddFields() [][]byte {
	odd := [][]byte{
		{}, {0}, {0x80}, {0x07}, {0x06}, {0x0e, 1}, {0x0f, 1}, // number 0, truncated tags, reserved wire types
		{0xfa, 0xff, 0xff, 0xff, 0x0f, 0},                                 // the largest number
		{0x82, 0x80, 0x80, 0x80, 0x10, 0},                                 // one above it
		{0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0},   // far above it
		{0x8a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0},   // a tag of eleven bytes
		{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},   // a varint of more than 64 bits
		{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},   // a length of 2^64-1
		{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'x'}, // a length of 2^63-1
		{0x0a, 0xff, 0xff, 0xff, 0x7f, 'x'},                               // a length of 2^28-1
		{0x0a, 2, 'x'}, {0x0a}, {0x12, 0x80}, {0x2a, 0x80, 0x80},
		groupField(9, 0x08, 1), groupField(9, groupField(9)...), groupField(3), groupField(1, textField(2, "x")...),
		groupField(9, 0xfa, 0xff, 0xff, 0xff, 0x7f, 0), // a number that is out of range outside a group only
		{0x4c}, {0x4b}, {0x4b, 0x54}, {0x4b, 0x0a, 5, 0x4c}, {0x0c}, {0x0b, 0x0c},
		bytes.Repeat([]byte{0x4b}, 20_000), join(bytes.Repeat([]byte{0x4b}, 9_000), bytes.Repeat([]byte{0x4c}, 9_000)),
		textField(15, "unknown"), textField(1000, "unknown"), varintField(15, 1<<63),
		{0x7d, 1, 2, 3, 4}, {0x7d, 1, 2, 3}, {0x79, 1, 2, 3, 4, 5, 6, 7, 8}, {0x79, 1, 2, 3, 4, 5, 6, 7}, // fixed 32 and 64
	}
	for number := range protowire.Number(11) {
		if number == 0 {
			continue
		}
		odd = append(odd,
			varintField(number, 0), varintField(number, 1), varintField(number, 1<<32+7), varintField(number, 1<<40), varintField(number, 1<<64-1),
			join(paddedVarint(protowire.EncodeTag(number, protowire.VarintType), 2), paddedVarint(300, 10)),
			textField(number, ""), textField(number, "text"), textField(number, "a\xffb"), textField(number, "\xed\xa0\x80"), textField(number, "é"),
			paddedField(number, 1, 2, 'x'), paddedField(number, 2, 1, 'x'), paddedField(number, 3, 10, 'x'), paddedField(number, 1, 5, 'x'),
			bytesField(number, 1, 2, 3, 0x80, 1), bytesField(number, 1, 0x80), bytesField(number, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
			protowire.AppendTag(nil, number, protowire.Fixed32Type),
			append(protowire.AppendTag(nil, number, protowire.Fixed32Type), 1, 2, 3, 4),
		)
	}
	return odd
}

// oddMessages are PubsubMessages in forms that the official decoder takes or refuses and that no client's library writes.
func oddMessages() [][]byte {
	data, key := textField(1, "data"), textField(5, "key")
	entry := textField(2, string(join(textField(1, "k"), textField(2, "v"))))
	odd := [][]byte{
		{}, data, entry, key, join(data, entry, key), join(key, entry, data), join(data, data), join(key, key), join(data, textField(1, "")),
		join(data, textField(5, "")), join(data, textField(5, "a"), textField(5, "b")), join(data, textField(3, "forged")), join(data, textField(3, "\xff")),
		join(data, bytesField(4, 0x10, 0x99, 7)), join(data, bytesField(4, 0x08, 5), bytesField(4, 0x10, 6)), join(data, bytesField(4, 0x0a, 5)),
		join(data, bytesField(4, 0x80)), join(data, bytesField(4)), join(data, bytesField(4, groupField(1)...)), join(data, varintField(4, 5), varintField(3, 5)),
		join(data, entry, entry), join(entry, textField(2, string(join(textField(1, "k"), textField(2, "w"))))),
	}
	entries := [][]byte{
		{}, textField(1, "k"), textField(2, "v"), join(textField(2, "v"), textField(1, "k")), join(textField(1, "k"), textField(1, "l"), textField(2, "v")),
		join(textField(1, "k"), textField(2, "v"), textField(2, "w")), join(textField(1, "k"), textField(2, "v"), textField(3, "x")),
		join(textField(1, "k"), varintField(2, 9), textField(2, "v")), join(textField(1, "k"), paddedField(2, 1, 3, 'v')),
		join(paddedField(1, 2, 1, 'k'), textField(2, "v")), join(textField(1, "goog"), textField(2, "")), join(textField(1, "k"), textField(2, "\xff")),
		join(textField(1, "\xff"), textField(2, "v")), join(textField(1, "k"), textField(2, strings.Repeat("v", 1025)), textField(2, "v")),
	}
	for _, e := range slices.Concat(entries, oddFields()) {
		odd = append(odd, bytesField(2, e...), join(data, bytesField(2, e...)), join(data, bytesField(2, join(textField(1, "k"), e)...)))
	}
	for _, f := range oddFields() {
		odd = append(odd, f, join(data, f), join(f, data, entry, key))
	}
	return odd
}

// oddPublishRequests puts odd messages where messages stand, and odd fields around good ones.
func oddPublishRequests() [][]byte {
	topic := textField(1, "projects/p/topics/t")
	good := textField(2, string(textField(1, "good")))
	odd := [][]byte{
		topic, good, join(good, topic), join(good, topic, good), join(topic, good, good, good), join(topic, topic, good), join(topic, good, textField(1, "later")),
		join(topic, good, textField(9, "unknown"), good), join(topic, paddedField(2, 2, 1, textField(1, "x")...), good), join(topic, good, paddedField(2, 1, 2, textField(1, "x")...)),
		join(topic, good, varintField(2, 7), good), join(topic, bytes.Repeat(good, 1000)), join(topic, bytes.Repeat(good, 1001)),
		join(topic, good, textField(2, string(join(textField(1, "x"), textField(5, "key"))))),
		join(topic, textField(2, string(bytes.Repeat(join(textField(2, string(join(textField(1, "k"), textField(2, "v"))))), 101)))),
	}
	for _, m := range oddMessages() {
		odd = append(odd, join(topic, bytesField(2, m...)), join(topic, good, bytesField(2, m...), good))
	}
	for _, f := range oddFields() {
		odd = append(odd, f, join(topic, f), join(topic, good, f), join(f, topic, good), join(topic, good, f, good))
	}
	return odd
}

// addSeeds gives a fuzz target a small, even choice of the seeds: it tries each before it begins, and the ordinary tests try them all.
func addSeeds(f *testing.F, seeds [][]byte) {
	short := slices.DeleteFunc(slices.Clone(seeds), func(b []byte) bool { return len(b) > 300 })
	for i := 0; i < len(short); i += 1 + len(short)/150 {
		f.Add(short[i])
	}
}

// mutated calls f with changed forms of the seeds, the same ones in every run. They are meant for checks that compare two decoders.
func mutated(seeds [][]byte, rounds int, f func(b []byte)) {
	r := rand.New(rand.NewPCG(1, 2))
	special := []byte{0, 1, 2, 0x08, 0x0a, 0x0b, 0x0c, 0x12, 0x18, 0x1a, 0x22, 0x2a, 0x7f, 0x80, 0xff}
	for range rounds {
		b := bytes.Clone(seeds[r.IntN(len(seeds))])
		if len(b) > 4096 {
			continue
		}
		for range 1 + r.IntN(4) {
			if len(b) == 0 {
				break
			}
			at := r.IntN(len(b))
			switch r.IntN(6) {
			case 0:
				b[at] ^= 1 << r.IntN(8)
			case 1:
				b[at] = special[r.IntN(len(special))]
			case 2:
				b = b[:at]
			case 3:
				b = slices.Insert(b, at, special[r.IntN(len(special))])
			case 4:
				b = slices.Delete(b, at, min(len(b), at+1+r.IntN(3)))
			case 5:
				other := seeds[r.IntN(len(seeds))]
				if len(other) <= 4096 {
					b = append(b[:at], other...)
				}
			}
		}
		f(b)
	}
}
