package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// show prints one resource: all its fields as text, or its JSON form on one line.
func (a *app) show(m proto.Message) error {
	if a.output == outputJSON {
		return a.showJSON(m)
	}
	aligned := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	describe(aligned, "", m.ProtoReflect())
	return aligned.Flush()
}

// showJSON prints the JSON form of the API on one line.
func (a *app) showJSON(m proto.Message) error {
	loose, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode as JSON: %w", err)
	}
	// protojson varies its spaces from build to build, on purpose; output that people compare must not.
	var line bytes.Buffer
	if err := json.Compact(&line, loose); err != nil {
		return fmt.Errorf("encode as JSON: %w", err)
	}
	line.WriteByte('\n')
	_, err = a.out.Write(line.Bytes())
	return err
}

// report prints one line about what was done: words as text, or an object as JSON.
func (a *app) report(text string, object any) error {
	if a.output == outputJSON {
		return json.NewEncoder(a.out).Encode(object)
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}

// describe writes the fields that are set, in the order of the API's definition, nested ones with a dot.
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
		return spanText(known.AsDuration()), true
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
		return dataText(v.Bytes())
	}
	return v.String()
}

// dataText shows bytes as they are when they are text on one line, and quoted otherwise.
func dataText(data []byte) string {
	text := string(data)
	if utf8.Valid(data) && oneLine(text) == text {
		return text
	}
	return fmt.Sprintf("%q", text)
}
