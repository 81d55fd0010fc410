package filter

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// shownBytesMax bounds how much of a filter an error repeats.
const shownBytesMax = 32

// unexpected is the error for what stands at the parser's place.
func (p *parser) unexpected(expected string) *Error {
	p.skipSpaces()
	return p.wrong(p.at, expected)
}

func (p *parser) wrong(at int, expected string) *Error {
	e := &Error{Column: utf8.RuneCountInString(p.text[:at]) + 1, Expected: expected, Found: "the end of the filter"}
	if at < len(p.text) {
		rest := parser{text: p.text, at: at}
		found := rest.word()
		if found == "" {
			_, size := utf8.DecodeRuneInString(p.text[at:])
			found = p.text[at : at+size]
		}
		e.Found = strconv.Quote(found[:min(len(found), shownBytesMax)])
	}
	return e
}

func (p *parser) skipSpaces() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take consumes a sign if it stands here.
func (p *parser) take(sign string) bool {
	if !strings.HasPrefix(p.text[p.at:], sign) {
		return false
	}
	p.at += len(sign)
	return true
}

// takeNext consumes a sign, with spaces before it.
func (p *parser) takeNext(sign string) bool {
	p.skipSpaces()
	return p.take(sign)
}

// word is the word of the language that stands here, which is not consumed. "-" ends it, as it may be the next operand's NOT.
func (p *parser) word() string {
	name, _, _ := strings.Cut(p.name(), "-")
	return name
}

// name is the unquoted name of an attribute that stands here, which is not consumed.
func (p *parser) name() string {
	end := p.at
	for end < len(p.text) && inName(p.text[end]) {
		end++
	}
	return p.text[p.at:end]
}

func inName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// takeWord consumes a word if it stands here, whole.
func (p *parser) takeWord(word string) bool {
	if p.word() != word {
		return false
	}
	p.at += len(word)
	return true
}

// key reads the name of an attribute. Any word will do, one that means something elsewhere too.
func (p *parser) key() (string, error) {
	p.skipSpaces()
	if p.at < len(p.text) && p.text[p.at] == '"' {
		key, err := p.quoted()
		return string(key), err
	}
	name := p.name()
	if name == "" {
		return "", p.unexpected(`the attribute's name (in quotes unless it is letters, digits, "_" and "-")`)
	}
	p.at += len(name)
	return name, nil
}

func (p *parser) value() ([]byte, error) {
	p.skipSpaces()
	if p.at == len(p.text) || p.text[p.at] != '"' {
		return nil, p.unexpected(`a string in double quotes`)
	}
	return p.quoted()
}

// quoted reads a string from its opening to its closing quote.
func (p *parser) quoted() ([]byte, error) {
	open := p.at
	p.at++
	var s []byte
	for p.at < len(p.text) {
		c := p.text[p.at]
		switch c {
		case '"':
			p.at++
			if !utf8.Valid(s) { // an attribute never is anything else
				return nil, p.wrong(open, "a string of valid UTF-8")
			}
			return s, nil
		case '\\':
			var ok bool
			if s, ok = p.escape(s); !ok {
				return nil, p.wrong(p.at, `\", \\, \uXXXX, \xNN or \NNN`)
			}
		default:
			s = append(s, c)
			p.at++
		}
	}
	return nil, p.wrong(p.at, `the closing quote of the string`)
}

// escape appends what the escape that stands here means, and consumes it.
func (p *parser) escape(s []byte) (_ []byte, ok bool) {
	rest := p.text[p.at+1:]
	if rest == "" {
		return s, false
	}
	switch c := rest[0]; {
	case c == '"', c == '\\':
		p.at += 2
		return append(s, c), true
	case c == 'u':
		return p.unicode(s)
	case c == 'x':
		return p.byte(s, rest[1:], 2, 16)
	default:
		return p.byte(s, rest, 3, 8)
	}
}

// byte reads the rest of \xNN or \NNN, which is a number of n digits.
func (p *parser) byte(s []byte, rest string, n, base int) ([]byte, bool) {
	v, ok := digits(rest, n, base)
	if !ok || v > 0xff {
		return s, false
	}
	p.at += 4
	return append(s, byte(v)), true
}

// unicode reads \uXXXX, and a second one when the two are a surrogate pair.
func (p *parser) unicode(s []byte) ([]byte, bool) {
	const size = len(`\uXXXX`)
	unit := func(at int) (rune, bool) {
		if !strings.HasPrefix(p.text[at:], `\u`) {
			return 0, false
		}
		v, ok := digits(p.text[at+2:], 4, 16)
		return rune(v), ok
	}
	r, ok := unit(p.at)
	if !ok {
		return s, false
	}
	if utf16.IsSurrogate(r) {
		low, ok := unit(p.at + size)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return s, false
		}
		p.at += size
	}
	p.at += size
	return utf8.AppendRune(s, r), true
}

// digits reads a number of exactly n digits.
func digits(s string, n, base int) (uint64, bool) {
	if len(s) < n {
		return 0, false
	}
	v, err := strconv.ParseUint(s[:n], base, 16)
	return v, err == nil
}
