package schema

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// protoWalk is a message type as the walker needs it.
type protoWalk struct {
	name     string
	dense    []*protoField // by number, for small ones
	others   map[protowire.Number]*protoField
	required int // how many fields must be there
}

// protoField is a field as the walker needs it.
type protoField struct {
	kind     protoreflect.Kind
	wire     protowire.Type
	packed   bool       // may come packed: a repeated number
	utf8     bool       // a string that is checked
	message  *protoWalk // of a message or a group
	required int        // the bit of a required field, from 1; 0: it is not
}

// denseFields is how many field numbers are looked up without a map.
const denseFields = 64

func newProtoWalk(root protoreflect.MessageDescriptor) *protoWalk {
	return buildProtoWalk(root, make(map[protoreflect.FullName]*protoWalk))
}

func buildProtoWalk(message protoreflect.MessageDescriptor, known map[protoreflect.FullName]*protoWalk) *protoWalk {
	if w := known[message.FullName()]; w != nil {
		return w
	}
	w := &protoWalk{name: string(message.FullName()), dense: make([]*protoField, denseFields), others: make(map[protowire.Number]*protoField)}
	known[message.FullName()] = w
	for i := range message.Fields().Len() {
		fd := message.Fields().Get(i)
		f := &protoField{kind: fd.Kind(), wire: wireType(fd.Kind())}
		f.packed = fd.IsList() && f.wire != protowire.BytesType && f.wire != protowire.StartGroupType
		// Version 2 says that strings are UTF-8, too, but its decoders do not look.
		f.utf8 = fd.Kind() == protoreflect.StringKind && message.ParentFile().Syntax() != protoreflect.Proto2
		if fd.Message() != nil {
			f.message = buildProtoWalk(fd.Message(), known)
		}
		if fd.Cardinality() == protoreflect.Required {
			w.required++
			f.required = w.required
		}
		if fd.Number() < denseFields {
			w.dense[fd.Number()] = f
		} else {
			w.others[fd.Number()] = f
		}
	}
	return w
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	default:
		return protowire.VarintType
	}
}

func (w *protoWalk) field(number protowire.Number) *protoField {
	if number > 0 && number < denseFields {
		return w.dense[number]
	}
	return w.others[number]
}

func (m *protoMessage) validateBinary(message []byte) error {
	return m.walk.check(message, 0)
}

// check holds the bytes of a message against its type. A field that the type does not know is refused: a message with it follows another
// schema.
func (w *protoWalk) check(b []byte, depth int) error {
	if depth > limit.SchemaNestingMax {
		return errTooDeep
	}
	present := presence{}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("message %s: %w", w.name, protowire.ParseError(n))
		}
		b = b[n:]
		f := w.field(number)
		if f == nil {
			return fmt.Errorf("message %s has no field with the number %d", w.name, number)
		}
		n, err := f.check(number, wire, b, depth)
		if err != nil {
			return err
		}
		present.add(f.required)
		b = b[n:]
	}
	if present.count < w.required {
		return fmt.Errorf("message %s lacks a required field", w.name)
	}
	return nil
}

// presence counts the required fields that a message has, each once.
type presence struct {
	count int
	seen  map[int]struct{}
	few   uint64 // the first 64
}

func (p *presence) add(required int) {
	switch {
	case required == 0:
	case required <= 64:
		if bit := uint64(1) << (required - 1); p.few&bit == 0 {
			p.few |= bit
			p.count++
		}
	default:
		if p.seen == nil {
			p.seen = make(map[int]struct{})
		}
		if _, twice := p.seen[required]; !twice {
			p.seen[required] = struct{}{}
			p.count++
		}
	}
}

// check takes a field's value and gives its length.
func (f *protoField) check(number protowire.Number, wire protowire.Type, b []byte, depth int) (n int, err error) {
	if wire != f.wire {
		if f.packed && wire == protowire.BytesType {
			return f.checkPacked(b)
		}
		return 0, fmt.Errorf("field %d has the wire type %d, not %d", number, wire, f.wire)
	}
	if wire != protowire.BytesType && wire != protowire.StartGroupType {
		n = protowire.ConsumeFieldValue(number, wire, b)
		return n, protowire.ParseError(min(n, 0))
	}
	var value []byte
	if wire == protowire.StartGroupType {
		value, n = protowire.ConsumeGroup(number, b)
	} else {
		value, n = protowire.ConsumeBytes(b)
	}
	switch {
	case n < 0:
		return 0, fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
	case f.message != nil:
		return n, f.message.check(value, depth+1)
	case f.utf8 && !utf8.Valid(value):
		return n, errUTF8
	}
	return n, nil
}

func (f *protoField) checkPacked(b []byte) (int, error) {
	values, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	for len(values) > 0 {
		size := protowire.ConsumeFieldValue(1, f.wire, values)
		if size < 0 {
			return 0, protowire.ParseError(size)
		}
		values = values[size:]
	}
	return n, nil
}

var errProtoValues = fmt.Errorf("a message in JSON has at most %d values", limit.SchemaJSONValuesMax)

// validateJSON holds a message against the JSON of version 3: no unknown members, no unknown symbols.
func (m *protoMessage) validateJSON(message []byte) error {
	if countValues(message) > limit.SchemaJSONValuesMax {
		return errProtoValues
	}
	into := dynamicpb.NewMessage(m.descriptor)
	return protojson.UnmarshalOptions{Resolver: m.types, RecursionLimit: limit.SchemaNestingMax}.Unmarshal(message, into)
}

// countValues is at least the number of values in a JSON text: one more than it has commas and opening brackets, wherever they stand.
func countValues(text []byte) int {
	count := 1
	for _, c := range text {
		if c == ',' || c == '{' || c == '[' {
			count++
		}
	}
	return count
}
