package schema

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// fitsAvro says whether a decoded JSON value is a default of type t: as in the JSON encoding, but a value of a union is one of its first
// branch, without a tag, and fields of a record that have defaults of their own may be missing. That a union's default may be of any of
// its branches, as newer versions of Avro have it, is accepted too. Trying branches within branches takes time that grows with their
// product, so that each look costs one of the steps that are left.
func fitsAvro(t *avroType, v any, depth int, left *int) bool {
	if *left--; depth > limit.SchemaNestingMax || *left < 0 {
		return false
	}
	switch t.kind {
	case avroUnion:
		for _, branch := range t.branches {
			if fitsAvro(branch, v, depth+1, left) {
				return true
			}
		}
		return false
	case avroRecord:
		return fitsAvroRecord(t, v, depth, left)
	case avroArray:
		list, is := v.([]any)
		for _, item := range list {
			is = is && fitsAvro(t.items, item, depth+1, left)
		}
		return is
	case avroMap:
		values, is := v.(map[string]any)
		for _, value := range values {
			is = is && fitsAvro(t.items, value, depth+1, left)
		}
		return is
	default:
		return fitsAvroScalar(t, v)
	}
}

func fitsAvroRecord(t *avroType, v any, depth int, left *int) bool {
	members, is := v.(map[string]any)
	if !is {
		return false
	}
	for _, f := range t.fields {
		value, given := members[f.name]
		if !given && !f.hasDefault || given && !fitsAvro(f.kind, value, depth+1, left) {
			return false
		}
	}
	return true
}

func fitsAvroScalar(t *avroType, v any) bool {
	switch t.kind {
	case avroNull:
		return v == nil
	case avroBoolean:
		_, is := v.(bool)
		return is
	case avroInt, avroLong:
		number, is := v.(json.Number)
		i, err := number.Int64()
		return is && err == nil && (t.kind == avroLong || i == int64(int32(i)))
	case avroFloat, avroDouble:
		number, is := v.(json.Number)
		f, err := number.Float64()
		return is && err == nil && !math.IsInf(f, 0) || is && isNonFinite([]byte(number))
	}
	text, is := v.(string)
	switch t.kind {
	case avroEnum:
		_, known := t.symbolAt[text]
		return is && known
	case avroBytes, avroFixed:
		count, narrow := countBytes([]byte(text))
		return is && narrow && (t.kind == avroBytes || count == t.size)
	}
	return is
}

// inNumberRange says whether a JSON number is finite as a float or a double.
func inNumberRange(number []byte, bits int) bool {
	// Without an exponent 38 digits are in the range of both.
	if len(number) <= 38 && !containsExponent(number) {
		return true
	}
	_, err := strconv.ParseFloat(string(number), bits)
	return err == nil
}

func containsExponent(number []byte) bool {
	for _, c := range number {
		if c|0x20 == 'e' {
			return true
		}
	}
	return false
}
