package filter

import (
	"fmt"
	"unicode/utf8"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Error says where a filter is wrong.
type Error struct {
	Column   int    // in characters, from 1; one past the end when something is missing there
	Expected string // what could have stood there
	Found    string // what stands there instead
}

func (e *Error) Error() string {
	return fmt.Sprintf("column %d: expected %s, found %s", e.Column, e.Expected, e.Found)
}

// expr is an expression as it was written.
type expr struct {
	not   bool
	any   bool    // of several parts: OR, else AND
	parts []*expr // empty: it is the test
	test  test
}

// parser reads from left to right and never goes back. The length of a filter bounds how deep it recurses.
type parser struct {
	text string
	at   int // bytes
}

func parse(text string) (*expr, error) {
	p := parser{text: text}
	if len(text) > limit.FilterBytesMax {
		return nil, &Error{
			Column: utf8.RuneCountInString(text[:limit.FilterBytesMax]) + 1, Found: "more",
			Expected: fmt.Sprintf("the end of the filter after at most %d bytes", limit.FilterBytesMax),
		}
	}
	e, end, err := p.expr()
	if err != nil {
		return nil, err
	}
	if p.skipSpaces(); p.at < len(text) {
		return nil, p.unexpected(end + " or the end of the filter")
	}
	return e, nil
}

// expr reads operands with one operator between them. end says what else could have gone on where it stopped.
func (p *parser) expr() (e *expr, end string, err error) {
	first, err := p.operand()
	if err != nil {
		return nil, "", err
	}
	operator := p.operator()
	if operator == "" {
		return first, "AND, OR", nil
	}
	e = &expr{any: operator == "OR", parts: []*expr{first}}
	for {
		p.at += len(operator)
		part, err := p.operand()
		if err != nil {
			return nil, "", err
		}
		e.parts = append(e.parts, part)
		switch p.operator() {
		case operator:
		case "":
			return e, operator, nil
		default:
			return nil, "", p.unexpected(operator + ": AND and OR do not mix without parentheses")
		}
	}
}

// operator is the operator that stands next, which is not consumed; empty if there is none.
func (p *parser) operator() string {
	p.skipSpaces()
	switch word := p.word(); word {
	case "AND", "OR":
		return word
	}
	return ""
}

const operandExpected = `attributes, hasPrefix, NOT, "-" or "("`

func (p *parser) operand() (*expr, error) {
	switch p.skipSpaces(); {
	case p.take("-"), p.takeWord("NOT"):
		e, err := p.operand()
		if err == nil {
			e.not = !e.not
		}
		return e, err
	case p.take("("):
		e, end, err := p.expr()
		if err == nil && !p.takeNext(")") {
			err = p.unexpected(end + ` or ")"`)
		}
		return e, err
	case p.takeWord("attributes"):
		return p.attribute()
	case p.takeWord("hasPrefix"):
		return p.prefix()
	}
	return nil, p.unexpected(operandExpected)
}

// attribute reads a test after its first word.
func (p *parser) attribute() (*expr, error) {
	var err error
	e := new(expr)
	switch {
	case p.takeNext(":"):
		e.test.key, err = p.key()
		return e, err
	case !p.takeNext("."):
		return nil, p.unexpected(`":" or "."`)
	}
	if e.test.key, err = p.key(); err != nil {
		return nil, err
	}
	switch e.test.kind = equals; {
	case p.takeNext("!="):
		e.not = true
	case !p.takeNext("="):
		return nil, p.unexpected(`"=" or "!="`)
	}
	e.test.value, err = p.value()
	return e, err
}

// prefix reads a call of hasPrefix after its name.
func (p *parser) prefix() (*expr, error) {
	if !p.takeNext("(") {
		return nil, p.unexpected(`"("`)
	}
	if p.skipSpaces(); !p.takeWord("attributes") {
		return nil, p.unexpected("attributes")
	}
	if !p.takeNext(".") {
		return nil, p.unexpected(`"."`)
	}
	var err error
	e := &expr{test: test{kind: prefix}}
	if e.test.key, err = p.key(); err != nil {
		return nil, err
	}
	if !p.takeNext(",") {
		return nil, p.unexpected(`","`)
	}
	if e.test.value, err = p.value(); err != nil {
		return nil, err
	}
	if !p.takeNext(")") {
		return nil, p.unexpected(`")"`)
	}
	return e, nil
}
