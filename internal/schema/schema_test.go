package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// verdict is a message and whether it follows its schema.
type verdict struct {
	message string
	good    bool
}

func judge(t *testing.T, s *Schema, encoding pubsubpb.Encoding, verdicts []verdict) {
	t.Helper()
	for _, v := range verdicts {
		if err := s.Validate(encoding, []byte(v.message)); (err == nil) != v.good {
			t.Errorf("%v %.200q: %v, want good: %v", encoding, v.message, err, v.good)
		}
	}
}

func TestWholeMessages(t *testing.T) {
	river, city, parcel := compile(t, avro, riverAvro), compile(t, protoc, cityProto), compile(t, protoc, parcelProto)
	judge(t, river, asJSON, []verdict{{riverJSON, true}})
	judge(t, river, asBinary, []verdict{{string(unhex(t, riverHex)), true}})
	judge(t, city, asJSON, []verdict{{cityJSON, true}})
	judge(t, city, asBinary, []verdict{{string(unhex(t, cityHex)), true}})
	judge(t, parcel, asBinary, []verdict{{string(unhex(t, parcelHex)), true}})
	judge(t, parcel, asJSON, []verdict{{`{"id": "1", "stops": [1, "2"], "box": {"open": true}}`, true}})
	for _, s := range []*Schema{river, city, parcel} {
		judge(t, s, asJSON, []verdict{{"", false}, {" ", false}})
		judge(t, s, asBinary, []verdict{{"", false}})
	}
}

// Of a good message no part may be missing, and nothing may follow it.
func TestEveryByteOfABinaryMessageMatters(t *testing.T) {
	river, message := compile(t, avro, riverAvro), unhex(t, riverHex)
	for cut := range message {
		if river.Validate(asBinary, message[:cut]) == nil {
			t.Errorf("the first %d of %d bytes are taken for a message", cut, len(message))
		}
	}
	if err := river.Validate(asBinary, append(message, 0)); !errors.Is(err, errLong) {
		t.Errorf("a byte follows: %v", err)
	}
}

