package filter_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/posthaste-io/posthaste/internal/filter"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// message is a stored message with data and the attributes, in the order of their keys.
func message(attributes map[string]string) []byte {
	msg := protowire.AppendTag(nil, 1, protowire.BytesType)
	msg = protowire.AppendString(msg, "some data")
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
		entry = protowire.AppendString(protowire.AppendTag(entry, 2, protowire.BytesType), attributes[key])
		msg = protowire.AppendBytes(protowire.AppendTag(msg, 2, protowire.BytesType), entry)
	}
	return msg
}

// attributes reads "a=1 b=2".
func attributes(text string) map[string]string {
	m := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(pair, "=")
		m[key] = value
	}
	return m
}

func TestFiltersWantTheMessagesThatTheySay(t *testing.T) {
	for _, c := range []struct{ filter, wanted, unwanted string }{
		{`attributes:a`, "a=1|a=|b=2 a=1", "|b=1|A=1"},
		{`attributes.a = "1"`, "a=1|b=1 a=1", "|a=2|a=|b=1|a=11"},
		{`attributes.a="1"`, "a=1", "a=2"},
		{"\n attributes\t. a\r=  \"1\" ", "a=1", "a=2"},
		{`attributes.a = ""`, "a=", "|a=1"},
		{`attributes.a != "1"`, "|a=2|a=|b=1", "a=1|b=2 a=1"},
		{`hasPrefix(attributes.a, "12")`, "a=12|a=123", "|a=1|a=21|a=2|b=12"},
		{`hasPrefix ( attributes . a , "" )`, "a=|a=1", "|b=1"},
		{`NOT attributes:a`, "|b=1", "a=1"},
		{`-attributes:a`, "|b=1", "a=1"},
		{`- attributes:a`, "|b=1", "a=1"},
		{`NOT NOT attributes:a`, "a=1", "|b=1"},
		{`---attributes:a`, "|b=1", "a=1"},
		{`NOT attributes.a != "1"`, "a=1", "|a=2"},
		{`attributes:a AND attributes:b`, "a=1 b=1", "|a=1|b=1"},
		{`attributes:a OR attributes:b`, "a=1 b=1|a=1|b=1", "|c=1"},
		{`attributes:a AND attributes:b AND attributes:c`, "a= b= c=", "a= b=|b= c=|a= c="},
		{`attributes:a OR attributes:b OR attributes:c`, "a=|b=|c=", "|d="},
		{`NOT attributes:a AND attributes:b`, "b=1", "|a=1|a=1 b=1"},
		{`NOT (attributes:a AND attributes:b)`, "|b=1|a=1", "a=1 b=1"},
		{`NOT(attributes:a OR attributes:b)`, "|c=1", "b=1|a=1|a=1 b=1"},
		{`-(attributes:a)AND attributes:b`, "b=1", "a=1 b=1|"},
		{`attributes:a AND-attributes:b`, "a=1", "a=1 b=1|b=1"},
		{`attributes:a AND (attributes.b = "1" OR attributes.c = "2")`, "a= b=1|a= c=2", "a= b=2|b=1|a="},
		{`(attributes:a AND attributes:b) OR attributes:c`, "a= b=|c=", "a=|b=|"},
		{`((attributes:a))`, "a=", ""},
		{`attributes.name = "com" AND -attributes:"x"`, "name=com", "name=com x=1|x=1|"},
		{`attributes:"iana.org/language_tag" AND (attributes.name = "net" OR attributes.name = "org")`,
			"iana.org/language_tag=en name=net|iana.org/language_tag= name=org", "name=net|iana.org/language_tag=en name=com"},
		{`attributes."iana.org/language_tag" = "en"`, "iana.org/language_tag=en", "iana=en"},
		{`attributes:a-b`, "a-b=1", "a=1"},
		{`attributes:0_9`, "0_9=", "0="},
		{`attributes:AND OR attributes.NOT="1"`, "AND=|NOT=1", "NOT=2|"},
		{`attributes:attributes AND attributes:hasPrefix`, "attributes= hasPrefix=", "attributes="},
		{`attributes.a = "\"\\"`, `a="\`, `a="`},
		{`attributes.a = "\u0041\x42\103"`, `a=ABC`, `a=abc`},
		{`attributes.a = "\xc3\xa9\303\251\u00e9é"`, `a=éééé`, `a=é`},
		{`attributes.a = "\ud83d\uDE00"`, `a=😀`, `a=`},
		{`attributes:"\u307F"`, `み=1`, `a=`},
		{`attributes."" = "1" OR attributes.b = "("`, `b=(`, `a=1`},
	} {
		f, err := filter.Parse(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		for _, text := range strings.Split(c.wanted, "|") {
			if !f.Match(message(attributes(text))) {
				t.Errorf("%s does not want %q", c.filter, text)
			}
		}
		if c.unwanted == "" {
			continue
		}
		for _, text := range strings.Split(c.unwanted, "|") {
			if f.Match(message(attributes(text))) {
				t.Errorf("%s wants %q", c.filter, text)
			}
		}
	}
}

func TestErrorsPointAtTheirColumn(t *testing.T) {
	const operand = `attributes, hasPrefix, NOT, "-" or "("`
	for _, c := range []struct{ filter, want string }{
		{``, `column 1: expected ` + operand + `, found the end of the filter`},
		{`  `, `column 3: expected ` + operand + `, found the end of the filter`},
		{`"com" = attributes.name`, `column 1: expected ` + operand + `, found "\""`},
		{`attributes.name = attributes.website`, `column 19: expected a string in double quotes, found "attributes"`},
		{`attributes:a AND attributes.b="1" OR attributes.c="2"`,
			`column 35: expected AND: AND and OR do not mix without parentheses, found "OR"`},
		{`attributes:\u307F`, `column 12: expected the attribute's name (in quotes unless it is letters, digits, "_" and "-"), found "\\"`},
		{`attributes.name="com" AND ("net" OR "org")`, `column 28: expected ` + operand + `, found "\""`},
		{`attributes:a OR attributes:b AND attributes:c`, `column 30: expected OR: AND and OR do not mix without parentheses`},
		{`(attributes:a OR attributes:b AND attributes:c)`, `column 31: expected OR: AND and OR do not mix without parentheses`},
		{`attributes`, `column 11: expected ":" or ".", found the end of the filter`},
		{`attributes = "a"`, `column 12: expected ":" or ".", found "="`},
		{`attributes.a`, `column 13: expected "=" or "!=", found the end of the filter`},
		{`attributes.a : "b"`, `column 14: expected "=" or "!=", found ":"`},
		{`attributes.a > "b"`, `column 14: expected "=" or "!=", found ">"`},
		{`attributes.a == "b"`, `column 15: expected a string in double quotes, found "="`},
		{`attributes.a = 'b'`, `column 16: expected a string in double quotes, found "'"`},
		{`attributes.a = 1`, `column 16: expected a string in double quotes, found "1"`},
		{`attributes:`, `column 12: expected the attribute's name`},
		{`attributes.a.b = "1"`, `column 13: expected "=" or "!=", found "."`},
		{`attributes:a attributes:b`, `column 14: expected AND, OR or the end of the filter, found "attributes"`},
		{`attributes:a and attributes:b`, `column 14: expected AND, OR or the end of the filter, found "and"`},
		{`not attributes:a`, `column 1: expected ` + operand + `, found "not"`},
		{`attributes:a AND`, `column 17: expected ` + operand + `, found the end of the filter`},
		{`attributes:a AND OR attributes:b`, `column 18: expected ` + operand + `, found "OR"`},
		{`attributes:a ANDattributes:b`, `column 14: expected AND, OR or the end of the filter, found "ANDattributes"`},
		{`(attributes:a`, `column 14: expected AND, OR or ")", found the end of the filter`},
		{`(attributes:a AND attributes:b`, `column 31: expected AND or ")", found the end of the filter`},
		{`attributes:a)`, `column 13: expected AND, OR or the end of the filter, found ")"`},
		{`()`, `column 2: expected ` + operand + `, found ")"`},
		{`Attributes:a`, `column 1: expected ` + operand + `, found "Attributes"`},
		{`data = "x"`, `column 1: expected ` + operand + `, found "data"`},
		{`hasprefix(attributes.a, "x")`, `column 1: expected ` + operand + `, found "hasprefix"`},
		{`hasPrefix attributes.a`, `column 11: expected "(", found "attributes"`},
		{`hasPrefix("x", attributes.a)`, `column 11: expected attributes, found "\""`},
		{`hasPrefix(attributes:a, "x")`, `column 21: expected ".", found ":"`},
		{`hasPrefix(attributes.a "x")`, `column 24: expected ",", found "\""`},
		{`hasPrefix(attributes.a, x)`, `column 25: expected a string in double quotes, found "x"`},
		{`hasPrefix(attributes.a, "x"`, `column 28: expected ")", found the end of the filter`},
		{`hasPrefix(attributes.a, "x", "y")`, `column 28: expected ")", found ","`},
		{`attributes.a = "b`, `column 18: expected the closing quote of the string, found the end of the filter`},
		{`attributes.a = "b\`, `column 18: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "é\n"`, `column 18: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\u12"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\x+1"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\x4"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\777"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\12"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\ud83d"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\ud83d\u0041"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\ude00"`, `column 17: expected \", \\, \uXXXX, \xNN or \NNN, found "\\"`},
		{`attributes.a = "\xc3"`, `column 16: expected a string of valid UTF-8, found "\""`},
		{`attributes:a` + strings.Repeat(" ", limit.FilterBytesMax), `column 257: expected the end of the filter after at most 256 bytes, found more`},
	} {
		_, err := filter.Parse(c.filter)
		var wrong *filter.Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.filter, err, c.want)
		}
	}
}

func TestTheLongestFilterIsRead(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("-", limit.FilterBytesMax-len("attributes:a")) + "attributes:a",
		strings.Repeat("(", 122) + "attributes:a" + strings.Repeat(")", 122),
	} {
		if _, err := filter.Parse(text); err != nil || len(text) != limit.FilterBytesMax {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

// A key that was sent twice has its last value, as for the official decoder.
func TestTheLastOfEqualKeysCounts(t *testing.T) {
	f, err := filter.Parse(`attributes.a = "1"`)
	if err != nil {
		t.Fatal(err)
	}
	first, last := message(map[string]string{"a": "1"}), message(map[string]string{"a": "2"})
	if f.Match(slices.Concat(first, last)) || !f.Match(slices.Concat(last, first)) {
		t.Error("an earlier value of a key was looked at")
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	f, err := filter.Parse(`attributes:a AND NOT (attributes.b = "1" OR hasPrefix(attributes.c, "x") OR attributes.d != "4")`)
	if err != nil {
		t.Fatal(err)
	}
	msg := message(attributes("a=1 b=2 c=3 d=4"))
	if !f.Match(msg) {
		t.Fatal("does not match")
	}
	if n := testing.AllocsPerRun(100, func() { f.Match(msg) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct{ name, filter, attributes string }{
		{"one of one", `attributes.kind = "order"`, "kind=order"},
		{"one of three", `attributes.kind = "order"`, "customer=4711 kind=order region=eu-west"},
		{"absent of three", `attributes.type = "order"`, "customer=4711 kind=order region=eu-west"},
		{"three of three", `attributes:customer AND attributes.kind = "order" AND hasPrefix(attributes.region, "eu")`, "customer=4711 kind=order region=eu-west"},
	} {
		b.Run(c.name, func(b *testing.B) {
			f, err := filter.Parse(c.filter)
			if err != nil {
				b.Fatal(err)
			}
			msg := message(attributes(c.attributes))
			for b.Loop() {
				f.Match(msg)
			}
		})
	}
}
