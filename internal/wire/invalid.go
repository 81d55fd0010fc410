package wire

import (
	"fmt"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Rule says which rule a request breaks. When it breaks several, the smallest is reported: that is the order in which the product
// checks them.
type Rule uint8

// The rules of a request.
const (
	RuleRequestBytes      Rule = iota + 1 // more bytes than any request may have
	RuleMalformed                         // not a valid encoding of the message type
	RuleMessagesMin                       // no message to publish
	RuleMessagesMax                       // more than limit.PublishMessagesMax messages
	RulePublishBytes                      // more than limit.PublishRequestBytesMax bytes
	RuleEmpty                             // a message with neither data nor attributes
	RuleAttributes                        // more than limit.AttributesMax attributes on a message
	RuleAttributeKeyEmpty                 // an attribute without a key
	RuleAttributeKeyBytes                 // a key longer than limit.AttributeKeyBytesMax
	RuleAttributeKeyName                  // a key that the product reserves
	RuleAttributeValue                    // a value longer than limit.AttributeValueBytesMax
	RuleOrderingKeyBytes                  // an ordering key longer than limit.OrderingKeyBytesMax
	RuleOrderingKeyMixed                  // different ordering keys in one request
)

// InvalidError says why a request is refused: an INVALID_ARGUMENT whose message is Text. Texts are the product's where they are known.
type InvalidError struct {
	Rule Rule
	Text string
}

func (e *InvalidError) Error() string { return e.Text }

// ErrMalformed is what every scanner answers for bytes that the official decoder refuses.
var ErrMalformed = &InvalidError{RuleMalformed, "Request contains an invalid argument: it is not a valid protocol buffer."}

// RequestTooLarge is the error for a request of more than bytesMax bytes on the wire.
func RequestTooLarge(bytesMax int) *InvalidError {
	return &InvalidError{RuleRequestBytes, fmt.Sprintf("Request payload size exceeds the limit: %d bytes.", bytesMax)}
}

const quotas = "Refer to https://cloud.google.com/pubsub/quotas for more information."

// fault is the first breach of the smallest rule that a scan has met. The zero value is no fault.
type fault struct {
	rule  Rule
	value int    // the count or size that breaks the rule
	key   []byte // the attribute's, part of the request
}

// note keeps the breach when it is of a smaller rule than the one kept so far.
func (f *fault) note(rule Rule, value int, key []byte) {
	if f.rule == 0 || rule < f.rule {
		*f = fault{rule, value, key}
	}
}

// err spells the fault out; nil when there is none.
func (f *fault) err() error {
	if f.rule == 0 {
		return nil
	}
	return &InvalidError{f.rule, f.text()}
}

func (f *fault) text() string {
	switch f.rule {
	case RuleMessagesMin:
		return "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1."
	case RuleMessagesMax:
		return tooLarge("message_count", f.value, limit.PublishMessagesMax)
	case RulePublishBytes:
		return tooLarge("request_size", f.value, limit.PublishRequestBytesMax)
	case RuleEmpty:
		return "One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute."
	case RuleAttributes:
		return fmt.Sprintf("One or more messages in the publish request has too many attributes. The number of attributes is %d, but the maximum allowed is %d. %s",
			f.value, limit.AttributesMax, quotas)
	case RuleAttributeKeyEmpty:
		return "One or more messages in the publish request has an attribute with an empty key. " + quotas
	case RuleAttributeKeyBytes:
		// The product does not repeat the key here, and a long one would not fit into a status.
		return fmt.Sprintf("The attribute \"\" in the request has a key that is too long. The length is %d characters, but the maximum allowed is %d. %s",
			f.value, limit.AttributeKeyBytesMax, quotas)
	case RuleAttributeKeyName:
		return fmt.Sprintf("The attribute \"%s\" in the request has a key that is not allowed. Attribute keys must not start with \"%s\". %s",
			f.key, reservedPrefix, quotas)
	case RuleAttributeValue:
		return fmt.Sprintf("The attribute \"%s\" in the request has a value that is too long. The length is %d characters, but the maximum allowed is %d. %s",
			f.key, f.value, limit.AttributeValueBytesMax, quotas)
	case RuleOrderingKeyBytes:
		return fmt.Sprintf("The ordering key in the request is too long. The length is %d characters, but the maximum allowed is %d. %s",
			f.value, limit.OrderingKeyBytesMax, quotas)
	case RuleOrderingKeyMixed:
		return "In a single publish request, all messages must have no ordering key or they must all have the same ordering key."
	}
	panic(fmt.Sprintf("bug: a scan noted a breach of rule %d", f.rule))
}

func tooLarge(name string, value, valueMax int) string {
	return fmt.Sprintf("The value for %s is too large. You passed %d in the request, but the maximum value is %d.", name, value, valueMax)
}
