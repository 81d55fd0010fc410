package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// JSON is the API's JSON form of a message, on one line with its end.
func JSON(m proto.Message) ([]byte, error) {
	loose, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	// protojson varies its spaces from build to build, on purpose; output that people compare must not.
	var line bytes.Buffer
	if err := json.Compact(&line, loose); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// Describe writes the fields of a message that are set, one a line with a tab behind the name, in the order of the API's definition, nested ones with a dot.
func Describe(w io.Writer, m proto.Message) { describe(w, "", m.ProtoReflect()) }

func describe(w io.Writer, prefix string, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		name, v := prefix+string(f.Name()), m.Get(f)
		switch {
		case f.IsMap():
			fmt.Fprintf(w, "%s:\t%s\n", name, mapText(v.Map()))
		case f.IsList():
			fmt.Fprintf(w, "%s:\t%s\n", name, listText(f, v.List()))
		case f.Message() != nil:
			if text, short := messageText(v.Message()); short {
				fmt.Fprintf(w, "%s:\t%s\n", name, text)
				continue
			}
			describe(w, name+".", v.Message())
		default:
			fmt.Fprintf(w, "%s:\t%s\n", name, scalarText(f, v))
		}
	}
}

// messageText is the text of a message that reads better as one value. An empty message says something by being there.
func messageText(m protoreflect.Message) (text string, short bool) {
	switch known := m.Interface().(type) {
	case *durationpb.Duration:
		return SpanText(known.AsDuration()), true
	case *timestamppb.Timestamp:
		return known.AsTime().Format(time.RFC3339Nano), true
	}
	empty := true
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { empty = false; return false })
	return "(empty)", empty
}

func mapText(m protoreflect.Map) string {
	var pairs []string
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		pairs = append(pairs, k.String()+"="+v.String())
		return true
	})
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func listText(f protoreflect.FieldDescriptor, l protoreflect.List) string {
	items := make([]string, l.Len())
	for i := range items {
		if f.Message() != nil {
			items[i] = fmt.Sprintf("{%v}", l.Get(i).Message().Interface())
			continue
		}
		items[i] = scalarText(f, l.Get(i))
	}
	return strings.Join(items, ", ")
}

func scalarText(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.EnumKind:
		if named := f.Enum().Values().ByNumber(v.Enum()); named != nil {
			return string(named.Name())
		}
	case protoreflect.BytesKind:
		return Data(v.Bytes())
	}
	return v.String()
}

// Data shows bytes as they are when they are text on one line, and quoted otherwise.
func Data(data []byte) string {
	text := string(data)
	if utf8.Valid(data) && OneLine(text) == text {
		return text
	}
	return fmt.Sprintf("%q", text)
}

// OneLine keeps a text from breaking the line that it is printed on.
func OneLine(message string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
}
