package rest

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax bounds how deeply values may be nested in a body; protocol buffers' own JSON readers stop at the same depth.
const depthMax = 100

// scanner reads JSON (RFC 8259) from memory. Its methods take one token each and are false when it is malformed; pos then stands at
// or shortly behind the place.
type scanner struct {
	data    []byte
	pos     int
	scratch []byte // the last string, if it had escapes
}

// peek is the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take skips white space and the byte c, if that is next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// word takes a literal name: true, false or null.
func (s *scanner) word(w string) bool {
	s.peek()
	if !bytes.HasPrefix(s.data[s.pos:], []byte(w)) {
		return false
	}
	end := s.pos + len(w)
	if end < len(s.data) && continuesWord(s.data[end]) {
		return false
	}
	s.pos = end
	return true
}

func continuesWord(c byte) bool {
	return c == '-' || c == '+' || c == '.' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// number takes a number and returns its text.
func (s *scanner) number() (text []byte, ok bool) {
	s.peek()
	n := numberLength(s.data[s.pos:])
	if n == 0 || s.pos+n < len(s.data) && continuesWord(s.data[s.pos+n]) {
		return nil, false
	}
	text = s.data[s.pos : s.pos+n]
	s.pos += n
	return text, true
}

// numberLength is how many bytes at the start of b are a JSON number.
func numberLength(b []byte) int {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch n := digits(b[i:]); {
	case n == 0, n > 1 && b[i] == '0':
		return 0
	default:
		i += n
	}
	if i < len(b) && b[i] == '.' {
		n := digits(b[i+1:])
		if n == 0 {
			return 0
		}
		i += 1 + n
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		n := digits(b[j:])
		if n == 0 {
			return 0
		}
		i = j + n
	}
	return i
}

func digits(b []byte) (n int) {
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}

// text takes a string and returns its content, which is valid until the next one is taken.
func (s *scanner) text() (content []byte, ok bool) {
	if !s.take('"') {
		return nil, false
	}
	start := s.pos
	for {
		s.pos += plain(s.data[s.pos:])
		if s.pos == len(s.data) {
			return nil, false
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], true
		case c == '\\':
			return s.escapedText(start)
		case c < ' ':
			return nil, false
		default:
			r, n := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && n == 1 {
				return nil, false
			}
			s.pos += n
		}
	}
}

// plain counts the bytes at the start of b that need no look: ASCII other than quotes, backslashes and control characters. It takes
// eight at a time, because most of what is published is one long string.
func plain(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; len(b)-i >= 8; i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		quote, slash := v^(ones*'"'), v^(ones*'\\')
		// A byte's high bit is set in found when the byte is one of those; bytes behind the first one found may be wrong.
		found := (v | (v - ones*' ') | (quote - ones) | (slash - ones)) & highs
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escapedText goes on with a string at its first escape.
func (s *scanner) escapedText(start int) (content []byte, ok bool) {
	s.scratch = append(s.scratch[:0], s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		n := plain(s.data[s.pos:])
		s.scratch = append(s.scratch, s.data[s.pos:s.pos+n]...)
		s.pos += n
		if s.pos == len(s.data) {
			break
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.scratch, true
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		case c < ' ':
			return nil, false
		default:
			r, n := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && n == 1 {
				return nil, false
			}
			s.scratch = append(s.scratch, s.data[s.pos:s.pos+n]...)
			s.pos += n
		}
	}
	return nil, false
}

// escape takes a backslash and what it stands for.
func (s *scanner) escape() bool {
	if len(s.data)-s.pos < 2 {
		return false
	}
	c := s.data[s.pos+1]
	if c == 'u' {
		r, ok := s.unicode()
		if ok && utf16.IsSurrogate(r) {
			var low rune
			low, ok = s.unicode()
			r = utf16.DecodeRune(r, low)
			ok = ok && r != utf8.RuneError
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
		return ok
	}
	at := bytes.IndexByte([]byte(`"\/bfnrt`), c)
	if at < 0 {
		return false
	}
	s.scratch = append(s.scratch, "\"\\/\b\f\n\r\t"[at])
	s.pos += 2
	return true
}

// unicode takes \uXXXX.
func (s *scanner) unicode() (r rune, ok bool) {
	b := s.data[s.pos:]
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.pos += 6
	return r, true
}

// skip takes a value of any kind.
func (s *scanner) skip(depth int) bool {
	if depth > depthMax {
		return false
	}
	switch c := s.peek(); c {
	case '{', '[':
		s.pos++
		isObject := c == '{'
		if s.take(c + 2) { // both closing brackets follow their opening ones at a distance of two
			return true
		}
		for {
			if isObject {
				if _, ok := s.text(); !ok || !s.take(':') {
					return false
				}
			}
			if !s.skip(depth + 1) {
				return false
			}
			if s.take(c + 2) {
				return true
			}
			if !s.take(',') {
				return false
			}
		}
	case '"':
		_, ok := s.text()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		_, ok := s.number()
		return ok
	}
}
