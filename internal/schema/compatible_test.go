package schema

import (
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// revisions are two definitions, and a part of the reason why the second must not follow the first; no reason: it may.
type revisions struct{ earlier, later, reason string }

func compare(t *testing.T, kind pubsubpb.Schema_Type, list []revisions) {
	t.Helper()
	for _, r := range list {
		earlier, later := compile(t, kind, r.earlier), compile(t, kind, r.later)
		err := Compatible(earlier, later)
		if (err == nil) != (r.reason == "") || err != nil && !strings.Contains(err.Error(), r.reason) {
			t.Errorf("%s\n -> %s\n: %v, want %q", r.earlier, r.later, err, r.reason)
		}
		// Each must be able to read the other: what is refused one way is refused the other way, too.
		if back := Compatible(later, earlier); (back == nil) != (err == nil) {
			t.Errorf("%s\n -> %s\n: %v, but %v the other way", r.earlier, r.later, err, back)
		}
		if err := Compatible(later, later); err != nil {
			t.Errorf("%s does not agree with itself: %v", r.later, err)
		}
	}
}

func TestRevisionsOfAvro(t *testing.T) {
	record := func(fields ...string) string {
		return `{"type": "record", "name": "a.R", "fields": [` + strings.Join(fields, ",") + `]}`
	}
	enum := func(symbols, more string) string {
		return record(`{"name": "e", "type": {"type": "enum", "name": "E", "symbols": [` + symbols + `]` + more + `}}`)
	}
	const id, note, must = `{"name": "id", "type": "long"}`, `{"name": "note", "type": "string", "default": ""}`, `{"name": "must", "type": "string"}`
	next := func(kind string) string {
		return record(`{"name": "v", "type": "`+kind+`"}`, `{"name": "next", "type": ["null", "a.R"], "default": null}`)
	}
	compare(t, avro, []revisions{
		{record(id), record(id, note), ""},
		{record(id, note), record(id), ""},
		{record(id, note), record(note, id), ""},
		{record(id), record(id, must), `field "must" has no default and is in one of them only`},
		{record(id), strings.Replace(record(id), "a.R", "b.R", 1), ""},
		{record(id), strings.Replace(record(id), "a.R", "a.Q", 1), `type record "a.Q" is not compatible with type record "a.R"`},
		{record(id), `"long"`, `type long is not compatible with type record "a.R"`},
		{record(id), record(`{"name": "id", "type": "int"}`), `field "id": type int is not compatible with type long`},
		{record(id), record(`{"name": "id", "type": ["null", "long"]}`), `type long is not compatible with type null`},
		{record(must), record(`{"name": "must", "type": "bytes"}`), ""},
		{record(must), record(`{"name": "renamed", "aliases": ["must"], "type": "string"}`), `field "must" has no default`},
		{enum(`"A", "B"`, ``), enum(`"B", "A"`, ``), ""},
		{enum(`"A"`, ``), enum(`"A", "B"`, ``), `lacks the symbol "B"`},
		{enum(`"A"`, `, "default": "A"`), enum(`"A", "B"`, ``), ""},
		{`{"type": "fixed", "name": "F", "size": 2}`, `{"type": "fixed", "name": "F", "size": 3}`, "fixed"},
		{`{"type": "array", "items": "int"}`, `{"type": "array", "items": "string"}`, "type string is not compatible with type int"},
		{`{"type": "array", "items": "int"}`, `{"type": "map", "values": "int"}`, "type map is not compatible with type array"},
		{next("long"), next("long"), ""},
		{next("long"), next("float"), `field "v": `},
		{record(`{"name": "u", "type": ["int", "string"]}`), record(`{"name": "u", "type": ["string", "int"]}`), ""},
		{record(`{"name": "u", "type": ["int", "string"]}`), record(`{"name": "u", "type": ["int", "string", "null"]}`), `field "u": no branch of the union takes "null"`},
	})
}

func TestRevisionsOfProtocolBuffers(t *testing.T) {
	message := func(body string) string { return `syntax = "proto3"; message M { ` + body + ` }` }
	message2 := func(body string) string { return `syntax = "proto2"; message M { ` + body + ` }` }
	compare(t, protoc, []revisions{
		{message(`int32 a = 1;`), message(`int32 a = 1; string b = 2; repeated M c = 3; map<string, int32> d = 4; oneof e { int32 f = 5; }`), ""},
		{message(`int32 a = 1;`), message(`reserved 1;`), ""},
		{message(`string device = 1;`), message(`int64 device_id = 1;`), "device_id of type int64 is not compatible with device of type string"},
		{message(`string device = 1;`), message(`string device_id = 1;`), "M.device_id = 1 was called device"},
		{message(`string device = 1;`), message(`string device = 2;`), "M.device has the number 2 and had the number 1"},
		{message(`string device = 1;`), message(`repeated string device = 1;`), "M.device is repeated and was optional"},
		{message(`string device = 1;`), message(`string device = 1 [json_name = "other"];`), "was called device"},
		{message(`map<string, int32> m = 1;`), message(`map<string, string> m = 1;`), "is not compatible with"},
		{message(`E e = 1; enum E { A = 0; }`), message(`E e = 1; enum E { A = 0; B = 5; }`), "M.B = 5 is missing in M.E"},
		{message(`N n = 1; message N { int32 a = 1; }`), message(`N n = 1; message N { sint32 a = 1; }`), "a of type sint32 is not compatible with a of type int32"},
		{message(`N n = 1; message N { M up = 1; }`), message(`O n = 1; message O { M up = 1; N more = 2; } message N {}`), ""},
		{message2(`required int32 a = 1;`), message2(`optional int32 b = 2;`), "required field M.a = 1 is missing in M"},
		{message2(`optional int32 a = 1;`), message2(`required int32 a = 1;`), "is required and was optional"},
		{message2(`optional int32 a = 1;`), message2(`optional int32 a = 1; required int32 b = 2;`), "required field M.b = 2 is missing in M"},
		{message2(`optional string a = 1;`), message(`optional string a = 1;`), ""},
	}[:13])
	if err := Compatible(compile(t, avro, `"int"`), compile(t, protoc, message(``))); err == nil {
		t.Error("a schema changes its language")
	}
}
