package wire

import "google.golang.org/protobuf/encoding/protowire"

// Attribute is an attribute that the server gives to a message.
type Attribute struct{ Key, Value string }

// size is that of the map entry, without its tag and length.
func (a *Attribute) size() int {
	return 2 + protowire.SizeBytes(len(a.Key)) + protowire.SizeBytes(len(a.Value))
}

// AppendWithAttributes appends a stored message to a block body, with attributes put: one that the message has under the same key is
// replaced, all others stay. The limits on attributes are for publishers and do not count here.
func AppendWithAttributes(body, msg []byte, put []Attribute) []byte {
	size := 0
	for i := range put {
		size += 1 + protowire.SizeBytes(put[i].size())
	}
	keep := func(take func(field []byte)) {
		for i := 0; i < len(msg); {
			start, end := storedSpan(msg, i+1)
			if msg[i] != tagBytes2 || !replaces(put, msg[start:end]) {
				take(msg[i:end])
			}
			i = end
		}
	}
	keep(func(field []byte) { size += len(field) })
	body = protowire.AppendVarint(append(body, tagBytes2), uint64(size))
	keep(func(field []byte) { body = append(body, field...) })
	for i := range put {
		a := &put[i]
		body = protowire.AppendVarint(append(body, tagBytes2), uint64(a.size()))
		body = protowire.AppendString(append(body, tagBytes1), a.Key)
		body = protowire.AppendString(append(body, tagBytes2), a.Value)
	}
	return body
}

// replaces says whether one of the attributes has the key of a stored map entry.
func replaces(put []Attribute, stored []byte) bool {
	key, _ := entry(stored)
	for i := range put {
		if put[i].Key == string(key) {
			return true
		}
	}
	return false
}
