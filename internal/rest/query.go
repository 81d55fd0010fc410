package rest

import (
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// system are the query parameters that every call of Google's APIs takes and no request has as a field.
var system = []string{"access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser", "uploadType", "upload_protocol", "userIp"}

// isSystem reports whether a query parameter is meant for the front and not for the RPC. Those that begin with a dollar sign all are.
func isSystem(name string) bool {
	return strings.HasPrefix(name, "$") || slices.Contains(system, name)
}

// appendQuery appends the fields that query parameters set: page_size, pageSize, options.requestedPolicyVersion.
func appendQuery(out []byte, p *plan, query url.Values) ([]byte, error) {
	if len(query) == 0 {
		return out, nil
	}
	names := make([]string, 0, len(query))
	for name := range query {
		if !isSystem(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // so that the same query gets the same answer
	for _, name := range names {
		fields := p.lead(name)
		if fields == nil || !isParameter(fields[len(fields)-1]) {
			return nil, refuse("", "Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", name, name)
		}
		last := fields[len(fields)-1]
		if !last.list && len(query[name]) > 1 {
			return nil, refuse(name, "Invalid value at '%s', the parameter is given more than once", name)
		}
		for _, text := range query[name] {
			var err error
			if out, err = appendLed(out, fields, text); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// isParameter reports whether a field can be written as one text.
func isParameter(f *field) bool { return f.message == nil || f.message.special }

// appendLed appends a value given as a text, and around it the messages that lead to it. Readers of the encoding merge these with what
// stands before.
func appendLed(out []byte, fields []*field, text string) ([]byte, error) {
	d := decoder{out: out}
	starts := make([]int, 0, len(fields))
	for _, f := range fields {
		d.path = append(d.path, step{f, -1})
	}
	for _, f := range fields[:len(fields)-1] {
		starts = append(starts, d.open(f.number))
	}
	if err := d.parameter(fields[len(fields)-1], text); err != nil {
		return nil, err
	}
	for _, start := range slices.Backward(starts) {
		d.close(start)
	}
	return d.out, nil
}

// parameter appends a field whose value is given as a text without quotes.
func (d *decoder) parameter(f *field, text string) error {
	if f.message != nil {
		start := d.open(f.number)
		if f.message.name == "google.protobuf.FieldMask" {
			d.fieldMask([]byte(text))
		} else if err := d.wellKnown(f.message, quoted(text)); err != nil {
			return err
		}
		d.close(start)
		return nil
	}
	if d.scalarText(f, []byte(text), true) || f.kind == protoreflect.EnumKind && d.numeric(f, []byte(text), true) {
		return nil
	}
	return d.invalidText(f, []byte(text))
}

// quoted is a text as a JSON string.
func quoted(text string) []byte {
	b := []byte{'"'}
	for _, c := range []byte(text) {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// build makes the encoded request of a call: the body, then what the query says, then what the path says, which nothing contradicts.
func (b *binding) build(out, body []byte, query url.Values, segments []string) ([]byte, error) {
	out, err := b.appendBody(out, body)
	if err != nil {
		return nil, err
	}
	if out, err = appendQuery(out, b.method.request, query); err != nil {
		return nil, err
	}
	for i := range b.variables {
		v := &b.variables[i]
		if out, err = appendLed(out, v.fields, v.value(segments)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *binding) appendBody(out, body []byte) ([]byte, error) {
	switch {
	case !b.hasBody:
		return decode(out, body, noFields)
	case b.body == nil:
		return decode(out, body, b.method.request)
	default:
		message, err := decode(nil, body, b.body.message)
		if err != nil {
			return nil, err
		}
		out = protowire.AppendTag(out, b.body.number, protowire.BytesType)
		return protowire.AppendBytes(out, message), nil
	}
}

// noFields is the body of a call that takes none: clients may send an empty object.
var noFields = &plan{name: "google.protobuf.Empty"}
