package load

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Shape says what the messages of a work look like.
type Shape struct {
	MessagesPerCall int
	DataBytes       int  // at least 16: the first bytes carry a number and a time
	Attribute       bool // one short attribute a message
	OrderingKeys    int  // 0 = none; else each call has one of so many keys, at most orderingKeysMax, in turn
}

func (s Shape) validate() error {
	if s.MessagesPerCall < 1 {
		return fmt.Errorf("messages a call: %d, must be at least 1", s.MessagesPerCall)
	}
	if s.DataBytes < stampBytes {
		return fmt.Errorf("message data: %d bytes, must be at least %d", s.DataBytes, stampBytes)
	}
	if s.OrderingKeys < 0 || s.OrderingKeys > orderingKeysMax {
		return fmt.Errorf("ordering keys: %d, must be 0 to %d", s.OrderingKeys, orderingKeysMax)
	}
	return nil
}

// An ordering key is its number in so many digits, so that one key can take another's place in an encoded request.
const (
	orderingKeyDigits = 6
	orderingKeysMax   = 1_000_000
)

// request is one encoded PublishRequest that is used for call after call by one worker; only the stamps and the key change.
type request struct {
	bytes   []byte
	dataAt  []int // where each message's data starts
	keyAt   []int // where each message's ordering key starts; empty without keys
	encoded Encoded
}

// newRequest encodes a request with incompressible data. Equal seeds give equal bytes.
func newRequest(topic string, shape Shape, seed uint64) *request {
	random := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	r := &request{}
	r.bytes = protowire.AppendTag(r.bytes, fieldRequestTopic, protowire.BytesType)
	r.bytes = protowire.AppendString(r.bytes, topic)
	data := make([]byte, shape.DataBytes)
	for range shape.MessagesPerCall {
		fillRandom(data, random)
		key := ""
		if shape.OrderingKeys > 0 {
			key = strings.Repeat("0", orderingKeyDigits)
		}
		message := appendMessage(nil, data, shape.Attribute, key)
		r.bytes = protowire.AppendTag(r.bytes, fieldRequestMessages, protowire.BytesType)
		r.bytes = protowire.AppendVarint(r.bytes, uint64(len(message)))
		dataStart := len(r.bytes) + protowire.SizeTag(fieldMessageData) + protowire.SizeVarint(uint64(len(data)))
		r.dataAt = append(r.dataAt, dataStart)
		r.bytes = append(r.bytes, message...)
		if key != "" {
			r.keyAt = append(r.keyAt, len(r.bytes)-orderingKeyDigits) // it is the last field
		}
	}
	r.encoded.Buffers = mem.BufferSlice{mem.SliceBuffer(r.bytes)}
	return r
}

// appendMessage encodes a PubsubMessage whose data comes first.
func appendMessage(dst, data []byte, attribute bool, orderingKey string) []byte {
	dst = protowire.AppendTag(dst, fieldMessageData, protowire.BytesType)
	dst = protowire.AppendBytes(dst, data)
	if attribute {
		var entry []byte
		entry = protowire.AppendTag(entry, fieldEntryKey, protowire.BytesType)
		entry = protowire.AppendString(entry, "origin")
		entry = protowire.AppendTag(entry, fieldEntryValue, protowire.BytesType)
		entry = protowire.AppendString(entry, "bench")
		dst = protowire.AppendTag(dst, fieldMessageAttributes, protowire.BytesType)
		dst = protowire.AppendBytes(dst, entry)
	}
	if orderingKey != "" {
		dst = protowire.AppendTag(dst, fieldMessageOrderingKey, protowire.BytesType)
		dst = protowire.AppendString(dst, orderingKey)
	}
	return dst
}

// stampAll numbers the messages from first on. No call with this request may be in flight.
func (r *request) stampAll(first uint64, sentAt int64) {
	for i, at := range r.dataAt {
		stamp{number: first + uint64(i), sentAt: sentAt}.put(r.bytes[at:])
	}
}

// stampKey gives all messages the key of that number. No call with this request may be in flight.
func (r *request) stampKey(number int) {
	for _, at := range r.keyAt {
		for digit, rest := orderingKeyDigits-1, number; digit >= 0; digit, rest = digit-1, rest/10 {
			r.bytes[at+digit] = byte('0' + rest%10)
		}
	}
}

func fillRandom(data []byte, random *rand.Rand) {
	for i := 0; i < len(data); i += 8 {
		word := random.Uint64()
		for j := i; j < min(i+8, len(data)); j++ {
			data[j] = byte(word)
			word >>= 8
		}
	}
}

// Payload returns n incompressible bytes; equal seeds give equal bytes.
func Payload(n int, seed uint64) []byte {
	data := make([]byte, n)
	fillRandom(data, rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)))
	return data
}

// streamOpening encodes the first request of a StreamingPull.
func streamOpening(subscription, clientID string, deadlineSeconds int, flow Flow) []byte {
	var b []byte
	b = protowire.AppendTag(b, fieldStreamSubscription, protowire.BytesType)
	b = protowire.AppendString(b, subscription)
	b = protowire.AppendTag(b, fieldStreamDeadline, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(deadlineSeconds))
	b = protowire.AppendTag(b, fieldStreamClientID, protowire.BytesType)
	b = protowire.AppendString(b, clientID)
	b = protowire.AppendTag(b, fieldStreamMessagesMax, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(flow.MessagesMax))
	b = protowire.AppendTag(b, fieldStreamBytesMax, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(flow.BytesMax))
}
