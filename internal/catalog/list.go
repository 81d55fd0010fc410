package catalog

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strconv"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Page gives the part of a sorted list of names that a list call asked for, and the token of the part that follows, which is empty
// at the end. size is the call's page_size: 0 means limit.ListPageDefault, and more than limit.ListPageMax means that. token is the
// call's page_token. A token stands for a name, not for a position: names that come and go between two calls neither repeat nor hide others.
// A negative size or a token that was not given out is INVALID_ARGUMENT.
func Page(sorted []string, size int32, token string) (page []string, next string, err error) {
	after, count, err := ParsePage(size, token)
	if err != nil {
		return nil, "", err
	}
	if token != "" {
		from, found := slices.BinarySearch(sorted, after)
		if found {
			from++
		}
		sorted = sorted[from:]
	}
	if len(sorted) <= count {
		return sorted, "", nil
	}
	page = sorted[:count:count]
	return page, PageToken(page[count-1]), nil
}

// ParsePage checks a list call's page_size and page_token and says what they ask for: up to count names that sort after the one given.
func ParsePage(size int32, token string) (after string, count int, err error) {
	if size < 0 {
		return "", 0, tooSmall("page_size", strconv.Itoa(int(size)), "0")
	}
	if token != "" {
		if after, err = parsePageToken(token); err != nil {
			return "", 0, err
		}
	}
	switch count = min(int(size), limit.ListPageMax); count {
	case 0:
		return after, limit.ListPageDefault, nil
	default:
		return after, count, nil
	}
}

// PageToken is the page_token with which a list goes on after the name: the name and a checksum of it, in URL-safe base64.
func PageToken(last string) string {
	token := binary.BigEndian.AppendUint32([]byte(last), tokenSum(last))
	return base64.RawURLEncoding.EncodeToString(token)
}

func parsePageToken(token string) (string, error) {
	bytes, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(bytes) < crc32.Size {
		return "", badArgument("page_token")
	}
	last := string(bytes[:len(bytes)-crc32.Size])
	if binary.BigEndian.Uint32(bytes[len(last):]) != tokenSum(last) {
		return "", badArgument("page_token")
	}
	return last, nil
}

// tokenSum tells tokens of ours from accidents; it is no protection against forgery, and a forged token shows nothing that the list does not.
func tokenSum(last string) uint32 {
	return crc32.Checksum([]byte("page:"+last), crc32.MakeTable(crc32.Castagnoli))
}