func TestAMessageInJSONHasEachFieldOnceAndNoOther(t *testing.T) {
	river := compile(t, avro, riverAvro)
	mouth := `"mouth": {"geo.Point": {"lat": 53, "lon": -8}}`
	swap := func(old, with string) string {
		t.Helper()
		if !strings.Contains(riverJSON, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(riverJSON, old, with, 1)
	}
	judge(t, river, asJSON, []verdict{
		{swap(`"name": "Elbe", `, ``), false},
		{swap(`"name": "Elbe"`, `"name": "Elbe", "name": "Labe"`), false},
		{swap(`"name": "Elbe"`, `"name": "Elbe", "extra": 1`), false},
		{swap(`"name": "Elbe"`, `"\u006eame": "\ud83d\ude00"`), true},
		{swap(`"name": "Elbe"`, `"name": "\ud83d"`), false},
		{swap(`"name": "Elbe", "length_km": 1094.5`, `"length_km": 1094.5, "name": "Elbe"`), true},
		{swap(mouth, `"mouth": null`), true},
		{swap(mouth, `"mouth": {"lat": 53, "lon": -8}`), false},
		{swap(mouth, `"mouth": {"Point": {"lat": 53, "lon": -8}}`), false},
		{swap(mouth, `"mouth": {"null": null}`), false},
		{swap(mouth, `"mouth": {"geo.Point": {"lat": 53, "lon": -8}, "null": null}`), false},
		{swap(mouth+", ", ``), false},
		{swap(`"SEA"`, `"OCEAN"`), false},
		{swap(`"SEA"`, `0`), false},
		{swap(`1094.5`, `"1094.5"`), false},
		{swap(`1094.5`, `"NaN"`), true},
		{swap(`1094.5`, `1e999`), false},
		{swap(`1.5e2`, `1e39`), false},
		{swap(`53`, `53.0`), false},
		{swap(`53`, `2147483648`), false},
		{swap(`53`, `-2147483648`), true},
		{swap(`-8`, `9223372036854775808`), false},
		{swap(`-8`, `-9223372036854775808`), true},
		{swap(`-8`, `99999999999999999999999`), false},
		{swap(`-8`, `-08`), false},
		{swap(`true`, `"true"`), false},
		{swap(`"\u00ff!"`, `"\u0100!"`), false},
		{swap(`"\u00ff!"`, `"!"`), false},
		{swap(`["CZ", "DE"]`, `[]`), true},
		{swap(`["CZ", "DE"]`, `["CZ",]`), false},
		{swap(`["CZ", "DE"]`, `["CZ" "DE"]`), false},
		{swap(`["CZ", "DE"]`, `[1]`), false},
		{riverJSON + " \n", true},
		{riverJSON + "x", false},
		{"[" + riverJSON + "]", false},
	})
}

func TestBinaryMessagesOfAvro(t *testing.T) {
	for _, test := range []struct {
		definition string
		verdicts   []verdict
	}{
		{`"boolean"`, []verdict{{"\x00", true}, {"\x01", true}, {"\x02", false}, {"\x00\x00", false}}},
		{`"int"`, []verdict{{"\xff\xff\xff\xff\x0f", true}, {"\xff\xff\xff\xff\x1f", false}, {"\x80", false}}},
		{`"long"`, []verdict{{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", true}, {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", false}}},
		{`"string"`, []verdict{{"\x02a", true}, {"\x02\xff", false}, {"\x01", false}, {"\x04a", false}}},
		{`"bytes"`, []verdict{{"\x02\xff", true}}},
		{`"float"`, []verdict{{"1234", true}, {"123", false}}},
		{`{"type": "array", "items": "boolean"}`, []verdict{{"\x00", true}, {"\x02\x01\x00", true}, {"\x01\x02\x01\x00", true}, // -1 items in 1 byte
			{"\x01\x04\x01\x00", false}, {"\x02\x01", false}, {"\x02\x01\x02\x00\x00", true},
			{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00", false}}},
		{`{"type": "array", "items": "null"}`, []verdict{{"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", true}}},
		{`{"type": "map", "values": "null"}`, []verdict{{"\x02\x02a\x00", true}, {"\x02\x02\xff\x00", false}}},
		{`{"type": "enum", "name": "E", "symbols": ["A", "B"]}`, []verdict{{"\x02", true}, {"\x04", false}, {"\x01", false}}},
		{`{"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}`, []verdict{{"\x02\x02\x00", true},
			{strings.Repeat("\x02", 90) + "\x00", true}, {strings.Repeat("\x02", 1000) + "\x00", false}}},
	} {
		judge(t, compile(t, avro, test.definition), asBinary, test.verdicts)
	}
}

func TestMessagesOfProtocolBuffers(t *testing.T) {
	city, parcel := compile(t, protoc, cityProto), compile(t, protoc, parcelProto)
	judge(t, city, asJSON, []verdict{
		{`{}`, true}, {`{"name": null}`, true}, {`{"nom": "x"}`, false}, {`{"name": 1}`, false}, {`{"people": 1.5}`, false}, {`{"size": "HUGE"}`, false},
		{`{"founded": "yesterday"}`, false}, {`{"code": 1, "key": ""}`, false}, {`{"name": "a"}{}`, false}, {`{"name": "a", "name": "b"}`, false}, {`[]`, false},
	})
	judge(t, city, asBinary, []verdict{
		{"\x0a\x01\xff", false},            // not UTF-8
		{"\x0a\x05a", false},               // too short
		{"\x08\x01", false},                // a string as a number
		{"\x40\x01", false},                // field 8
		{"\x18\x01\x1a\x01\x02", true},     // packed and not
		{"\x1a\x01\x80", false},            // half a number, packed
		{"\x2a\x02\x40\x01", false},        // field 8 inside
		{"\xa5\x06\x00\x00\x00\x00", true}, // 100
		{"\x32\x03\x0a\x01\xff", false},    // a key of a map that is not UTF-8
		{"\x0b\x0c", false},                // a group
		{"\x00", false}, {"hello", false},
		{strings.Repeat("\x2a\x00", 3), true},
	})
	judge(t, parcel, asBinary, []verdict{
		{"\x0a\x011", true}, {"\x0a\x01\xff", true}, {"\x10\x01", false}, {"\x0a\x011\x23\x24", false}, {"\x0a\x011\x23\x08\x01", false}, {"\x0a\x00\x0a\x00", true},
	})
	judge(t, parcel, asJSON, []verdict{{`{}`, false}, {`{"id": "1", "box": {}}`, false}, {`{"id": "1"}`, true}})
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	deepArray := strings.Repeat(`{"type": "array", "items": `, 300) + `"int"` + strings.Repeat(`}`, 300)
	deepMessage := `syntax = "proto3"; ` + strings.Repeat(`message M { `, 300) + strings.Repeat(`}`, 300)
	for _, test := range []struct {
		kind       pubsubpb.Schema_Type
		definition string
		reason     string
	}{
		{0, `"int"`, "Invalid schema type"},
		{avro, "", "empty"},
		{avro, "int", "not JSON"},
		{avro, `"int" 1`, "something follows"},
		{avro, `"Int"`, `unknown type "Int"`},
		{avro, `{}`, "lacks its type"},
		{avro, `{"type": null}`, `a type that is a name: "null"`},
		{avro, `{"type": {"type": "int"}}`, `a type that is a name: "{\"type\":\"int\"}"`},
		{avro, `["int"]`, "not a union"},
		{avro, `{"type": "record", "name": "R"}`, "needs fields"},
		{avro, `{"type": "record", "fields": []}`, "needs a name"},
		{avro, `{"type": "record", "name": "1R", "fields": []}`, "invalid name"},
		{avro, `{"type": "record", "name": "int", "fields": []}`, "invalid name"},
		{avro, `{"type": "record", "name": "R", "namespace": "a..b", "fields": []}`, "invalid namespace"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}`, "two fields"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "default": "1"}]}`, "default"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": "Q"}]}`, "unknown type"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "record", "name": "R", "fields": []}}]}`, "twice"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": ["int", "int"]}]}`, "twice"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": [["int"]]}]}`, "another"},
		{avro, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": []}]}`, "1 to 1000 branches"},
		{avro, `{"type": "enum", "name": "E", "symbols": ["A", "A"]}`, "symbol"},
		{avro, `{"type": "enum", "name": "E", "symbols": ["a-b"]}`, "symbol"},
		{avro, `{"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}`, "none of its symbols"},
		{avro, `{"type": "enum", "name": "E"}`, "needs symbols"},
		{avro, `{"type": "fixed", "name": "F", "size": -1}`, "size"},
		{avro, `{"type": "array"}`, "needs items"},
		{avro, deepArray, "nested more than 200 deep"},
		{avro, `"` + strings.Repeat(" ", limit.SchemaDefinitionBytesMax) + `"`, "more than the maximum of 307200"},
		{protoc, `syntax = "proto3"; message M { string a = 1 }`, "syntax error"},
		{protoc, `syntax = "proto3";`, "not 0 messages"},
		{protoc, `syntax = "proto3"; message A {} message B {}`, "not 2 messages"},
		{protoc, `syntax = "proto3"; message A {} enum E { X = 0; }`, "1 enums"},
		{protoc, `edition = "2023"; message A {}`, "editions"},
		{protoc, `syntax = "proto3"; import "other.proto"; message A {}`, "well-known types"},
		{protoc, `syntax = "proto3"; message A {} service S {}`, "services"},
		{protoc, `syntax = "proto2"; message A { extensions 5; } extend A { optional int32 x = 5; }`, "extensions"},
		{protoc, `syntax = "proto3"; message A { B b = 1; }`, "B"},
		{protoc, `syntax = "proto3"; message A { int32 b = 1; int32 c = 1; }`, "1"},
		{protoc, deepMessage, "nested more than 200 deep"},
	} {
		if _, err := Compile(definedAs(test.kind, test.definition)); err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%.200s: %v, want ...%s...", test.definition, err, test.reason)
		}
	}
}

