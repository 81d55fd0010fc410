package wire

import (
	"fmt"
	"iter"
)

// Next splits the first message off a block body. At the end of the body both results are nil.
func Next(body []byte) (msg, rest []byte) {
	if len(body) == 0 {
		return nil, nil
	}
	start, end := span(body, 1)
	if body[0] != tagBytes2 || end < 0 {
		panic("bug: a block body holds something else than messages")
	}
	return body[start:end:end], body[end:]
}

// Skip is the body without its first n messages. The body holds that many.
func Skip(body []byte, n int) (rest []byte) {
	for ; n > 0; n-- {
		_, end := span(body, 1)
		if end < 0 || body[0] != tagBytes2 {
			panic("bug: a block body has fewer messages than its count")
		}
		body = body[end:]
	}
	return body
}

// CheckBody says what is wrong with a block body that should hold count messages; nil when nothing is. It looks at the boundaries of
// the messages only, for the checks right before a block is written and right after it is read.
func CheckBody(body []byte, count int) error {
	found := 0
	for at := 0; at < len(body); found++ {
		_, end := span(body, at+1)
		if body[at] != tagBytes2 || end < 0 {
			return fmt.Errorf("message %d of a block: no message at byte %d of %d", found, at, len(body))
		}
		at = end
	}
	if found != count {
		return fmt.Errorf("a block holds %d messages, want %d", found, count)
	}
	return nil
}

// Data is the data of a stored message; nil when it has none.
func Data(msg []byte) []byte { return only(msg, tagBytes1) }

// OrderingKey is the ordering key of a stored message; nil when it has none.
func OrderingKey(msg []byte) []byte { return only(msg, tagBytes5) }

// only is the value of a field that a stored message has at most once.
func only(msg []byte, tag byte) []byte {
	for i := 0; i < len(msg); {
		start, end := storedSpan(msg, i+1)
		if msg[i] == tag {
			return msg[start:end:end]
		}
		i = end
	}
	return nil
}

// Attributes goes through the attributes of a stored message, in the order in which they were sent. A key may come more than once: the
// last one counts.
func Attributes(msg []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for i := 0; i < len(msg); {
			start, end := storedSpan(msg, i+1)
			if msg[i] == tagBytes2 {
				key, value := entry(msg[start:end])
				if !yield(key, value) {
					return
				}
			}
			i = end
		}
	}
}

// LookupAttribute is the value of an attribute of a stored message, and whether the message has it.
func LookupAttribute(msg []byte, name string) (value []byte, ok bool) {
	for i := 0; i < len(msg); {
		start, end := storedSpan(msg, i+1)
		if msg[i] == tagBytes2 {
			if k, v := entry(msg[start:end]); string(k) == name {
				value, ok = v, true
			}
		}
		i = end
	}
	return value, ok
}

// entry splits a stored map entry, which is always a key and then a value.
func entry(b []byte) (key, value []byte) {
	start, end := storedSpan(b, 1)
	key = b[start:end:end]
	start, end = storedSpan(b, end+1)
	return key, b[start:end:end]
}

func storedSpan(b []byte, i int) (start, end int) {
	if start, end = span(b, i); end < 0 {
		panic("bug: a stored message is not canonical")
	}
	return start, end
}
