package wire

import "google.golang.org/protobuf/encoding/protowire"

// Replace makes a new body of what f appends for each message in turn: with [AppendMessage], a message in canonical form (rule 2 of the
// package), or nothing, which drops the message. When f fails, that is Replace's error, and the body is as it was.
func (p *Publish) Replace(f func(dst, msg []byte) ([]byte, error)) error {
	out, count := p.spare[:0], 0
	for body := p.Body; len(body) > 0; {
		var msg []byte
		msg, body = Next(body)
		before := len(out)
		grown, err := f(out, msg)
		if err != nil {
			return err
		}
		if out = grown; len(out) > before {
			count++
		}
	}
	// The body may be in the scratch memory, which is free from now on.
	p.Body, p.Count, p.scratch, p.spare = out, count, out, p.scratch
	return nil
}

// AppendMessage appends a message of a body to dst: the bytes of msg, then those of more, which are fields of a message, too.
func AppendMessage(dst, msg, more []byte) []byte {
	dst = protowire.AppendVarint(append(dst, tagBytes2), uint64(len(msg)+len(more)))
	return append(append(dst, msg...), more...)
}

// AppendAttribute appends an attribute, as a field of a message, to dst.
func AppendAttribute(dst []byte, key, value string) []byte {
	dst = protowire.AppendVarint(append(dst, tagBytes2), uint64(2+protowire.SizeBytes(len(key))+protowire.SizeBytes(len(value))))
	dst = protowire.AppendString(append(dst, tagBytes1), key)
	return protowire.AppendString(append(dst, tagBytes2), value)
}