func TestDefinitionsThatAreTaken(t *testing.T) {
	for _, definition := range []string{
		`{"type": "string", "logicalType": "uuid"}`,
		`{"type": "record", "name": "a.R", "doc": "x", "aliases": ["Q"], "fields": [
			{"name": "a", "type": ["null", "R"], "default": null}, {"name": "b", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}, "default": "\u00ff"},
			{"name": "c", "type": {"type": "map", "values": "long"}, "default": {"x": 1}}, {"name": "d", "type": ["int", "null"], "default": 1},
			{"name": "e", "type": {"type": "enum", "name": "other.E", "symbols": ["A"], "default": "A"}, "default": "A"}, {"name": "f", "type": "other.E"}]}`,
	} {
		compile(t, avro, definition)
	}
	for _, definition := range []string{
		`message M {}`,
		"syntax = \"proto3\"; // {{{{ \n /* <<<< */ message M { string a = 1 [json_name = \"{\"]; reserved 2; }",
		`syntax = "proto3"; import "google/protobuf/any.proto"; import "google/protobuf/struct.proto"; message M { google.protobuf.Any a = 1; google.protobuf.Value v = 2; }`,
	} {
		compile(t, protoc, definition)
	}
}

func TestAnyHoldsTypesOfTheSchemaAndWellKnownOnes(t *testing.T) {
	s := compile(t, protoc, `syntax = "proto3"; package p; import "google/protobuf/any.proto"; message M { google.protobuf.Any a = 1; string b = 2; }`)
	judge(t, s, asJSON, []verdict{
		{`{"a": {"@type": "type.googleapis.com/p.M", "b": "x"}}`, true},
		{`{"a": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}`, true},
		{`{"a": {"@type": "type.googleapis.com/google.pubsub.v1.Topic", "name": "x"}}`, false},
	})
}

