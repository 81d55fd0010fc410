package rest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// violation is one thing that is wrong with a request. The texts are those of Google's own front.
type violation struct {
	field       string // path from the body's root; empty for the whole
	description string
}

// badRequest says what is wrong with a request's text or query.
type badRequest struct{ violations []violation }

func (b *badRequest) Error() string {
	lines := make([]string, 0, len(b.violations))
	for _, v := range b.violations {
		lines = append(lines, v.description)
	}
	return strings.Join(lines, "\n")
}

// GRPCStatus is INVALID_ARGUMENT with a detail that lists the violations.
func (b *badRequest) GRPCStatus() *status.Status {
	detail := new(errdetails.BadRequest)
	for _, v := range b.violations {
		detail.FieldViolations = append(detail.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.field, Description: v.description})
	}
	plain := status.New(codes.InvalidArgument, b.Error())
	detailed, err := plain.WithDetails(detail)
	if err != nil { // a text that is no UTF-8 cannot be a detail
		return plain
	}
	return detailed
}

func refuse(field, format string, args ...any) error {
	return &badRequest{[]violation{{field, strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD")}}}
}

// excerptBytes is how much of a text stands before and behind the place that an error shows.
const excerptBytes = 30

// malformed is the error for a text that is not JSON from here on. It shows the place.
func (d *decoder) malformed(expected string) error {
	what := "Unexpected token."
	if d.pos >= len(d.data) {
		what = "Unexpected end of string."
	}
	at := min(d.pos, len(d.data))
	before, behind := d.data[max(at-excerptBytes, 0):at], d.data[at:min(at+excerptBytes, len(d.data))]
	oneLine := strings.NewReplacer("\n", " ", "\r", " ", "\t", " ")
	return refuse("", "Invalid JSON payload received. %s %s\n%s%s\n%s^", what, expected,
		oneLine.Replace(string(before)), oneLine.Replace(string(behind)), strings.Repeat(" ", utf8.RuneCount(before)))
}

// valueBytesShown bounds how much of a wrong value an error repeats.
const valueBytesShown = 100

// invalidText is the error for a value that its field cannot have.
func (d *decoder) invalidText(f *field, text []byte) error {
	if f.kind == protoreflect.BytesKind {
		return refuse(d.place(), "Invalid value at '%s' (%s), Base64 decoding failed for %s", d.place(), typeName(f), shown(text))
	}
	return d.invalidValue(typeName(f), text)
}

func (d *decoder) invalidValue(kind string, text []byte) error {
	return refuse(d.place(), "Invalid value at '%s' (%s), %s", d.place(), kind, shown(text))
}

// invalid is the error for a value that is wrong for another reason.
func (d *decoder) invalid(reason string) error {
	return refuse(d.place(), "Invalid value at '%s', %s", d.place(), reason)
}

// mismatch is the error for something else where a message should be.
func (d *decoder) mismatch(p *plan) error {
	start := d.pos
	if !d.skip(d.depth) {
		return d.malformed("Expected a value.")
	}
	if len(d.path) == 0 {
		return refuse("", "Invalid JSON payload received. The text must be an object.")
	}
	return d.invalidValue("type.googleapis.com/"+string(p.name), d.data[start:d.pos])
}

func shown(text []byte) string {
	if len(text) > valueBytesShown {
		text = text[:valueBytesShown]
	}
	if len(text) > 0 && (text[0] == '"' || text[0] == '{' || text[0] == '[') {
		return string(text)
	}
	return strconv.Quote(string(text))
}

// typeName is how error texts call a field's type.
func typeName(f *field) string {
	if f.kind == protoreflect.EnumKind {
		return "type.googleapis.com/" + string(f.descriptor.Enum().FullName())
	}
	return "TYPE_" + strings.ToUpper(f.kind.String())
}

// place is the path to the value that is being read, in the definition's words: messages[0].data.
func (d *decoder) place() string {
	var b strings.Builder
	for i, s := range d.path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s.field.name)
		if s.index >= 0 {
			fmt.Fprintf(&b, "[%d]", s.index)
		}
	}
	return b.String()
}
