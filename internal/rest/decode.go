package rest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// decoder turns JSON into the encoding of a protocol buffer, without a message in between: a published message's text is read once and
// written once. It accepts what the official reader (protojson) accepts, and in addition snake_case in field masks.
//
// Fields come out in the order of the text. What a path or a query says is appended behind them, where the rules of the encoding do the
// merging: the last value of a field counts, lists grow, and parts of a message become one.
type decoder struct {
	scanner
	out     []byte
	depth   int
	path    []step
	unknown []violation
}

// step leads from a message to one of its values.
type step struct {
	field *field
	index int // in a list or map; -1 elsewhere
}

// unknownMax is how many unknown names one answer tells of.
const unknownMax = 20

// decode appends the encoding of the message that a JSON text describes. An empty text is an empty message.
func decode(out, text []byte, p *plan) ([]byte, error) {
	d := decoder{scanner: scanner{data: text}, out: out}
	if d.peek() == 0 && d.pos == len(text) {
		return out, nil
	}
	if err := d.message(p); err != nil {
		return nil, err
	}
	if d.peek(); d.pos < len(text) {
		return nil, d.malformed("Expected end of the text.")
	}
	if len(d.unknown) > 0 {
		return nil, &badRequest{d.unknown}
	}
	return d.out, nil
}

// message reads a message's fields, without its length.
func (d *decoder) message(p *plan) error {
	if d.depth++; d.depth > depthMax {
		return d.malformed("Message too deep.")
	}
	defer func() { d.depth-- }()
	if p.special {
		return d.special(p)
	}
	if !d.take('{') {
		return d.mismatch(p)
	}
	if d.take('}') {
		return nil
	}
	var seen seenFields
	for {
		name, ok := d.text()
		if !ok {
			return d.malformed("Expected an object key or }.")
		}
		f := p.fields[string(name)]
		if f == nil {
			if err := d.skipUnknown(string(name)); err != nil {
				return err
			}
		} else if err := d.member(f, &seen); err != nil {
			return err
		}
		if d.take('}') {
			return nil
		}
		if !d.take(',') {
			return d.malformed("Expected , or } after key:value pair.")
		}
	}
}

