package schema

import (
	"encoding/hex"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

const (
	riverAvro = `{"type": "record", "name": "River", "namespace": "geo", "fields": [
		{"name": "name", "type": "string"},
		{"name": "length_km", "type": "double"},
		{"name": "countries", "type": {"type": "array", "items": "string"}},
		{"name": "flow", "type": {"type": "enum", "name": "Flow", "symbols": ["SEA", "LAKE", "RIVER"]}},
		{"name": "mouth", "type": ["null", {"type": "record", "name": "Point", "fields": [
			{"name": "lat", "type": "int"}, {"name": "lon", "type": "long"}]}], "default": null},
		{"name": "gauges", "type": {"type": "map", "values": "float"}},
		{"name": "navigable", "type": "boolean"},
		{"name": "code", "type": {"type": "fixed", "name": "Code", "size": 2}},
		{"name": "note", "type": ["null", "bytes", "Point", "geo.River"]}
	]}`
	riverJSON = `{"name": "Elbe", "length_km": 1094.5, "countries": ["CZ", "DE"], "flow": "SEA",
		"mouth": {"geo.Point": {"lat": 53, "lon": -8}}, "gauges": {"Dresden": 1.5e2}, "navigable": true, "code": "\u00ff!", "note": {"bytes": "\u0001a"}}`
	// The same in binary, field by field.
	riverHex = "08456c6265" + "0000000000 1a9140" + "04 04435a 044445 00" + "00" + "02 6a 0f" + "02 0e44726573 64656e 00001643 00" + "01" + "ff21" + "02 04 0161"

	cityProto = `syntax = "proto3"; package geo; import "google/protobuf/timestamp.proto";
		message City {
			string name = 1; int64 people = 2; repeated int32 districts = 3; Size size = 4; Mayor mayor = 5;
			map<string, double> prices = 6; google.protobuf.Timestamp founded = 7; oneof id { fixed32 code = 100; bytes key = 101; }
			enum Size { SMALL = 0; LARGE = 1; }
			message Mayor { string name = 1; City born = 2; }
		}`
	cityJSON = `{"name": "Ulm", "people": "126000", "districts": [1, 2], "size": "LARGE", "mayor": {"name": "A", "born": {"name": "B"}},
		"prices": {"beer": 4.5}, "founded": "0854-07-22T00:00:00Z", "key": "YQ=="}`
	cityHex     = "0a03556c6d" + "10b0d807" + "1a020102" + "2001" + "2a080a0141 12030a0142" + "320f 0a0462656572 110000000000001240" + "3a0b 08c0a7f9e6 ffffffffff 01" + "aa0601 61"
	parcelProto = `syntax = "proto2"; message Parcel {
		required string id = 1; optional int32 grams = 2 [default = 5]; repeated sint64 stops = 3 [packed = true];
		optional group Box = 4 { required bool open = 1; } }`
	parcelHex = "0a0131" + "18021804" + "230801" + "24"
)

func compile(t testing.TB, kind pubsubpb.Schema_Type, definition string) *Schema {
	t.Helper()
	s, err := Compile(definedAs(kind, definition))
	if err != nil {
		t.Fatalf("%s: %v", definition, err)
	}
	return s
}

func definedAs(kind pubsubpb.Schema_Type, definition string) *pubsubpb.Schema {
	return &pubsubpb.Schema{Type: kind, Definition: definition}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	avro     = pubsubpb.Schema_AVRO
	protoc   = pubsubpb.Schema_PROTOCOL_BUFFER
	asJSON   = pubsubpb.Encoding_JSON
	asBinary = pubsubpb.Encoding_BINARY
)
