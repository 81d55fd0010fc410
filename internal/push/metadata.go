package push

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// ofConnection are headers that say how a request travels, or that programs behind a web server take for that, as Proxy. A publisher has no
// say in that: attributes of these names are left out.
var ofConnection = map[string]bool{
	"Authorization": true, "Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Keep-Alive": true,
	"Proxy": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "User-Agent": true,
}

// metadata is what an unwrapped push with metadata says in headers: the attributes under their own names, so that one called
// Content-Type says what the body is, and where the message comes from. ok is false when an attribute cannot be a header.
func metadata(to *target, d *delivery.Delivery) (header http.Header, ok bool) {
	header = make(http.Header, 8)
	for key, value := range wire.Attributes(d.Message) {
		if !validName(key) || !validValue(value) {
			return nil, false
		}
		if name := textproto.CanonicalMIMEHeaderKey(string(key)); !ofConnection[name] && !ours(name) {
			header[name] = []string{string(value)}
		}
	}
	set := func(name, value string) { header[name] = []string{value} }
	set("X-Goog-Pubsub-Subscription-Name", to.Subscription)
	set("X-Goog-Pubsub-Message-Id", strconv.FormatUint(d.ID, 10))
	set("X-Goog-Pubsub-Publish-Time", string(appendTime(nil, d.Time)))
	if key := wire.OrderingKey(d.Message); to.Ordered && len(key) > 0 {
		if !validValue(key) {
			return nil, false
		}
		set("X-Goog-Pubsub-Ordering-Key", string(key))
		set(orderingKeyHeader, string(key))
	}
	return header, true
}

// ours says whether a header's name is one by which the broker speaks of the message: an attribute must not pass for its word.
func ours(name string) bool {
	return name == orderingKeyHeader || strings.HasPrefix(name, "X-Goog-Pubsub-")
}

// orderingKeyHeader is where Google's emulator has the ordering key.
const orderingKeyHeader = "X-Goog-Ordering-Key"

// validName says whether text is a token of RFC 9110, section 5.6.2.
func validName(text []byte) bool {
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		default:
			switch c {
			case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
			default:
				return false
			}
		}
	}
	return len(text) > 0
}

// validValue says whether text can be the value of a header, RFC 9110, section 5.5: no control characters but the tab.
func validValue(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