// skipUnknown notes a name that is no field's and goes on, so that one answer tells all of them.
func (d *decoder) skipUnknown(name string) error {
	if len(d.unknown) < unknownMax {
		where := d.place()
		at := ""
		if where != "" {
			at = " at '" + where + "'"
		}
		shown := strings.ToValidUTF8(name[:min(len(name), valueBytesShown)], "")
		d.unknown = append(d.unknown, violation{where, fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", shown, at)})
	}
	if !d.take(':') {
		return d.malformed("Expected : between key:value pair.")
	}
	if !d.skip(d.depth) {
		return d.malformed("Expected a value.")
	}
	return nil
}

// seenFields says which fields and oneofs of a message have had their value.
type seenFields struct {
	fields, oneofs uint64
	more           map[int]bool // fields beyond the 64th
}

// add is false when the field had its value before.
func (s *seenFields) add(index int) bool {
	if index >= 64 {
		if s.more == nil {
			s.more = make(map[int]bool)
		}
		had := s.more[index]
		s.more[index] = true
		return !had
	}
	had := s.fields&(1<<index) != 0
	s.fields |= 1 << index
	return !had
}

// member reads a field's colon and value.
func (d *decoder) member(f *field, seen *seenFields) error {
	if !d.take(':') {
		return d.malformed("Expected : between key:value pair.")
	}
	d.path = append(d.path, step{f, -1})
	if !seen.add(f.index) {
		return d.invalid("the field is given twice")
	}
	var err error
	switch {
	case d.peek() == 'n' && !f.keepsNull():
		if !d.word("null") {
			return d.malformed("Expected a value.")
		}
	case f.list:
		err = d.list(f)
	case f.key != nil:
		err = d.mapping(f)
	default:
		if f.oneof >= 0 {
			if seen.oneofs&(1<<f.oneof) != 0 {
				return d.invalid("oneof field '" + string(f.descriptor.ContainingOneof().Name()) + "' is already set")
			}
			seen.oneofs |= 1 << f.oneof
		}
		err = d.value(f, f.presence)
	}
	if err == nil {
		d.path = d.path[:len(d.path)-1]
	}
	return err
}

// keepsNull reports whether null is a value of the field, and not the lack of one.
func (f *field) keepsNull() bool {
	switch {
	case f.list || f.key != nil:
		return false
	case f.message != nil:
		return f.message.name == "google.protobuf.Value"
	default:
		return f.kind == protoreflect.EnumKind && f.descriptor.Enum().FullName() == "google.protobuf.NullValue"
	}
}

func (d *decoder) list(f *field) error {
	if !d.take('[') {
		return d.invalid("a list is expected")
	}
	if d.take(']') {
		return nil
	}
	at := &d.path[len(d.path)-1]
	for i := 0; ; i++ {
		at.index = i
		if err := d.value(f, true); err != nil {
			return err
		}
		at = &d.path[len(d.path)-1] // the steps may have moved
		if d.take(']') {
			return nil
		}
		if !d.take(',') {
			return d.malformed("Expected , or ] after array value.")
		}
	}
}

// mapping reads a map: in the encoding, a list of messages of a key and a value.
func (d *decoder) mapping(f *field) error {
	if !d.take('{') {
		return d.invalid("an object is expected")
	}
	if d.take('}') {
		return nil
	}
	at := len(d.path) - 1
	var keys mapKeys
	for i := 0; ; i++ {
		d.path[at].index = i
		key, ok := d.text()
		if !ok {
			return d.malformed("Expected an object key or }.")
		}
		entry := d.open(f.number)
		if !d.scalarText(f.key, key, true) {
			return d.invalid("the key is not valid")
		}
		keyBytes := len(d.out) - entry
		if !d.take(':') {
			return d.malformed("Expected : between key:value pair.")
		}
		d.path = append(d.path, step{f.value, -1})
		if err := d.value(f.value, true); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
		start := entry + d.close(entry)
		if !keys.add(d.out, span{start, start + keyBytes}) {
			return d.invalid("the key is given twice")
		}
		if d.take('}') {
			return nil
		}
		if !d.take(',') {
			return d.malformed("Expected , or } after key:value pair.")
		}
	}
}

// mapKeys finds keys that are given twice. Their encodings are compared, which are unique.
type mapKeys struct {
	few   [mapKeysFew]span
	count int
	many  map[string]bool
}

// span is a part of the output.
type span struct{ start, end int }

// mapKeysFew is up to how many keys comparing each with each is cheaper than a table.
const mapKeysFew = 16

// add is false when the key that stands there in the output was there before.
func (k *mapKeys) add(out []byte, at span) bool {
	key := out[at.start:at.end]
	if k.many == nil && k.count < mapKeysFew {
		for _, other := range k.few[:k.count] {
			if bytes.Equal(out[other.start:other.end], key) {
				return false
			}
		}
		k.few[k.count] = at
		k.count++
		return true
	}
	if k.many == nil {
		k.many = make(map[string]bool)
		for _, other := range k.few {
			k.many[string(out[other.start:other.end])] = true
		}
	}
	if k.many[string(key)] {
		return false
	}
	k.many[string(key)] = true
	return true
}

// value reads one value of a field that is no list: the field itself or an element. A zero value is left out unless keepZero is set.
func (d *decoder) value(f *field, keepZero bool) error {
	switch {
	case f.message != nil:
		start := d.open(f.number)
		if err := d.message(f.message); err != nil {
			return err
		}
		d.close(start)
		return nil
	case d.peek() == '"':
		text, ok := d.text()
		if !ok {
			return d.malformed("Expected a string.")
		}
		if f.kind == protoreflect.BoolKind || !d.scalarText(f, text, keepZero) {
			return d.invalidText(f, text)
		}
		return nil
	default:
		return d.bare(f, keepZero)
	}
}

// bare reads a value that stands without quotes.
func (d *decoder) bare(f *field, keepZero bool) error {
	start := d.pos
	switch d.peek() {
	case 't', 'f':
		value := d.word("true")
		if !value && !d.word("false") {
			return d.malformed("Expected a value.")
		}
		if f.kind == protoreflect.BoolKind {
			if value || keepZero {
				d.out = protowire.AppendTag(d.out, f.number, protowire.VarintType)
				d.out = protowire.AppendVarint(d.out, protowire.EncodeBool(value))
			}
			return nil
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		text, ok := d.number()
		if !ok {
			return d.malformed("Expected a value.")
		}
		if f.isNumeric() && d.numeric(f, text, keepZero) {
			return nil
		}
	case 'n':
		if f.keepsNull() && d.word("null") {
			d.out = protowire.AppendTag(d.out, f.number, protowire.VarintType)
			d.out = append(d.out, 0)
			return nil
		}
		if !d.word("null") {
			return d.malformed("Expected a value.")
		}
	case '{', '[':
		if !d.skip(d.depth) {
			return d.malformed("Expected a value.")
		}
	default:
		return d.malformed("Expected a value.")
	}
	return d.invalidText(f, d.data[start:d.pos])
}

// open begins a field that has a length, and close ends it: the length goes before what was written since, in its shortest form, which
// the reader of published messages relies on. Close returns by how much that moved.
func (d *decoder) open(number protowire.Number) (start int) {
	d.out = protowire.AppendTag(d.out, number, protowire.BytesType)
	return len(d.out)
}

func (d *decoder) close(start int) (moved int) {
	length := len(d.out) - start
	n := protowire.SizeVarint(uint64(length))
	d.out = append(d.out, make([]byte, n)...)
	copy(d.out[start+n:], d.out[start:start+length])
	protowire.AppendVarint(d.out[:start], uint64(length))
	return n
}

// base64 appends the bytes that a text stands for: in either alphabet, with or without padding.
func (d *decoder) base64(text []byte) bool {
	encoding := base64.StdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if len(text)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	d.out = slices.Grow(d.out, encoding.DecodedLen(len(text))+lengthBytesMore)
	out, err := encoding.AppendDecode(d.out, text)
	if err != nil {
		return false
	}
	d.out = out
	return true
}

// lengthBytesMore is room for a field's length, so that close does not have to move the whole output.
const lengthBytesMore = 5