func TestCompiledDefinitions(t *testing.T) {
	file := protodesc.ToFileDescriptorProto(compile(t, protoc, parcelProto).proto.descriptor.ParentFile())
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}})
	if err != nil {
		t.Fatal(err)
	}
	with := func(kind pubsubpb.Schema_Type, root string, set []byte) *pubsubpb.Schema {
		return &pubsubpb.Schema{Type: kind, Configuration: &pubsubpb.Schema_CompiledProtoSchema{
			CompiledProtoSchema: &pubsubpb.CompiledProtoSchema{RootMessage: root, CompiledBytes: set}}}
	}
	s, err := Compile(with(protoc, "Parcel", set))
	if err != nil {
		t.Fatal(err)
	}
	judge(t, s, asBinary, []verdict{{string(unhex(t, parcelHex)), true}, {"\x10\x01", false}})
	for _, bad := range []*pubsubpb.Schema{with(avro, "Parcel", set), with(protoc, "Pasta", set), with(protoc, "Parcel", set[1:]), with(protoc, "Parcel", nil)} {
		if _, err := Compile(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// A message of few bytes must not stand for many values.
func TestBombs(t *testing.T) {
	var levels strings.Builder // each record holds two of the one before, the first holds nothing
	levels.WriteString(`{"type": "record", "name": "Bomb", "fields": [{"name": "r0", "type": {"type": "record", "name": "R0", "fields": []}}`)
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&levels, `, {"name": "r%d", "type": {"type": "record", "name": "R%d", "fields": [{"name": "a", "type": "R%d"}, {"name": "b", "type": "R%d"}]}}`, i, i, i-1, i-1)
	}
	levels.WriteString(`]}`)
	judge(t, compile(t, avro, levels.String()), asBinary, []verdict{{"\x00", false}})
	var twins strings.Builder // each may be read in two ways, and none fits in the end
	value := `1`
	twins.WriteString(`{"type": "record", "name": "Twins", "fields": [{"name": "a0", "type": {"type": "record", "name": "A0", "fields": []}}`)
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&twins, `, {"name": "u%d", "type": [{"type": "record", "name": "A%d", "fields": [{"name": "x", "type": ["A%d", {"type": "map", "values": "A%d"}]}]}, "null"]}`, i, i, i-1, i-1)
		value = `{"x": ` + value + `}`
	}
	fmt.Fprintf(&twins, `, {"name": "bad", "type": "A59", "default": %s}]}`, value)
	if _, err := Compile(definedAs(avro, twins.String())); err == nil {
		t.Error("a default that does not fit is taken")
	}
	endless := compile(t, avro, `{"type": "record", "name": "A", "fields": [{"name": "a", "type": "A"}, {"name": "b", "type": "A"}]}`)
	judge(t, endless, asBinary, []verdict{{"\x00", false}})
	list := compile(t, protoc, `syntax = "proto3"; message M { repeated M m = 1; }`)
	judge(t, list, asJSON, []verdict{{`{"m": [{}` + strings.Repeat(`,{}`, limit.SchemaJSONValuesMax) + `]}`, false}})
	judge(t, list, asBinary, []verdict{{strings.Repeat("\x0a\x00", limit.SchemaJSONValuesMax), true}})
	nested := []byte{}
	for range 1000 {
		nested = append([]byte{0x0a, byte(len(nested)&0x7f) | 0x80, byte(len(nested) >> 7)}, nested...)
	}
	judge(t, list, asBinary, []verdict{{string(nested), false}})
	judge(t, list, asJSON, []verdict{{strings.Repeat(`{"m":[`, 5000), false}})
}

