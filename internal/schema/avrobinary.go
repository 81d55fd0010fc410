package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/posthaste-io/posthaste/internal/limit"
)

var (
	//lint:ignore ST1005 like the service's text below
	errShort = errors.New("Too little data to parse for schema")
	//lint:ignore ST1005 the service's text
	errLong    = errors.New("Too much data to parse for schema")
	errTooDeep = fmt.Errorf("nested more than %d deep", limit.SchemaNestingMax)
	errUTF8    = errors.New("a string is not UTF-8")
	errBoolean = errors.New("a boolean is neither 0 nor 1")
	errVarint  = errors.New("a number is malformed or out of range")
	errBranch  = errors.New("a union has no such branch")
	errSymbol  = errors.New("an enum has no such symbol")
	errBlock   = errors.New("a block of an array or a map is malformed")
)

func validateAvroBinary(t *avroType, message []byte) error {
	rest, err := skipAvro(t, message, 0)
	if err == nil && len(rest) > 0 {
		return errLong
	}
	return err
}

// skipAvro takes a value of type t off the front of b.
func skipAvro(t *avroType, b []byte, depth int) (rest []byte, err error) {
	switch t.kind {
	case avroBoolean:
		if len(b) == 0 {
			return nil, errShort
		}
		if b[0] > 1 {
			return nil, errBoolean
		}
		return b[1:], nil
	case avroInt:
		raw, rest, err := takeVarint(b)
		if err == nil && raw > math.MaxUint32 {
			err = errVarint
		}
		return rest, err
	case avroLong:
		_, rest, err := takeVarint(b)
		return rest, err
	case avroFloat:
		return drop(b, 4)
	case avroDouble:
		return drop(b, 8)
	case avroFixed:
		return drop(b, int64(t.size))
	case avroBytes, avroString:
		text, rest, err := takeBytes(b)
		if err == nil && t.kind == avroString && !utf8.Valid(text) {
			err = errUTF8
		}
		return rest, err
	case avroEnum:
		n, rest, err := takeLong(b)
		if err == nil && (n < 0 || n >= int64(len(t.symbols))) {
			err = errSymbol
		}
		return rest, err
	}
	return skipAvroComposite(t, b, depth+1)
}

func skipAvroComposite(t *avroType, b []byte, depth int) ([]byte, error) {
	if t.empty {
		return b, nil
	}
	if depth > limit.SchemaNestingMax {
		return nil, errTooDeep
	}
	switch t.kind {
	case avroRecord:
		var err error
		for i := range t.fields {
			if b, err = skipAvro(t.fields[i].kind, b, depth); err != nil {
				return nil, err
			}
		}
		return b, nil
	case avroUnion:
		n, rest, err := takeLong(b)
		if err != nil {
			return nil, err
		}
		if n < 0 || n >= int64(len(t.branches)) {
			return nil, errBranch
		}
		return skipAvro(t.branches[n], rest, depth)
	default:
		return skipAvroBlocks(t, b, depth)
	}
}

// skipAvroBlocks takes the blocks of an array or a map: each has a count, which is negative when the block's size in bytes follows, and
// a count of 0 ends them.
func skipAvroBlocks(t *avroType, b []byte, depth int) ([]byte, error) {
	for {
		count, rest, err := takeLong(b)
		if err != nil || count == 0 {
			return rest, err
		}
		size, sized := int64(0), count < 0
		if sized {
			if count = -count; count < 0 {
				return nil, errBlock
			}
			if size, rest, err = takeLong(rest); err != nil {
				return nil, err
			}
		}
		b = rest
		if t.kind == avroArray && t.items.empty {
			count = 0 // however many, they have no bytes
		}
		if t.kind == avroArray {
			b, count = skipSmall(t.items, b, count)
		}
		for ; count > 0; count-- {
			if t.kind == avroMap {
				key, rest, err := takeBytes(b)
				if err != nil {
					return nil, err
				}
				if !utf8.Valid(key) {
					return nil, errUTF8
				}
				b = rest
			}
			if b, err = skipAvro(t.items, b, depth); err != nil {
				return nil, err
			}
		}
		if sized && size != int64(len(rest)-len(b)) {
			return nil, errBlock
		}
	}
}

// skipSmall takes the integers of one byte that begin an array's block, and tells how many of its items remain.
func skipSmall(items *avroType, b []byte, count int64) (rest []byte, remain int64) {
	if items.kind != avroInt && items.kind != avroLong {
		return b, count
	}
	n := 0
	for n < len(b) && int64(n) < count && b[n] < 0x80 {
		n++
	}
	return b[n:], count - int64(n)
}

func takeVarint(b []byte) (raw uint64, rest []byte, err error) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], nil
	}
	raw, n := binary.Uvarint(b)
	switch {
	case n > 0:
		return raw, b[n:], nil
	case n == 0:
		return 0, nil, errShort
	default:
		return 0, nil, errVarint
	}
}

func takeLong(b []byte) (n int64, rest []byte, err error) {
	raw, rest, err := takeVarint(b)
	return int64(raw>>1) ^ -int64(raw&1), rest, err
}

func takeBytes(b []byte) (value, rest []byte, err error) {
	n, rest, err := takeLong(b)
	if err != nil {
		return nil, nil, err
	}
	if n < 0 || n > int64(len(rest)) {
		return nil, nil, errShort
	}
	return rest[:n], rest[n:], nil
}

func drop(b []byte, n int64) ([]byte, error) {
	if n > int64(len(b)) {
		return nil, errShort
	}
	return b[n:], nil
}
