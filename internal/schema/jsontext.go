package schema

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonText walks over JSON. It allocates only when a string has escapes.
type jsonText struct {
	text    []byte
	at      int
	scratch []byte // the last string that had escapes
}

func (j *jsonText) fail(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", j.at, fmt.Sprintf(format, args...))
}

// peek is the first byte of the next token, 0 at the end. Most tokens have no space before them.
func (j *jsonText) peek() byte {
	if j.at < len(j.text) && j.text[j.at] > ' ' {
		return j.text[j.at]
	}
	return j.pass()
}

// pass goes over the space before a token.
func (j *jsonText) pass() byte {
	for j.at < len(j.text) {
		switch c := j.text[j.at]; c {
		case ' ', '\t', '\r', '\n':
			j.at++
		default:
			return c
		}
	}
	return 0
}

// take takes one byte of punctuation.
func (j *jsonText) take(c byte) error {
	if got := j.peek(); got != c {
		return j.unexpected(got, string(c))
	}
	j.at++
	return nil
}

func (j *jsonText) unexpected(got byte, want string) error {
	if got == 0 && j.at >= len(j.text) {
		return j.fail("the message ends where %s is expected", want)
	}
	return j.fail("%q where %s is expected", got, want)
}

// word takes a literal. It is false when something else comes.
func (j *jsonText) word(literal string) bool {
	j.peek()
	end := j.at + len(literal)
	if end > len(j.text) || string(j.text[j.at:end]) != literal || end < len(j.text) && isWord(j.text[end]) {
		return false
	}
	j.at = end
	return true
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// more is called before each element of an array or an object, whose opening bracket is taken; it takes the comma, or the closing bracket
// and is false then.
func (j *jsonText) more(first *bool, closing byte) (bool, error) {
	c := j.peek()
	if c == closing {
		j.at++
		return false, nil
	}
	if *first {
		*first = false
		return true, nil
	}
	if c != ',' {
		return false, j.unexpected(c, ",")
	}
	j.at++
	if j.peek() == closing {
		return false, j.fail("%q after a comma", closing)
	}
	return true, nil
}

var errText = errors.New("a string is malformed")

// str takes a string and gives what it stands for, until the next call.
func (j *jsonText) str() ([]byte, error) {
	if err := j.take('"'); err != nil {
		return nil, err
	}
	start, ascii := j.at, true
	for ; j.at < len(j.text); j.at++ {
		switch c := j.text[j.at]; {
		case c == '"':
			value := j.text[start:j.at]
			if !ascii && !utf8.Valid(value) {
				return nil, errUTF8
			}
			j.at++
			return value, nil
		case c == '\\':
			return j.escaped(start)
		case c < ' ':
			return nil, j.fail("a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, j.fail("a string does not end")
}

// escaped takes the rest of a string that began at start and has its first escape here.
func (j *jsonText) escaped(start int) ([]byte, error) {
	j.scratch = append(j.scratch[:0], j.text[start:j.at]...)
	for j.at < len(j.text) {
		c := j.text[j.at]
		j.at++
		switch {
		case c == '"':
			if !utf8.Valid(j.scratch) {
				return nil, errUTF8
			}
			return j.scratch, nil
		case c < ' ':
			return nil, j.fail("a control character in a string")
		case c != '\\':
			j.scratch = append(j.scratch, c)
		default:
			r, ok := j.escape()
			if !ok {
				return nil, j.fail("%v", errText)
			}
			j.scratch = utf8.AppendRune(j.scratch, r)
		}
	}
	return nil, j.fail("a string does not end")
}

// escape takes what follows a backslash. A surrogate that is not half of a pair is refused.
func (j *jsonText) escape() (rune, bool) {
	if j.at >= len(j.text) {
		return 0, false
	}
	c := j.text[j.at]
	j.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
	default:
		return 0, false
	}
	r, ok := j.hex()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if j.at+2 > len(j.text) || j.text[j.at] != '\\' || j.text[j.at+1] != 'u' {
		return 0, false
	}
	j.at += 2
	low, ok := j.hex()
	pair := utf16.DecodeRune(r, low)
	return pair, ok && pair != utf8.RuneError
}

func (j *jsonText) hex() (r rune, ok bool) {
	if j.at+4 > len(j.text) {
		return 0, false
	}
	for _, c := range j.text[j.at : j.at+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	j.at += 4
	return r, true
}

// number takes a number and says whether it has neither fraction nor exponent.
func (j *jsonText) number() (number []byte, whole bool, err error) {
	first := j.peek()
	start := j.at
	if first == '-' {
		j.at++
	}
	if j.at < len(j.text) && j.text[j.at] == '0' {
		j.at++
	} else if !j.digits() {
		j.at = start
		return nil, false, j.unexpected(first, "a number")
	}
	whole = true
	if j.at < len(j.text) && j.text[j.at] == '.' {
		j.at++
		if whole = false; !j.digits() {
			return nil, false, j.fail("a number is malformed")
		}
	}
	if j.at < len(j.text) && j.text[j.at]|0x20 == 'e' {
		j.at++
		if j.at < len(j.text) && (j.text[j.at] == '+' || j.text[j.at] == '-') {
			j.at++
		}
		if whole = false; !j.digits() {
			return nil, false, j.fail("a number is malformed")
		}
	}
	if j.at < len(j.text) && isWord(j.text[j.at]) {
		return nil, false, j.fail("a number is malformed")
	}
	return j.text[start:j.at], whole, nil
}

func (j *jsonText) digits() bool {
	start := j.at
	for j.at < len(j.text) && '0' <= j.text[j.at] && j.text[j.at] <= '9' {
		j.at++
	}
	return j.at > start
}