func BenchmarkValidate(b *testing.B) {
	filler := strings.Repeat("x", 1024-len(unhex(b, riverHex)))
	for _, test := range []struct {
		name     string
		schema   *Schema
		encoding pubsubpb.Encoding
		message  []byte
	}{
		{"avro/JSON", compile(b, avro, riverAvro), asJSON, []byte(strings.Replace(riverJSON, "Elbe", strings.Repeat("x", 1024-len(riverJSON)), 1))},
		{"avro/binary", compile(b, avro, riverAvro), asBinary, append([]byte{0xfe, 0x0e}, append([]byte(filler)[:959], unhex(b, riverHex)[5:]...)...)},
		{"avro/JSON/many", compile(b, avro, `{"type": "array", "items": "int"}`), asJSON, []byte("[" + strings.Repeat("12345, ", 145) + "1]")},
		{"avro/JSON/tiny", compile(b, avro, `{"type": "array", "items": "int"}`), asJSON, []byte("[" + strings.Repeat("1,", 511) + "1]")},
		{"avro/binary/many", compile(b, avro, `{"type": "array", "items": "int"}`), asBinary, append(append([]byte{0xf8, 0x07}, bytes.Repeat([]byte{1, 2}, 254)...), 0)},
		{"protobuf/JSON", compile(b, protoc, cityProto), asJSON, []byte(strings.Replace(cityJSON, "Ulm", strings.Repeat("x", 1024-len(cityJSON)), 1))},
		{"protobuf/binary", compile(b, protoc, cityProto), asBinary, append([]byte{0x0a, 0xc0, 0x07}, append([]byte(strings.Repeat("x", 960)), unhex(b, cityHex)[5:]...)...)},
	} {
		b.Run(test.name, func(b *testing.B) {
			if err := test.schema.Validate(test.encoding, test.message); err != nil {
				b.Fatalf("%d bytes: %v", len(test.message), err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(test.message)))
			for b.Loop() {
				_ = test.schema.Validate(test.encoding, test.message)
			}
		})
	}
}
