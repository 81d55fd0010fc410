package wire

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// rewrite puts the canonical form of a message into p.message, whatever valid form it came in: message_id and publish_time, which are
// the server's to write, and unknown fields are left out, of repeated singular fields the last one stays. It is false when the official
// decoder refuses the message.
func (p *Publish) rewrite(m []byte) (f found, ok bool) {
	var data []byte
	p.message = p.message[:0]
	for len(m) > 0 {
		var one field
		if one, m, ok = next(m); !ok {
			return f, false
		}
		if one.kind != protowire.BytesType {
			continue
		}
		switch one.number {
		case messageData:
			data = one.bytes
		case messageAttributes:
			ok = p.rewriteAttribute(one.bytes)
			f.attributes++
		case messageID:
			ok = utf8.Valid(one.bytes)
		case messagePublishTime:
			ok = validTimestamp(one.bytes)
		case messageOrderingKey:
			f.orderingKey, ok = one.text()
		}
		if !ok {
			return f, false
		}
	}
	f.dataBytes = len(data)
	if len(data) > 0 {
		p.message = append(p.message, tagBytes1)
		p.message = protowire.AppendBytes(p.message, data)
	}
	if len(f.orderingKey) > 0 {
		p.message = append(p.message, tagBytes5)
		p.message = protowire.AppendBytes(p.message, f.orderingKey)
	}
	return f, true
}

// rewriteAttribute appends the canonical form of a map entry to p.message. It is false when the official decoder refuses the entry.
func (p *Publish) rewriteAttribute(entry []byte) (ok bool) {
	var key, value []byte
	for len(entry) > 0 {
		var one field
		if one, entry, ok = next(entry); !ok {
			return false
		}
		switch {
		case one.is(attributeKey, protowire.BytesType):
			key, ok = one.text()
		case one.is(attributeValue, protowire.BytesType):
			value, ok = one.text()
		}
		if !ok {
			return false
		}
	}
	p.judgeAttribute(key, value)
	p.message = append(p.message, tagBytes2)
	p.message = protowire.AppendVarint(p.message, uint64(2+protowire.SizeBytes(len(key))+protowire.SizeBytes(len(value))))
	p.message = append(p.message, tagBytes1)
	p.message = protowire.AppendBytes(p.message, key)
	p.message = append(p.message, tagBytes2)
	p.message = protowire.AppendBytes(p.message, value)
	return true
}

// validTimestamp says whether the official decoder takes b for a Timestamp. Both its fields are varints, so every well-formed run of
// fields is one.
func validTimestamp(b []byte) (ok bool) {
	for len(b) > 0 {
		if _, b, ok = next(b); !ok {
			return false
		}
	}
	return true
}
