package declare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// lineError is a mistake in a line of the file.
type lineError struct {
	line    int
	message string
}

func (e *lineError) Error() string { return fmt.Sprintf("%d: %s", e.line, e.message) }

func mistake(line int, format string, args ...any) error {
	return &lineError{line, fmt.Sprintf(format, args...)}
}

// jsonWriter turns YAML into JSON that has every key and every value on the line on which the YAML has it, counted from the first line
// of the node, so that what the JSON decoder says of a line can be said of the file's.
type jsonWriter struct {
	out  bytes.Buffer
	line int
}

// jsonOf gives the JSON of a node; its first line is the node's.
func jsonOf(node *yaml.Node) ([]byte, error) {
	w := &jsonWriter{line: node.Line}
	if err := w.value(node); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

func (w *jsonWriter) value(node *yaml.Node) error {
	w.to(node.Line)
	switch node.Kind {
	case yaml.MappingNode:
		return w.mapping(node)
	case yaml.SequenceNode:
		return w.sequence(node)
	case yaml.ScalarNode:
		return w.scalar(node)
	case yaml.AliasNode:
		return mistake(node.Line, "alias *%s: write out what it stands for", node.Value)
	}
	return mistake(node.Line, "neither keys and values, a list nor a value")
}

func (w *jsonWriter) to(line int) {
	for ; w.line < line; w.line++ {
		w.out.WriteByte('\n')
	}
}

func (w *jsonWriter) mapping(node *yaml.Node) error {
	w.out.WriteByte('{')
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			return mistake(key.Line, "a key must be one word")
		}
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.to(key.Line)
		w.quoted(key.Value)
		w.out.WriteByte(':')
		if err := w.value(node.Content[i+1]); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *jsonWriter) sequence(node *yaml.Node) error {
	w.out.WriteByte('[')
	for i, item := range node.Content {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(item); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

// scalar writes a value as JSON has it. Numbers and words that JSON has no form for stay text, which the decoder takes where it fits.
func (w *jsonWriter) scalar(node *yaml.Node) error {
	switch node.Tag {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool":
		var truth bool
		if err := node.Load(&truth); err != nil {
			return mistake(node.Line, "%q is neither true nor false", node.Value)
		}
		w.out.WriteString(strconv.FormatBool(truth))
	case "!!int":
		var number int64
		if err := node.Load(&number); err != nil {
			return mistake(node.Line, "%q is too large a number", node.Value)
		}
		w.out.WriteString(strconv.FormatInt(number, 10))
	case "!!float":
		var number float64
		if err := node.Load(&number); err != nil {
			return mistake(node.Line, "%q is no number", node.Value)
		}
		text, err := json.Marshal(number)
		if err != nil { // JSON has no infinity
			w.quoted(node.Value)
			return nil
		}
		w.out.Write(text)
	case "!!str", "!!timestamp", "!!binary":
		w.quoted(node.Value)
	case "": // a number that nextNode took from JSON; the reader of a file gives every value a tag
		w.out.WriteString(node.Value)
	default:
		return mistake(node.Line, "tag %s is unknown", node.Tag)
	}
	return nil
}

func (w *jsonWriter) quoted(text string) {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic("bug: declare: a string that JSON cannot hold: " + err.Error())
	}
	w.out.Write(quoted)
}
