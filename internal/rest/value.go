package rest

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// scalarText appends a field whose value is given as a text: a JSON string, a map's key or a query parameter. It is false when the
// text is none of the field's values.
func (d *decoder) scalarText(f *field, text []byte, keepZero bool) bool {
	switch f.kind {
	case protoreflect.StringKind, protoreflect.BytesKind:
		if len(text) == 0 && !keepZero {
			return true
		}
		start := d.open(f.number)
		if f.kind == protoreflect.StringKind {
			d.out = append(d.out, text...)
		} else if !d.base64(text) {
			return false
		}
		d.close(start)
		return true
	case protoreflect.BoolKind:
		value := string(text) == "true"
		if !value && string(text) != "false" {
			return false
		}
		d.varint(f, protowire.EncodeBool(value), keepZero)
		return true
	case protoreflect.EnumKind:
		if v := f.descriptor.Enum().Values().ByName(protoreflect.Name(text)); v != nil {
			d.varint(f, uint64(v.Number()), keepZero)
			return true
		}
		return false
	default:
		return d.numeric(f, text, keepZero)
	}
}

func (f *field) isNumeric() bool {
	switch f.kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.BoolKind, protoreflect.MessageKind:
		return false
	default:
		return true
	}
}

// varint appends a field, unless it is zero and that says nothing.
func (d *decoder) varint(f *field, v uint64, keepZero bool) {
	if v != 0 || keepZero {
		d.out = protowire.AppendTag(d.out, f.number, protowire.VarintType)
		d.out = protowire.AppendVarint(d.out, v)
	}
}

// numeric appends a field whose value is given as a number's text. Zero is not left out where leaving it out saves no decision: the
// fixed sizes, which no request of ours has.
func (d *decoder) numeric(f *field, text []byte, keepZero bool) bool {
	switch f.kind {
	case protoreflect.Int32Kind, protoreflect.EnumKind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		v, ok := parseInt(text, 32)
		if ok {
			d.signed(f, v, keepZero)
		}
		return ok
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		v, ok := parseInt(text, 64)
		if ok {
			d.signed(f, v, keepZero)
		}
		return ok
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		v, ok := parseUint(text, 32)
		if ok {
			d.unsigned(f, v, keepZero)
		}
		return ok
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		v, ok := parseUint(text, 64)
		if ok {
			d.unsigned(f, v, keepZero)
		}
		return ok
	default:
		return d.float(f, text)
	}
}

func (d *decoder) signed(f *field, v int64, keepZero bool) {
	switch f.kind {
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		d.varint(f, protowire.EncodeZigZag(v), keepZero)
	case protoreflect.Sfixed32Kind:
		d.out = protowire.AppendFixed32(protowire.AppendTag(d.out, f.number, protowire.Fixed32Type), uint32(v))
	case protoreflect.Sfixed64Kind:
		d.out = protowire.AppendFixed64(protowire.AppendTag(d.out, f.number, protowire.Fixed64Type), uint64(v))
	default:
		d.varint(f, uint64(v), keepZero)
	}
}

func (d *decoder) unsigned(f *field, v uint64, keepZero bool) {
	switch f.kind {
	case protoreflect.Fixed32Kind:
		d.out = protowire.AppendFixed32(protowire.AppendTag(d.out, f.number, protowire.Fixed32Type), uint32(v))
	case protoreflect.Fixed64Kind:
		d.out = protowire.AppendFixed64(protowire.AppendTag(d.out, f.number, protowire.Fixed64Type), v)
	default:
		d.varint(f, v, keepZero)
	}
}

func (d *decoder) float(f *field, text []byte) bool {
	size := 64
	if f.kind == protoreflect.FloatKind {
		size = 32
	}
	word := string(text)
	switch word {
	case "NaN", "Infinity", "-Infinity":
	default:
		if numberLength(text) != len(text) {
			return false
		}
	}
	v, err := strconv.ParseFloat(word, size)
	if err != nil {
		return false
	}
	if size == 32 {
		d.out = protowire.AppendFixed32(protowire.AppendTag(d.out, f.number, protowire.Fixed32Type), math.Float32bits(float32(v)))
	} else {
		d.out = protowire.AppendFixed64(protowire.AppendTag(d.out, f.number, protowire.Fixed64Type), math.Float64bits(v))
	}
	return true
}

