package push

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// appendEnvelope appends the body of a wrapped push: one message as JSON. Members that would be empty are left out, except the
// message's id and time, which come in both spellings.
func appendEnvelope(dst []byte, to *target, d *delivery.Delivery) []byte {
	dst = append(dst, `{"message":{`...)
	if attributes := attributesOf(d.Message); len(attributes) > 0 {
		dst = append(dst, `"attributes":{`...)
		for i, a := range attributes {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, a.key)
			dst = append(dst, ':')
			dst = appendString(dst, a.value)
		}
		dst = append(dst, `},`...)
	}
	if data := wire.Data(d.Message); len(data) > 0 {
		dst = append(dst, `"data":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, data)
		dst = append(dst, `",`...)
	}
	dst = strconv.AppendUint(append(dst, `"messageId":"`...), d.ID, 10)
	dst = strconv.AppendUint(append(dst, `","message_id":"`...), d.ID, 10)
	dst = append(dst, `",`...)
	if key := wire.OrderingKey(d.Message); to.Ordered && len(key) > 0 {
		dst = appendString(append(dst, `"orderingKey":`...), key)
		dst = append(dst, ',')
	}
	dst = appendTime(append(dst, `"publishTime":"`...), d.Time)
	dst = appendTime(append(dst, `","publish_time":"`...), d.Time)
	dst = appendString(append(dst, `"},"subscription":`...), []byte(to.Subscription))
	if d.Attempt > 0 {
		dst = strconv.AppendInt(append(dst, `,"deliveryAttempt":`...), int64(d.Attempt), 10)
	}
	return append(dst, '}')
}

// envelopeBytes is about how long the envelope of a message is.
func envelopeBytes(to *target, d *delivery.Delivery) int {
	return len(d.Message)*4/3 + len(to.Subscription) + 256
}

type attribute struct{ key, value []byte }

// attributesOf gives a message's attributes, each key once.
func attributesOf(message []byte) []attribute {
	var attributes []attribute
next:
	for key, value := range wire.Attributes(message) {
		for i := range attributes {
			if string(attributes[i].key) == string(key) {
				attributes[i].value = value
				continue next
			}
		}
		attributes = append(attributes, attribute{key, value})
	}
	return attributes
}

// appendTime appends a publish time as the JSON form of a Timestamp has it: with three digits behind the second, or none.
func appendTime(dst []byte, unixNanos int64) []byte {
	layout := "2006-01-02T15:04:05.000Z"
	if unixNanos%int64(time.Second) == 0 {
		layout = "2006-01-02T15:04:05Z"
	}
	return time.Unix(0, unixNanos).UTC().AppendFormat(dst, layout)
}

const hexDigits = "0123456789abcdef"

// appendString appends text, which is valid UTF-8, as a JSON string. Beyond what JSON demands it escapes DEL and the line separators
// that JavaScript takes for the end of a line.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(append(dst, text[from:i]...), '\\', c)
			from = i + 1
		case c < ' ' || c == 0x7f:
			dst = append(append(dst, text[from:i]...), '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			from = i + 1
		case c == 0xe2 && i+2 < len(text) && text[i+1] == 0x80 && text[i+2]&^1 == 0xa8: // U+2028 and U+2029
			dst = append(append(dst, text[from:i]...), '\\', 'u', '2', '0', '2', hexDigits[text[i+2]&15])
			i += 2
			from = i + 1
		}
	}
	return append(append(dst, text[from:]...), '"')
}
