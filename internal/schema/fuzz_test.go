package schema

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// fuzz holds messages against definitions of all kinds. Nothing may panic, and what is valid JSON to nobody is no message.
func fuzz(f *testing.F, kind pubsubpb.Schema_Type) {
	f.Fuzz(func(t *testing.T, definition string, message []byte) {
		s, err := Compile(definedAs(kind, definition))
		if err != nil {
			return
		}
		_ = s.Validate(asBinary, message)
		if s.Validate(asJSON, message) == nil && !json.Valid(message) {
			t.Errorf("%q is taken for JSON", message)
		}
		if err := Compatible(s, s); err != nil {
			t.Errorf("does not agree with itself: %v", err)
		}
	})
}

func FuzzAvro(f *testing.F) {
	f.Add(riverAvro, []byte(riverJSON))
	f.Add(riverAvro, unhex(f, riverHex))
	for _, definition := range []string{
		`"int"`, `{"type": "array", "items": "null"}`, `{"type": "map", "values": ["null", "float", {"type": "fixed", "name": "F", "size": 1}]}`,
		`{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"], "default": null}]}`,
		`{"type": "enum", "name": "E", "symbols": ["A"], "default": "A", "aliases": ["x.Y"]}`, `{"type": "record", "name": "R", "fields": [{"name": "a", "type": "R"}]}`,
	} {
		f.Add(definition, []byte("[1, -2.5e3]"))
		f.Add(definition, []byte("\x01\x04\x02a\x00"))
		f.Add(definition, []byte(`{"next": {"L": {"next": null}}}`))
	}
	fuzz(f, avro)
}

func FuzzProtocolBuffers(f *testing.F) {
	f.Add(cityProto, []byte(cityJSON))
	f.Add(cityProto, unhex(f, cityHex))
	f.Add(parcelProto, unhex(f, parcelHex))
	for _, definition := range []string{
		`message M { extensions 5 to max; optional M m = 1; }`, `syntax = "proto3"; message M { oneof o { M m = 1; } map<int32, M> n = 2; enum E { option allow_alias = true; A = 0; B = 0; } }`,
		`syntax = "proto3"; import "google/protobuf/any.proto"; message M { google.protobuf.Any a = 1; }`, `message M { optional bytes b = 1 [default = "\xff\n"]; option message_set_wire_format = true; }`,
	} {
		f.Add(definition, []byte("\x0a\x00"))
		f.Add(definition, []byte(`{"a": {"@type": "type.googleapis.com/M"}, "m": {}}`))
	}
	fuzz(f, protoc)
}

// agrees holds the walker's verdict against the official decoder's: it takes what the decoder takes and finds no unknown field in.
func agrees(t *testing.T, s *Schema, message []byte) {
	t.Helper()
	into := dynamicpb.NewMessage(s.proto.descriptor)
	official := proto.Unmarshal(message, into)
	err := s.proto.validateBinary(message)
	if err == nil && official != nil {
		t.Errorf("%x is taken, but the decoder says: %v", message, official)
	}
	if err != nil && official == nil && !unknownInside(into) {
		t.Errorf("%x is refused, but the decoder takes it: %v", message, err)
	}
}

func unknownInside(m *dynamicpb.Message) bool {
	stripped := proto.Clone(m)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(must(proto.Marshal(m)), stripped); err != nil {
		return true
	}
	return proto.Size(stripped) != proto.Size(m)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic("bug: " + err.Error())
	}
	return b
}

func TestTheWalkerAgreesWithTheOfficialDecoder(t *testing.T) {
	// The official decoder drops what it does not know in the entry of a map without a trace, so that there are none here.
	const prices, pricesHex = "map<string, double> prices = 6;", "320f 0a0462656572 110000000000001240"
	city, parcel := compile(t, protoc, strings.Replace(cityProto, prices, "", 1)), compile(t, protoc, parcelProto)
	random := rand.New(rand.NewPCG(3, 4))
	for _, test := range []struct {
		schema *Schema
		from   []byte
	}{{city, unhex(t, strings.Replace(cityHex, pricesHex, "", 1))}, {parcel, unhex(t, parcelHex)}} {
		for range 20_000 {
			message := append([]byte(nil), test.from...)
			for range 1 + random.IntN(3) {
				switch at := random.IntN(len(message)); random.IntN(4) {
				case 0:
					message[at] = byte(random.Uint32())
				case 1:
					message = append(message[:at:at], message[min(at+1, len(message)-1):]...)
				case 2:
					message = append(message[:at:at], append([]byte{byte(random.IntN(60))}, message[at:]...)...)
				case 3:
					message = message[:at+1]
				}
			}
			agrees(t, test.schema, message)
		}
	}
}
