package wire

import (
	"math/bits"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of what the server sends. Tags are number<<3 | wire type.
const (
	receivedAttemptTag  = 0x18 // ReceivedMessage.delivery_attempt, a varint
	timestampSecondsTag = 0x08
	timestampNanosTag   = 0x10
)

// idDigitsMax is the length of the longest message id.
const idDigitsMax = 20

// powersOf10 has 10^i at i, as far as 64 bits go.
var powersOf10 = func() (powers [idDigitsMax]uint64) {
	powers[0] = 1
	for i := 1; i < len(powers); i++ {
		powers[i] = powers[i-1] * 10
	}
	return powers
}()

// idDigits is the number of decimal digits of a message id.
func idDigits(id uint64) int {
	// 1233/4096 is log10(2), closely enough for 64 bits; the estimate is right or one too small.
	estimate := bits.Len64(id|1) * 1233 >> 12
	if estimate < len(powersOf10) && id >= powersOf10[estimate] {
		estimate++
	}
	return max(estimate, 1)
}

// received holds the sizes of one received_messages field, from the inside out, and the values that they depend on.
type received struct {
	idBytes        int
	seconds, nanos uint64
	timeBytes      int // of the Timestamp
	messageBytes   int // of the PubsubMessage with the server's fields
	bodyBytes      int // of the ReceivedMessage
	attempt        int32
}

func (r *received) measure(ackIDBytes, msgBytes int, id uint64, timeUnixNano int64, attempt int32) {
	const second = 1_000_000_000
	seconds, nanos := timeUnixNano/second, timeUnixNano%second
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+second
	}
	r.idBytes = idDigits(id)
	r.seconds, r.nanos, r.attempt = uint64(seconds), uint64(nanos), attempt
	r.timeBytes = 2 + protowire.SizeVarint(r.seconds) + protowire.SizeVarint(r.nanos)
	r.messageBytes = msgBytes + 2 + r.idBytes + 2 + r.timeBytes
	r.bodyBytes = 2 + protowire.SizeBytes(ackIDBytes) + protowire.SizeBytes(r.messageBytes)
	if attempt > 0 {
		r.bodyBytes += 1 + protowire.SizeVarint(uint64(attempt))
	}
}

// ReceivedSize is how many bytes AppendReceived appends for an ack id and a stored message of the given lengths.
func ReceivedSize(ackIDBytes, msgBytes int, id uint64, timeUnixNano int64, attempt int32) int {
	var r received
	r.measure(ackIDBytes, msgBytes, id, timeUnixNano, attempt)
	return 1 + protowire.SizeBytes(r.bodyBytes)
}

// AppendReceived appends one received_messages field of a PullResponse or StreamingPullResponse, tag included: the ack id, the stored
// message with its id and publish time, and the delivery attempt when it is above 0. It allocates nothing when dst has the room.
//
// Seconds and nanos are both written even when they are 0: the last value of a field wins, but a missing one leaves an earlier one
// standing, and sub-messages merge.
func AppendReceived(dst, ackID, msg []byte, id uint64, timeUnixNano int64, attempt int32) []byte {
	var r received
	r.measure(len(ackID), len(msg), id, timeUnixNano, attempt)
	dst = append(dst, tagBytes1)
	dst = protowire.AppendVarint(dst, uint64(r.bodyBytes))
	dst = append(dst, tagBytes1)
	dst = protowire.AppendBytes(dst, ackID)
	dst = append(dst, tagBytes2)
	dst = protowire.AppendVarint(dst, uint64(r.messageBytes))
	dst = append(dst, msg...)
	dst = strconv.AppendUint(append(dst, tagBytes3, byte(r.idBytes)), id, 10)
	dst = append(dst, tagBytes4, byte(r.timeBytes), timestampSecondsTag)
	dst = protowire.AppendVarint(dst, r.seconds)
	dst = append(dst, timestampNanosTag)
	dst = protowire.AppendVarint(dst, r.nanos)
	if attempt > 0 {
		dst = append(dst, receivedAttemptTag)
		dst = protowire.AppendVarint(dst, uint64(attempt))
	}
	return dst
}

// PublishResponseSize bounds the bytes that AppendPublishResponse appends.
func PublishResponseSize(count int) int { return count * (2 + idDigitsMax) }

// AppendPublishResponse appends a PublishResponse with count consecutive message ids.
func AppendPublishResponse(dst []byte, firstID uint64, count int) []byte {
	var text [idDigitsMax]byte
	for id, end := firstID, firstID+uint64(count); id != end; {
		digits := strconv.AppendUint(text[:0], id, 10)
		// Ids that differ in the last digit only are most of them, and need no division.
		for last := &digits[len(digits)-1]; *last <= '9' && id != end; *last, id = *last+1, id+1 {
			dst = append(dst, tagBytes1, byte(len(digits)))
			dst = append(dst, digits...)
		}
	}
	return dst
}

// AppendPublishIDs appends a PublishResponse with the message ids, in which firstID and those after it stand for 0.
func AppendPublishIDs(dst []byte, firstID uint64, ids []uint64) []byte {
	for _, id := range ids {
		if id == 0 {
			id, firstID = firstID, firstID+1
		}
		dst = append(dst, tagBytes1, byte(idDigits(id)))
		dst = strconv.AppendUint(dst, id, 10)
	}
	return dst
}
