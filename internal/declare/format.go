package declare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// Format writes resources as a file that Parse reads: sorted by name, with full names, and without the fields that have their default.
// What cannot be declared (a subscription that is detached or whose topic was deleted, a deleted schema) is named in a comment instead.
func Format(r *Resources) ([]byte, error) {
	sections, refused, err := document(r)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for section := range slices.Chunk(sections, 2) {
		text, err := yaml.Dump(&yaml.Node{Kind: yaml.MappingNode, Content: section}, yaml.WithLineWidth(-1))
		if err != nil {
			return nil, fmt.Errorf("write YAML: %w", err)
		}
		out.Write(text)
	}
	for _, why := range refused {
		out.WriteString("# not exported: " + why + "\n")
	}
	return out.Bytes(), nil
}

// FormatJSON is Format in JSON, on one line, which Parse reads as well. JSON has no comments: refused says what cannot be declared, and why.
func FormatJSON(r *Resources) (line []byte, refused []string, err error) {
	sections, refused, err := document(r)
	if err != nil {
		return nil, nil, err
	}
	line, err = jsonOf(&yaml.Node{Kind: yaml.MappingNode, Content: sections})
	if err != nil {
		return nil, nil, fmt.Errorf("write JSON: %w", err)
	}
	return append(line, '\n'), refused, nil
}

// document gives the file's keys and their values in turn, and what is not in it.
func document(r *Resources) (sections []*yaml.Node, refused []string, err error) {
	for _, part := range []func() ([]*yaml.Node, []string, string, error){
		func() ([]*yaml.Node, []string, string, error) { return entries(&schemaKind, r.Schemas) },
		func() ([]*yaml.Node, []string, string, error) { return entries(&topicKind, r.Topics) },
		func() ([]*yaml.Node, []string, string, error) { return entries(&subscriptionKind, r.Subscriptions) },
	} {
		items, left, name, err := part()
		if err != nil {
			return nil, nil, err
		}
		refused = append(refused, left...)
		if len(items) > 0 {
			sections = append(sections, textNode(name), &yaml.Node{Kind: yaml.SequenceNode, Content: items})
		}
	}
	return sections, refused, nil
}

func entries[R resource](k *kind[R], all []R) (items []*yaml.Node, refused []string, section string, err error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b R) int { return strings.Compare(a.GetName(), b.GetName()) })
	for _, r := range all {
		if problem := k.undeclarable(r); problem != "" {
			refused = append(refused, r.GetName()+", "+problem)
			continue
		}
		item, err := nodeOf(k.minimal(r))
		if err != nil {
			return nil, nil, "", err
		}
		items = append(items, item)
	}
	return items, refused, k.collection, nil
}

// undeclarable says why creating the resource anew would not give what it is, empty if it would.
func (k *kind[R]) undeclarable(r R) string {
	m := r.ProtoReflect()
	if fd := fieldOf(r, "detached"); fd != nil && m.Get(fd).Bool() {
		return "which is detached"
	}
	text := protojson.Format(r)
	switch {
	case fieldOf(r, "topic") != nil && m.Get(fieldOf(r, "topic")).String() == catalog.DeletedTopic:
		return "whose topic was deleted"
	case strings.Contains(text, `"`+catalog.DeletedSchema+`"`):
		return "whose schema was deleted"
	}
	return ""
}

// minimal leaves out every field without which creation gives the same.
func (k *kind[R]) minimal(r R) R {
	whole := k.settled(r)
	least := proto.Clone(whole).(R)
	for fd := k.foreign(least); fd != nil; fd = k.foreign(least) {
		least.ProtoReflect().Clear(fd)
	}
	clearStates(least.ProtoReflect())
	for _, f := range slices.Backward(k.fields) {
		without := proto.Clone(least).(R)
		without.ProtoReflect().Clear(fieldOf(r, f.Name))
		if settled, err := k.settle(without); err == nil && k.same(settled, whole) && without.GetName() != "" {
			least = without
		}
	}
	return least
}

// clearStates leaves out what the server says of the places that a resource names: whether it reaches them.
func clearStates(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Name() == "state" && fd.Kind() == protoreflect.EnumKind:
			m.Clear(fd)
		case fd.Message() != nil && !fd.IsList() && !fd.IsMap():
			clearStates(v.Message())
		}
		return true
	})
}

// same compares what can be declared.
func (k *kind[R]) same(a, b R) bool {
	return !slices.ContainsFunc(k.fields, func(f catalog.Field) bool { return !sameField(a, b, f.Name) })
}

// nodeOf is the YAML of a message's JSON, in the style of people.
func nodeOf(m proto.Message) (*yaml.Node, error) {
	content, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	node, err := nextNode(decoder)
	if err != nil {
		return nil, fmt.Errorf("bug: declare: JSON of a resource: %w", err)
	}
	return node, nil
}

// nextNode reads one JSON value, which keeps the order of its members.
func nextNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		if v == '{' {
			node.Kind = yaml.MappingNode
		}
		for decoder.More() { // of an object, keys and values alternate
			child, err := nextNode(decoder)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		_, err := decoder.Token()
		return node, err
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	case string:
		return textNode(v), nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// textNode writes several lines as a block, unless it has a character that a block, or a plain word, does not keep.
func textNode(text string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	odd := strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || !unicode.IsPrint(r)) || r == '\uFEFF'
	})
	switch {
	case odd:
		node.Style = yaml.DoubleQuotedStyle
	case strings.Contains(text, "\n"):
		node.Style = yaml.LiteralStyle
	}
	return node
}
