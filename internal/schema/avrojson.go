package schema

import (
	"math"
	"unicode/utf8"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// validateAvroJSON holds a message against Avro's own JSON encoding, in which a value of a union other than null is an object with one
// member, whose name is that of the branch.
func validateAvroJSON(t *avroType, message []byte) error {
	j := jsonText{text: message}
	if err := j.avro(t, 0); err != nil {
		return err
	}
	if j.peek(); j.at < len(j.text) {
		return errLong
	}
	return nil
}

// avro takes a value of type t.
func (j *jsonText) avro(t *avroType, depth int) error {
	if depth > limit.SchemaNestingMax {
		return errTooDeep
	}
	switch t.kind {
	case avroNull:
		if !j.word("null") {
			return j.unexpected(j.peek(), "null")
		}
		return nil
	case avroBoolean:
		if !j.word("true") && !j.word("false") {
			return j.unexpected(j.peek(), "a boolean")
		}
		return nil
	case avroInt, avroLong:
		return j.avroInteger(t)
	case avroFloat, avroDouble:
		return j.avroNumber(t)
	case avroString:
		_, err := j.str()
		return err
	case avroBytes, avroFixed, avroEnum:
		return j.avroText(t)
	case avroRecord:
		return j.avroRecord(t, depth)
	case avroUnion:
		return j.avroUnion(t, depth)
	case avroArray:
		return j.avroArray(t, depth)
	default:
		return j.avroMap(t, depth)
	}
}

// plainDigitsMax is how many digits of a number are certain to stay within 32 bits.
const plainDigitsMax = 9

// plainInteger takes a number that is nothing but a few digits, as most integers are, and is false otherwise, with nothing taken.
func (j *jsonText) plainInteger() bool {
	at := j.at
	for at < len(j.text) && j.text[at]-'0' <= 9 {
		at++
	}
	digits := at - j.at
	if digits == 0 || digits > plainDigitsMax || digits > 1 && j.text[j.at] == '0' || at == len(j.text) {
		return false
	}
	switch j.text[at] {
	case ',', ']', '}', ' ', '\n':
		j.at = at
		return true
	default:
		return false
	}
}

func (j *jsonText) avroInteger(t *avroType) error {
	if j.peek(); j.plainInteger() {
		return nil
	}
	number, whole, err := j.number()
	if err != nil {
		return err
	}
	most := uint64(math.MaxInt32)
	if t.kind == avroLong {
		most = math.MaxInt64
	}
	if number[0] == '-' {
		most, number = most+1, number[1:]
	}
	value := uint64(0)
	for _, digit := range number {
		if !whole || len(number) > 19 {
			break
		}
		value = value*10 + uint64(digit-'0')
	}
	if !whole || len(number) > 19 || value > most {
		return j.fail("a number that is not of type %v", t.kind)
	}
	return nil
}

func (j *jsonText) avroNumber(t *avroType) error {
	if j.peek() == '"' {
		text, err := j.str()
		if err == nil && !isNonFinite(text) {
			err = j.fail("a string where a number is expected")
		}
		return err
	}
	number, _, err := j.number()
	if err != nil {
		return err
	}
	bits := 64
	if t.kind == avroFloat {
		bits = 32
	}
	if !inNumberRange(number, bits) {
		return j.fail("a number that is not of type %v", t.kind)
	}
	return nil
}

// isNonFinite says whether a string stands for a number that JSON has no number for.
func isNonFinite(text []byte) bool {
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	return false
}

func (j *jsonText) avroText(t *avroType) error {
	text, err := j.str()
	if err != nil {
		return err
	}
	if t.kind == avroEnum {
		if _, known := t.symbolAt[string(text)]; !known {
			return j.fail("the enum %s has no symbol %s", excerpt(t.name), excerpt(string(text)))
		}
		return nil
	}
	count, narrow := countBytes(text)
	switch {
	case !narrow:
		return j.fail("a character above U+00FF stands for no byte")
	case t.kind == avroFixed && count != t.size:
		return j.fail("%d bytes where %s has %d", count, excerpt(t.name), t.size)
	}
	return nil
}

// countBytes counts the characters of a string, each of which stands for a byte. It is false when one does not.
func countBytes(text []byte) (count int, narrow bool) {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r > 0xff {
			return 0, false
		}
		count++
		text = text[n:]
	}
	return count, true
}

// seenWords is how many words of 64 fields each the walker keeps without allocating.
const seenWords = 4

func (j *jsonText) avroRecord(t *avroType, depth int) error {
	if err := j.take('{'); err != nil {
		return err
	}
	var few [seenWords]uint64
	seen, next, count := few[:], 0, 0
	if len(t.fields) > len(few)*64 {
		seen = make([]uint64, (len(t.fields)+63)/64)
	}
	for first := true; ; {
		more, err := j.more(&first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		at, err := j.avroFieldName(t, next)
		if err != nil {
			return err
		}
		if seen[at/64]&(1<<(at%64)) != 0 {
			return j.fail("the field %s comes twice", t.fields[at].name)
		}
		seen[at/64] |= 1 << (at % 64)
		next, count = at+1, count+1
		if err := j.avro(t.fields[at].kind, depth+1); err != nil {
			return err
		}
	}
	if count == len(t.fields) {
		return nil
	}
	for i := range t.fields {
		if seen[i/64]&(1<<(i%64)) == 0 {
			return j.fail("the record %s lacks its field %s", excerpt(t.name), excerpt(t.fields[i].name))
		}
	}
	return nil
}

// avroFieldName takes the name of a field and its colon. Fields mostly come in the schema's order: next is looked at first.
func (j *jsonText) avroFieldName(t *avroType, next int) (at int, err error) {
	name, err := j.str()
	if err != nil {
		return 0, err
	}
	if next >= len(t.fields) || t.fields[next].name != string(name) {
		var known bool
		if next, known = t.fieldAt[string(name)]; !known {
			return 0, j.fail("the record %s has no field %s", excerpt(t.name), excerpt(string(name)))
		}
	}
	return next, j.take(':')
}

func (j *jsonText) avroUnion(t *avroType, depth int) error {
	if _, nullable := t.branchAt["null"]; nullable && j.word("null") {
		return nil
	}
	if err := j.take('{'); err != nil {
		return err
	}
	name, err := j.str()
	if err != nil {
		return err
	}
	at, known := t.branchAt[string(name)]
	if !known || t.branches[at].kind == avroNull {
		return j.fail("a union has no branch %s", excerpt(string(name)))
	}
	if err := j.take(':'); err != nil {
		return err
	}
	if err := j.avro(t.branches[at], depth+1); err != nil {
		return err
	}
	return j.take('}')
}

func (j *jsonText) avroArray(t *avroType, depth int) error {
	if err := j.take('['); err != nil {
		return err
	}
	for first := true; ; {
		more, err := j.more(&first, ']')
		if err != nil || !more {
			return err
		}
		if err := j.avro(t.items, depth+1); err != nil {
			return err
		}
	}
}

func (j *jsonText) avroMap(t *avroType, depth int) error {
	if err := j.take('{'); err != nil {
		return err
	}
	for first := true; ; {
		more, err := j.more(&first, '}')
		if err != nil || !more {
			return err
		}
		if _, err := j.str(); err != nil {
			return err
		}
		if err := j.take(':'); err != nil {
			return err
		}
		if err := j.avro(t.items, depth+1); err != nil {
			return err
		}
	}
}
