package wire

import "google.golang.org/protobuf/encoding/protowire"

// AppendSubscriptionProperties appends the subscription_properties of a StreamingPullResponse. The message is written, empty, also when
// both are false: clients look at whether it is there.
func AppendSubscriptionProperties(dst []byte, exactlyOnce, ordered bool) []byte {
	at := len(dst) + 2
	dst = append(dst, tagBytes4, 0)
	if exactlyOnce {
		dst = append(dst, 0x08, 1)
	}
	if ordered {
		dst = append(dst, 0x10, 1)
	}
	dst[at-1] = byte(len(dst) - at)
	return dst
}

// AckConfirmation says how acknowledgements on a stream of an exactly-once subscription went. Its members are ack ids as received.
type AckConfirmation struct {
	Done            [][]byte
	Invalid         [][]byte // malformed or expired: permanent
	Unordered       [][]byte // an earlier message of the ordering key is still unacknowledged
	TemporaryFailed [][]byte
}

// ModackConfirmation says how deadline changes on a stream of an exactly-once subscription went. Its members are ack ids as received.
type ModackConfirmation struct {
	Done            [][]byte
	Invalid         [][]byte // malformed or expired: permanent
	TemporaryFailed [][]byte
}

// AppendAckConfirmation appends the acknowledge_confirmation of a StreamingPullResponse.
func AppendAckConfirmation(dst []byte, c *AckConfirmation) []byte {
	size := listBytes(c.Done) + listBytes(c.Invalid) + listBytes(c.Unordered) + listBytes(c.TemporaryFailed)
	dst = protowire.AppendVarint(append(dst, tagBytes5), uint64(size))
	dst = appendList(dst, tagBytes1, c.Done)
	dst = appendList(dst, tagBytes2, c.Invalid)
	dst = appendList(dst, tagBytes3, c.Unordered)
	return appendList(dst, tagBytes4, c.TemporaryFailed)
}

// AppendModackConfirmation appends the modify_ack_deadline_confirmation of a StreamingPullResponse.
func AppendModackConfirmation(dst []byte, c *ModackConfirmation) []byte {
	size := listBytes(c.Done) + listBytes(c.Invalid) + listBytes(c.TemporaryFailed)
	dst = protowire.AppendVarint(append(dst, tagBytes3), uint64(size))
	dst = appendList(dst, tagBytes1, c.Done)
	dst = appendList(dst, tagBytes2, c.Invalid)
	return appendList(dst, tagBytes3, c.TemporaryFailed)
}

func listBytes(list [][]byte) (size int) {
	for _, item := range list {
		size += 1 + protowire.SizeBytes(len(item))
	}
	return size
}

func appendList(dst []byte, tag byte, list [][]byte) []byte {
	for _, item := range list {
		dst = protowire.AppendBytes(append(dst, tag), item)
	}
	return dst
}