func parseInt(text []byte, size int) (int64, bool) {
	whole, ok := wholeNumber(text)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(whole, 10, size)
	return v, err == nil
}

func parseUint(text []byte, size int) (uint64, bool) {
	whole, ok := wholeNumber(text)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseUint(whole, 10, size)
	return v, err == nil
}

// exponentMax is above the exponent of any number that fits into 64 bits.
const exponentMax = 400

// wholeNumber writes a JSON number that has no fraction without point and exponent: 20.0 and 2e1 are 20.
func wholeNumber(text []byte) (string, bool) {
	if len(text) == 0 || numberLength(text) != len(text) {
		return "", false
	}
	if !bytes.ContainsAny(text, ".eE") {
		return string(text), true
	}
	sign, number := "", string(text)
	if rest, negative := strings.CutPrefix(number, "-"); negative {
		sign, number = "-", rest
	}
	exponent := 0
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		var err error
		exponent, err = strconv.Atoi(number[at+1:])
		number = number[:at]
		if err == nil && strings.Trim(number, "0.") == "" {
			return "0", true
		}
		if err != nil || exponent > exponentMax || exponent < -exponentMax {
			return "", false
		}
	}
	whole, fraction, _ := strings.Cut(number, ".")
	all, point := whole+fraction, len(whole)+exponent
	if point < 0 {
		all, point = strings.Repeat("0", -point)+all, 0
	}
	if point > len(all) {
		all += strings.Repeat("0", point-len(all))
	}
	if strings.Trim(all[point:], "0") != "" {
		return "", false
	}
	all = strings.TrimLeft(all[:point], "0")
	if all == "" {
		return "0", true
	}
	return sign + all, true
}

// special reads a well-known type whose JSON is not an object of its fields. They are rare and short: all but field masks are left to
// the official reader.
func (d *decoder) special(p *plan) error {
	d.peek()
	start := d.pos
	if p.name == "google.protobuf.FieldMask" {
		if d.peek() != '"' {
			return d.invalid("a string of comma-separated paths is expected")
		}
		text, ok := d.text()
		if !ok {
			return d.malformed("Expected a string.")
		}
		d.fieldMask(text)
		return nil
	}
	if !d.skip(d.depth) {
		return d.malformed("Expected a value.")
	}
	return d.wellKnown(p, d.data[start:d.pos])
}

// wellKnown appends what the official reader makes of a JSON text.
func (d *decoder) wellKnown(p *plan, text []byte) error {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(p.name)
	if err != nil {
		panic("bug: no type " + string(p.name))
	}
	message := kind.New().Interface()
	if err := protojson.Unmarshal(text, message); err != nil {
		return d.invalidValue("type.googleapis.com/"+string(p.name), text)
	}
	if d.out, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(d.out, message); err != nil {
		return d.invalidValue("type.googleapis.com/"+string(p.name), text)
	}
	return nil
}

// fieldMask appends the paths of a mask. Clients write them in camelCase, as the JSON form of masks demands, or in snake_case, as the
// definitions do; the latter has no capitals, so that both can be told apart letter by letter.
func (d *decoder) fieldMask(text []byte) {
	for path := range bytes.SplitSeq(text, []byte(",")) {
		if path = bytes.TrimSpace(path); len(path) == 0 {
			continue
		}
		start := d.open(maskPaths)
		for _, c := range path {
			if c >= 'A' && c <= 'Z' {
				d.out = append(d.out, '_', byte(unicode.ToLower(rune(c))))
			} else {
				d.out = append(d.out, c)
			}
		}
		d.close(start)
	}
}

// maskPaths is the field paths of a google.protobuf.FieldMask.
const maskPaths protowire.Number = 1
