package load

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

var errTruncated = errors.New("protobuf bytes end inside a field")

// cursor reads protobuf bytes that lie in several buffers without joining them.
//
// Invariant: left = len(current) + the bytes of parts[next:].
type cursor struct {
	parts   mem.BufferSlice
	current []byte
	next    int
	left    int
}

func newCursor(parts mem.BufferSlice) cursor {
	return cursor{parts: parts, left: parts.Len()}
}

// fill makes current non-empty; false at the end of the bytes.
func (c *cursor) fill() bool {
	for len(c.current) == 0 {
		if c.next == len(c.parts) {
			return false
		}
		c.current = c.parts[c.next].ReadOnlyData()
		c.next++
	}
	return true
}

// uvarint reads one varint.
func (c *cursor) uvarint() (uint64, error) {
	if !c.fill() {
		return 0, errTruncated
	}
	if first := c.current[0]; first < 0x80 {
		c.current = c.current[1:]
		c.left--
		return uint64(first), nil
	}
	var value uint64
	for shift := 0; shift < 70; shift += 7 {
		if !c.fill() {
			return 0, errTruncated
		}
		b := c.current[0]
		c.current = c.current[1:]
		c.left--
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value, nil
		}
	}
	return 0, errors.New("varint is longer than ten bytes")
}

// length reads the length of a length-delimited field and checks that this many bytes are left.
func (c *cursor) length() (int, error) {
	value, err := c.uvarint()
	if err != nil {
		return 0, err
	}
	if value > uint64(c.left) {
		return 0, errTruncated
	}
	return int(value), nil
}

// tag reads a field's number and wire type.
func (c *cursor) tag() (protowire.Number, protowire.Type, error) {
	value, err := c.uvarint()
	if err != nil {
		return 0, 0, err
	}
	number, kind := protowire.DecodeTag(value)
	if !number.IsValid() {
		return 0, 0, fmt.Errorf("field number %d is not valid", value>>3)
	}
	return number, kind, nil
}

// skip leaves out n bytes.
func (c *cursor) skip(n int) error {
	if n > c.left {
		return errTruncated
	}
	c.left -= n
	for n > len(c.current) {
		n -= len(c.current)
		c.current = c.parts[c.next].ReadOnlyData()
		c.next++
	}
	c.current = c.current[n:]
	return nil
}

// appendTo appends the next n bytes to dst.
func (c *cursor) appendTo(dst []byte, n int) ([]byte, error) {
	if n > c.left {
		return dst, errTruncated
	}
	c.left -= n
	for n > len(c.current) {
		dst = append(dst, c.current...)
		n -= len(c.current)
		c.current = c.parts[c.next].ReadOnlyData()
		c.next++
	}
	dst = append(dst, c.current[:n]...)
	c.current = c.current[n:]
	return dst, nil
}

// skipField leaves out the value of a field whose tag has been read.
func (c *cursor) skipField(kind protowire.Type) error {
	switch kind {
	case protowire.VarintType:
		_, err := c.uvarint()
		return err
	case protowire.Fixed32Type:
		return c.skip(4)
	case protowire.Fixed64Type:
		return c.skip(8)
	case protowire.BytesType:
		n, err := c.length()
		if err != nil {
			return err
		}
		return c.skip(n)
	default:
		return fmt.Errorf("wire type %d is not expected", kind)
	}
}
