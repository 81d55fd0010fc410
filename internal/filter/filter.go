// Package filter is the language in which a subscription says which messages it wants, by their attributes:
//
//	expr    = operand { "AND" operand } | operand { "OR" operand }
//	operand = ("NOT" | "-") operand | "(" expr ")" | test
//	test    = "attributes" ":" key                                   the message has the attribute
//	        | "attributes" "." key ("=" | "!=") string               != is NOT =: it holds without the attribute, too
//	        | "hasPrefix" "(" "attributes" "." key "," string ")"
//	key     = letters, digits, "_" and "-", all ASCII | string
//	string  = '"' characters '"', with the escapes \" \\ \uXXXX (UTF-16), \xNN and \NNN (octal; both are bytes)
//
// AND and OR do not mix without parentheses. Operators are upper case, spaces may stand between any two words, and everything is
// case-sensitive. A filter sees the attributes as they were published.
//
// A [Filter] is a list of tests with jumps: each test says which one comes next, or that the message is wanted or not. NOT and
// parentheses leave no trace in it, and a message is judged on its stored bytes, without decoding and without allocation.
package filter

import (
	"bytes"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// Filter is a filter that was read. It is safe for concurrent use.
type Filter struct {
	tests []test // the first to be made is the last
}

// test is one question to a message, and where its answer leads.
type test struct {
	kind    kind
	key     string
	value   []byte
	yes, no int16 // the index of the next test, or the verdict
}

type kind uint8

const (
	has kind = iota
	equals
	prefix
)

// Verdicts stand where the index of a next test would.
const (
	wanted   = -1
	unwanted = -2
)

// Parse reads a filter of at most limit.FilterBytesMax bytes. An error is an *Error.
func Parse(text string) (*Filter, error) {
	e, err := parse(text)
	if err != nil {
		return nil, err
	}
	f := new(Filter)
	f.compile(e, wanted, unwanted)
	return f, nil
}

// Match says whether a stored message is wanted.
func (f *Filter) Match(msg []byte) bool {
	at := int16(len(f.tests) - 1)
	for at >= 0 {
		t := &f.tests[at]
		value, there := wire.LookupAttribute(msg, t.key)
		switch t.kind {
		case equals:
			there = there && bytes.Equal(value, t.value)
		case prefix:
			there = there && bytes.HasPrefix(value, t.value)
		}
		if there {
			at = t.yes
		} else {
			at = t.no
		}
	}
	return at == wanted
}

// compile appends the tests of an expression that leads to yes or no, the last one first, and returns the index of the first.
func (f *Filter) compile(e *expr, yes, no int16) int16 {
	if e.not {
		yes, no = no, yes
	}
	if len(e.parts) == 0 {
		t := e.test
		t.yes, t.no = yes, no
		f.tests = append(f.tests, t)
		return int16(len(f.tests) - 1)
	}
	next := yes
	if e.any {
		next = no
	}
	for i := len(e.parts) - 1; i >= 0; i-- {
		if e.any {
			next = f.compile(e.parts[i], yes, next)
		} else {
			next = f.compile(e.parts[i], next, no)
		}
	}
	return next
}
