package rest

import (
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// selection says which part of an answer a client wants. It is nil for all of a value. Otherwise it has the wanted fields of a message,
// by their numbers, or the wanted keys of a map; a field with a nil selection is wanted whole.
type selection struct {
	fields map[protoreflect.FieldNumber]*selection
	keys   map[string]bool
}

// partial reads what a request says of the fields that it wants: the parameters fields and $fields, or the header X-Goog-FieldMask.
//
//	mask = item { "," item }
//	item = name { ( "/" | "." ) name } [ "(" mask ")" ]
//	name = a field in either spelling, a key of a map, or "*" for all of them
//
// Without one, all is wanted. A name that the answer m cannot have is an error.
func partial(m protoreflect.MessageDescriptor, query url.Values, header http.Header) (*selection, error) {
	text := strings.Join(append(append([]string(nil), query["fields"]...), query["$fields"]...), ",")
	if text == "" {
		text = strings.Join(header.Values("X-Goog-FieldMask"), ",")
	}
	if strings.Trim(text, ", \t") == "" {
		return nil, nil
	}
	if len(text) > limit.RESTMaskBytesMax {
		return nil, refuse("fields", "Error expanding 'fields' parameter. The mask has %d bytes; at most %d are allowed.", len(text), limit.RESTMaskBytesMax)
	}
	p := maskParser{text: text}
	choices, err := p.mask(0)
	if err == nil && p.at < len(text) {
		err = p.malformed()
	}
	if err != nil {
		return nil, err
	}
	return choose(m, choices, text)
}

// choice is an item of a mask: a name, and what is wanted of it; nothing means all.
type choice struct {
	path string // from the answer's root, for error texts
	name string
	of   []choice
}

type maskParser struct {
	text string
	at   int
	path []string // to the item that is being read
}

// maskNestingMax is far deeper than answers are.
const maskNestingMax = 20

func (p *maskParser) malformed() error {
	return refuse(p.text, "Error expanding 'fields' parameter. The mask is malformed at character %d: %s", p.at+1, shown([]byte(p.text[p.at:])))
}

// mask takes items up to a closing parenthesis or the end.
func (p *maskParser) mask(depth int) ([]choice, error) {
	var choices []choice
	for {
		c, err := p.item(depth)
		if err != nil {
			return nil, err
		}
		choices = append(choices, c)
		if !p.take(',') {
			return choices, nil
		}
	}
}

func (p *maskParser) item(depth int) (choice, error) {
	p.space()
	end := p.at
	for end < len(p.text) && !strings.ContainsRune(",()/. \t", rune(p.text[end])) {
		end++
	}
	name := p.text[p.at:end]
	if name == "" || depth >= maskNestingMax {
		return choice{}, p.malformed()
	}
	p.at = end
	p.path = append(p.path, name)
	defer func() { p.path = p.path[:len(p.path)-1] }()
	c := choice{path: strings.Join(p.path, "."), name: name}
	switch {
	case p.take('/') || p.take('.'):
		inner, err := p.item(depth + 1)
		c.of = []choice{inner}
		return c, err
	case p.take('('):
		var err error
		if c.of, err = p.mask(depth + 1); err == nil && !p.take(')') {
			err = p.malformed()
		}
		return c, err
	}
	return c, nil
}

func (p *maskParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *maskParser) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// choose finds the fields of m that choices name, and adds their selections up.
func choose(m protoreflect.MessageDescriptor, choices []choice, text string) (*selection, error) {
	s := &selection{fields: make(map[protoreflect.FieldNumber]*selection)}
	for _, c := range choices {
		if c.name != "*" {
			f := m.Fields().ByJSONName(c.name)
			if f == nil {
				f = m.Fields().ByTextName(c.name)
			}
			if f == nil {
				return nil, noSuchPath(c.path, text)
			}
			if err := s.add(f, c, text); err != nil {
				return nil, err
			}
			continue
		}
		// What follows * must be found in one of the fields, not in each.
		var first error
		found := false
		for i := range m.Fields().Len() {
			if err := s.add(m.Fields().Get(i), c, text); err == nil {
				found = true
			} else if first == nil {
				first = err
			}
		}
		if !found && first != nil {
			return nil, first
		}
	}
	return s, nil
}

func noSuchPath(path, text string) error {
	return refuse(text, "Error expanding 'fields' parameter. Cannot find matching fields for path '%s'.", path)
}

// add wants what c says of field f, besides what is wanted already.
func (s *selection) add(f protoreflect.FieldDescriptor, c choice, text string) error {
	inner, err := within(f, c, text)
	if err != nil {
		return err
	}
	switch before, there := s.fields[f.Number()]; {
	case !there || inner == nil:
		s.fields[f.Number()] = inner
	case before != nil:
		before.merge(inner)
	}
	return nil
}

// within is what c wants of the value of field f.
func within(f protoreflect.FieldDescriptor, c choice, text string) (*selection, error) {
	switch {
	case len(c.of) == 0:
		return nil, nil
	case f.IsMap():
		wanted := &selection{keys: make(map[string]bool)}
		for _, key := range c.of {
			if len(key.of) > 0 { // no answer has a map of messages
				return nil, noSuchPath(key.of[0].path, text)
			}
			wanted.keys[key.name] = true
		}
		if wanted.keys["*"] {
			return nil, nil
		}
		return wanted, nil
	case f.Message() != nil && !isSpecial(f.Message()):
		return choose(f.Message(), c.of, text)
	default:
		return nil, noSuchPath(c.of[0].path, text)
	}
}

// merge wants what more wants, too. Both are of the same type and neither is nil.
func (s *selection) merge(more *selection) {
	for key := range more.keys {
		s.keys[key] = true
	}
	for number, inner := range more.fields {
		switch before, there := s.fields[number]; {
		case !there || inner == nil:
			s.fields[number] = inner
		case before != nil:
			before.merge(inner)
		}
	}
}

// of is the part of an answer that is wanted: the answer itself, or a message that shares what it has with it.
func (s *selection) of(answer proto.Message) proto.Message {
	if s == nil {
		return answer
	}
	return s.pick(answer.ProtoReflect()).Interface()
}

func (s *selection) pick(from protoreflect.Message) protoreflect.Message {
	to := from.New()
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		inner, wanted := s.fields[f.Number()]
		switch {
		case !wanted:
		case inner == nil:
			to.Set(f, v)
		case f.IsMap():
			some := to.Mutable(f).Map()
			v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				if inner.keys[key.String()] {
					some.Set(key, value)
				}
				return true
			})
		case f.IsList():
			some := to.Mutable(f).List()
			for i := range v.List().Len() {
				some.Append(protoreflect.ValueOfMessage(inner.pick(v.List().Get(i).Message())))
			}
		default:
			to.Set(f, protoreflect.ValueOfMessage(inner.pick(v.Message())))
		}
		return true
	})
	return to
}
