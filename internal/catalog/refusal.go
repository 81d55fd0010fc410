package catalog

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// quotedBytesMax bounds what a text repeats of a client's input: a status travels in a header, and a large one would break the call.
const quotedBytesMax = 1024

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// badArgument is the service's general text for a value that has no text of its own. The argument is a field's path.
func badArgument(argument string) error {
	return invalid("You have passed an invalid argument to the service (argument=%s).", argument)
}

func tooSmall(what, passed, least string) error {
	return invalid("The value for %s is too small. You passed %s in the request, but the minimum value is %s.", what, passed, least)
}

func tooLarge(what, passed, most string) error {
	return invalid("The value for %s is too large. You passed %s in the request, but the maximum value is %s.", what, passed, most)
}

func outOfBounds(what, passed, least, most string) error {
	return invalid("The value for %s is out of bounds. You passed %s in the request, but the value must be between %s and %s.",
		what, passed, least, most)
}

// quoted makes a client's input fit for a text: valid UTF-8 and not too long.
func quoted(input string) string {
	if len(input) <= quotedBytesMax {
		return strings.ToValidUTF8(input, "\uFFFD")
	}
	end := quotedBytesMax
	for end > quotedBytesMax-utf8.UTFMax && !utf8.RuneStart(input[end]) {
		end--
	}
	return strings.ToValidUTF8(input[:end], "\uFFFD") + "..."
}
