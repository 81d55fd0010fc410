package wire

import (
	"bytes"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Fields of a PublishRequest and of a PubsubMessage.
const (
	publishTopic    protowire.Number = 1
	publishMessages protowire.Number = 2

	messageData        protowire.Number = 1
	messageAttributes  protowire.Number = 2
	messageID          protowire.Number = 3
	messagePublishTime protowire.Number = 4
	messageOrderingKey protowire.Number = 5

	attributeKey   protowire.Number = 1
	attributeValue protowire.Number = 2
)

// Tags of length-delimited fields in their shortest form: number<<3 | 2.
const (
	tagBytes1 = 0x0a
	tagBytes2 = 0x12
	tagBytes3 = 0x1a
	tagBytes4 = 0x22
	tagBytes5 = 0x2a
)

// reservedPrefix begins the attribute keys that the product keeps for itself.
const reservedPrefix = "goog"

// scratchBytesMax bounds the memory that a Publish keeps between scans.
const scratchBytesMax = 1 << 20

// Publish is what a scan finds in a PublishRequest. The zero value is ready; Scan may be called again and again, by one goroutine at a
// time. Topic, Body and OrderingKey point into the request or into memory of the Publish: they are valid until the request's bytes
// change or Scan is called again.
type Publish struct {
	Topic []byte // as sent; whether it is a name is not checked
	// Body is the messages as an engine stores them: for each, tag 0x12, length, PubsubMessage, all canonical (rule 2 of the package).
	Body        []byte
	Count       int    // of messages in Body
	OrderingKey []byte // of all the messages
	// IDs has an entry for each message that was sent when some of them are not in Body: the id of such a one, 0 for the others. No scan
	// sets it.
	IDs []uint64

	fault   fault
	first   int // Body is req[first:end] as long as rebuilt is false
	end     int
	rebuilt bool
	scratch []byte // Body, once rebuilt is true
	message []byte // the message that is being rebuilt
	spare   []byte // for Replace
}

// Scan reads a PublishRequest in one pass. It fails with ErrMalformed exactly when the official decoder does, and with another
// *InvalidError when the request breaks a limit; then Topic is set all the same, so that the caller can check the name, which comes
// first, and nothing else is. Limits on attributes hold for each one sent, also for one that a later one of the same key replaces.
func (p *Publish) Scan(req []byte) error {
	p.Reset()
	if len(req) > limit.RequestBytesMax {
		return RequestTooLarge(limit.RequestBytesMax)
	}
	if !p.scan(req) {
		p.Reset()
		return ErrMalformed
	}
	switch {
	case p.Count == 0:
		p.fault.note(RuleMessagesMin, 0, nil)
	case p.Count > limit.PublishMessagesMax:
		p.fault.note(RuleMessagesMax, p.Count, nil)
	}
	if len(req) > limit.PublishRequestBytesMax {
		p.fault.note(RulePublishBytes, len(req), nil)
	}
	if err := p.fault.err(); err != nil {
		p.Count, p.OrderingKey = 0, nil
		return err
	}
	p.Body = req[p.first:p.end:p.end]
	if p.rebuilt {
		p.Body = p.scratch
	}
	return nil
}

// Reset lets go of the last request and of more memory than is worth keeping.
func (p *Publish) Reset() {
	scratch, message, spare := p.scratch[:0], p.message[:0], p.spare[:0]
	if cap(scratch) > scratchBytesMax {
		scratch = nil
	}
	if cap(message) > scratchBytesMax {
		message = nil
	}
	if cap(spare) > scratchBytesMax {
		spare = nil
	}
	*p = Publish{scratch: scratch, message: message, spare: spare}
}

// scan walks over the request's fields. It is false when they are malformed.
func (p *Publish) scan(req []byte) bool {
	for i := 0; i < len(req); {
		if req[i] == tagBytes2 {
			if start, end := span(req, i+1); end >= 0 {
				if !p.take(req, i, start, end, true) {
					return false
				}
				i = end
				continue
			}
		}
		f, rest, ok := next(req[i:])
		if !ok {
			return false
		}
		end := len(req) - len(rest)
		switch {
		case f.is(publishTopic, protowire.BytesType):
			if p.Topic, ok = f.text(); !ok {
				return false
			}
		case f.is(publishMessages, protowire.BytesType):
			if !p.take(req, i, end-len(f.bytes), end, false) {
				return false
			}
		}
		i = end
	}
	return true
}

// take adds the message req[start:end], whose field begins at the byte at, to the body. It is false when the message is malformed.
// As long as all fields are canonical and follow one another, the body is a part of the request.
func (p *Publish) take(req []byte, at, start, end int, canonical bool) bool {
	message := req[start:end]
	found, ok := p.scanCanonical(message)
	if !ok {
		canonical = false
		if found, ok = p.rewrite(message); !ok {
			return false
		}
		message = p.message
	}
	p.judge(&found)
	p.Count++
	if !p.rebuilt {
		if p.Count == 1 {
			p.first, p.end = at, at
		}
		if canonical && at == p.end {
			p.end = end
			return true
		}
		p.scratch = append(p.scratch, req[p.first:p.end]...)
		p.rebuilt = true
	}
	p.scratch = append(p.scratch, tagBytes2)
	p.scratch = protowire.AppendBytes(p.scratch, message)
	return true
}

// found is what the limits ask of one message.
type found struct {
	dataBytes   int
	attributes  int
	orderingKey []byte
}

// scanCanonical reads a message that is canonical. It is false for any other, malformed or not.
func (p *Publish) scanCanonical(m []byte) (f found, ok bool) {
	var data, key bool
	for i := 0; i < len(m); {
		start, end := span(m, i+1)
		if end < 0 {
			return f, false
		}
		switch m[i] {
		case tagBytes1:
			if data {
				return f, false
			}
			data = true
			f.dataBytes = end - start
		case tagBytes2:
			if !p.scanCanonicalAttribute(m[start:end]) {
				return f, false
			}
			f.attributes++
		case tagBytes5:
			f.orderingKey = m[start:end]
			if key || !utf8.Valid(f.orderingKey) {
				return f, false
			}
			key = true
		default:
			return f, false
		}
		i = end
	}
	return f, true
}

// scanCanonicalAttribute reads a map entry that is a key, then a value. It is false for any other, malformed or not.
func (p *Publish) scanCanonicalAttribute(entry []byte) bool {
	if len(entry) == 0 || entry[0] != tagBytes1 {
		return false
	}
	keyStart, keyEnd := span(entry, 1)
	if keyEnd < 0 || keyEnd == len(entry) || entry[keyEnd] != tagBytes2 {
		return false
	}
	valueStart, valueEnd := span(entry, keyEnd+1)
	if valueEnd != len(entry) {
		return false
	}
	key, value := entry[keyStart:keyEnd], entry[valueStart:]
	if !utf8.Valid(key) || !utf8.Valid(value) {
		return false
	}
	p.judgeAttribute(key, value)
	return true
}

// judge notes which limits a message breaks.
func (p *Publish) judge(f *found) {
	if f.dataBytes == 0 && f.attributes == 0 {
		p.fault.note(RuleEmpty, 0, nil)
	}
	if f.attributes > limit.AttributesMax {
		p.fault.note(RuleAttributes, f.attributes, nil)
	}
	if len(f.orderingKey) > limit.OrderingKeyBytesMax {
		p.fault.note(RuleOrderingKeyBytes, len(f.orderingKey), nil)
	}
	if p.Count == 0 {
		p.OrderingKey = f.orderingKey
	} else if !bytes.Equal(p.OrderingKey, f.orderingKey) {
		p.fault.note(RuleOrderingKeyMixed, 0, nil)
	}
}

// judgeAttribute notes which limits an attribute breaks.
func (p *Publish) judgeAttribute(key, value []byte) {
	switch {
	case len(key) == 0:
		p.fault.note(RuleAttributeKeyEmpty, 0, nil)
	case len(key) > limit.AttributeKeyBytesMax:
		p.fault.note(RuleAttributeKeyBytes, len(key), nil)
	case len(key) >= len(reservedPrefix) && string(key[:len(reservedPrefix)]) == reservedPrefix:
		p.fault.note(RuleAttributeKeyName, 0, key)
	}
	if len(value) > limit.AttributeValueBytesMax {
		p.fault.note(RuleAttributeValue, len(value), key)
	}
}
