package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// listKeptMax is how long a list may be that a scanner keeps the memory of for its next request.
const listKeptMax = 1 << 13

// The request types below are filled by their Scan methods, again and again, by one goroutine at a time. All bytes that they hold are
// part of the scanned request; their lists are used again by the next Scan. Scan fails with ErrMalformed exactly when the official
// decoder does, and with RequestTooLarge's error when ack ids could fill more than limit.AckRequestBytesMax. What the values mean is not
// checked.

// Acknowledge is an AcknowledgeRequest.
type Acknowledge struct {
	Subscription []byte
	AckIDs       [][]byte
}

// Scan fills r from a request.
func (r *Acknowledge) Scan(req []byte) error {
	*r = Acknowledge{AckIDs: reuse(r.AckIDs)}
	if len(req) > limit.AckRequestBytesMax {
		return RequestTooLarge(limit.AckRequestBytesMax)
	}
	for len(req) > 0 {
		f, rest, ok := next(req)
		if ok && f.kind == protowire.BytesType {
			switch f.number {
			case 1:
				r.Subscription, ok = f.text()
			case 2:
				r.AckIDs, ok = f.appendText(r.AckIDs)
			}
		}
		if !ok {
			return ErrMalformed
		}
		req = rest
	}
	return nil
}

// ModifyAckDeadline is a ModifyAckDeadlineRequest.
type ModifyAckDeadline struct {
	Subscription       []byte
	AckIDs             [][]byte
	AckDeadlineSeconds int32
}

// Scan fills r from a request.
func (r *ModifyAckDeadline) Scan(req []byte) error {
	*r = ModifyAckDeadline{AckIDs: reuse(r.AckIDs)}
	if len(req) > limit.AckRequestBytesMax {
		return RequestTooLarge(limit.AckRequestBytesMax)
	}
	for len(req) > 0 {
		f, rest, ok := next(req)
		switch {
		case f.is(1, protowire.BytesType):
			r.Subscription, ok = f.text()
		case f.is(4, protowire.BytesType):
			r.AckIDs, ok = f.appendText(r.AckIDs)
		case f.is(3, protowire.VarintType):
			r.AckDeadlineSeconds = int32(f.varint)
		}
		if !ok {
			return ErrMalformed
		}
		req = rest
	}
	return nil
}

// Pull is a PullRequest.
type Pull struct {
	Subscription      []byte
	ReturnImmediately bool
	MaxMessages       int32
}

// Scan fills r from a request.
func (r *Pull) Scan(req []byte) error {
	*r = Pull{}
	for len(req) > 0 {
		f, rest, ok := next(req)
		switch {
		case f.is(1, protowire.BytesType):
			r.Subscription, ok = f.text()
		case f.is(2, protowire.VarintType):
			r.ReturnImmediately = protowire.DecodeBool(f.varint)
		case f.is(3, protowire.VarintType):
			r.MaxMessages = int32(f.varint)
		}
		if !ok {
			return ErrMalformed
		}
		req = rest
	}
	return nil
}

// StreamingPull is a StreamingPullRequest.
type StreamingPull struct {
	Subscription             []byte
	AckIDs                   [][]byte
	ModifyDeadlineSeconds    []int32 // of ModifyDeadlineAckIDs, position by position, when the client kept the rule
	ModifyDeadlineAckIDs     [][]byte
	StreamAckDeadlineSeconds int32
	ClientID                 []byte
	MaxOutstandingMessages   int64
	MaxOutstandingBytes      int64
	ProtocolVersion          int64
}

// Scan fills r from a request.
func (r *StreamingPull) Scan(req []byte) error {
	*r = StreamingPull{
		AckIDs:                reuse(r.AckIDs),
		ModifyDeadlineSeconds: reuse(r.ModifyDeadlineSeconds),
		ModifyDeadlineAckIDs:  reuse(r.ModifyDeadlineAckIDs),
	}
	if len(req) > limit.AckRequestBytesMax {
		return RequestTooLarge(limit.AckRequestBytesMax)
	}
	for len(req) > 0 {
		f, rest, ok := next(req)
		if ok {
			switch f.kind {
			case protowire.BytesType:
				ok = r.setBytes(&f)
			case protowire.VarintType:
				r.setVarint(&f)
			}
		}
		if !ok {
			return ErrMalformed
		}
		req = rest
	}
	return nil
}

func (r *StreamingPull) setBytes(f *field) (ok bool) {
	switch f.number {
	case 1:
		r.Subscription, ok = f.text()
	case 2:
		r.AckIDs, ok = f.appendText(r.AckIDs)
	case 3:
		r.ModifyDeadlineSeconds, ok = appendPacked(r.ModifyDeadlineSeconds, f.bytes)
	case 4:
		r.ModifyDeadlineAckIDs, ok = f.appendText(r.ModifyDeadlineAckIDs)
	case 6:
		r.ClientID, ok = f.text()
	default:
		ok = true
	}
	return ok
}

func (r *StreamingPull) setVarint(f *field) {
	switch f.number {
	case 3:
		r.ModifyDeadlineSeconds = append(r.ModifyDeadlineSeconds, int32(f.varint))
	case 5:
		r.StreamAckDeadlineSeconds = int32(f.varint)
	case 7:
		r.MaxOutstandingMessages = int64(f.varint)
	case 8:
		r.MaxOutstandingBytes = int64(f.varint)
	case 10:
		r.ProtocolVersion = int64(f.varint)
	}
}

// reuse is an empty list in the same memory, unless that is too much to keep.
func reuse[T any](list []T) []T {
	if cap(list) > listKeptMax {
		return nil
	}
	return list[:0]
}

// appendText appends a string field's value to a list; it is false when the value is not UTF-8.
func (f *field) appendText(list [][]byte) ([][]byte, bool) {
	text, ok := f.text()
	return append(list, text), ok
}

// appendPacked appends the varints of a packed int32 field; it is false when they are malformed.
func appendPacked(list []int32, packed []byte) ([]int32, bool) {
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return list, false
		}
		list = append(list, int32(v))
		packed = packed[n:]
	}
	return list, true
}
