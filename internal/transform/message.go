package transform

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// message is a message between two steps.
type message struct {
	data       []byte
	attributes map[string]string
	key        []byte
}

// parse reads a stored message. The result's bytes alias it.
func parse(stored []byte) message {
	m := message{data: wire.Data(stored), key: wire.OrderingKey(stored)}
	for key, value := range wire.Attributes(stored) {
		if m.attributes == nil {
			m.attributes = make(map[string]string)
		}
		m.attributes[string(key)] = string(value)
	}
	return m
}

// Fields of a PubsubMessage and of its attributes.
const (
	dataField       protowire.Number = 1
	attributesField protowire.Number = 2
	keyField        protowire.Number = 5
)

// encode writes the message as it is stored.
func (m *message) encode() []byte {
	size := len(m.data) + len(m.key) + 16
	for key, value := range m.attributes {
		size += len(key) + len(value) + 16
	}
	out := make([]byte, 0, size)
	if len(m.data) > 0 {
		out = protowire.AppendTag(out, dataField, protowire.BytesType)
		out = protowire.AppendBytes(out, m.data)
	}
	for _, key := range slices.Sorted(maps.Keys(m.attributes)) {
		value := m.attributes[key]
		out = protowire.AppendTag(out, attributesField, protowire.BytesType)
		out = protowire.AppendVarint(out, uint64(2+protowire.SizeBytes(len(key))+protowire.SizeBytes(len(value))))
		out = protowire.AppendString(protowire.AppendTag(out, dataField, protowire.BytesType), key)
		out = protowire.AppendString(protowire.AppendTag(out, attributesField, protowire.BytesType), value)
	}
	if len(m.key) > 0 {
		out = protowire.AppendTag(out, keyField, protowire.BytesType)
		out = protowire.AppendBytes(out, m.key)
	}
	return out
}

// reservedPrefix begins the attribute keys that the product keeps for itself.
const reservedPrefix = "goog"

// fault says which limit of messages the message breaks; empty: none. An attribute with a reserved key may stay what it was.
func (m *message) fault(was map[string]string) string {
	switch {
	case len(m.data) == 0 && len(m.attributes) == 0:
		return "the message has neither data nor attributes"
	case len(m.data) > limit.PublishRequestBytesMax:
		return fmt.Sprintf("the data has %d bytes, but the maximum is %d", len(m.data), limit.PublishRequestBytesMax)
	case len(m.attributes) > limit.AttributesMax:
		return fmt.Sprintf("the message has %d attributes, but the maximum is %d", len(m.attributes), limit.AttributesMax)
	}
	for key, value := range m.attributes {
		old, had := was[key]
		switch {
		case key == "" || len(key) > limit.AttributeKeyBytesMax:
			return fmt.Sprintf("the key of an attribute has %d bytes, but must have 1 to %d", len(key), limit.AttributeKeyBytesMax)
		case len(value) > limit.AttributeValueBytesMax:
			return fmt.Sprintf("the value of attribute %q has %d bytes, but the maximum is %d", key, len(value), limit.AttributeValueBytesMax)
		case strings.HasPrefix(key, reservedPrefix) && (!had || old != value):
			return fmt.Sprintf("attribute %q: keys must not start with %q", key, reservedPrefix)
		}
	}
	return ""
}
