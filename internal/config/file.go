package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fileBytesMax bounds a configuration file; a longer one is something else.
const fileBytesMax = 1 << 20

// readFile sets what a YAML file says. It goes on after a problem, so that one run names them all.
func readFile(name string, table []setting) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	if info.Size() > fileBytesMax {
		return fmt.Errorf("configuration file %s: has %d bytes, at most %d are allowed", name, info.Size(), fileBytesMax)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	return readYAML(name, content, table)
}

func readYAML(name string, content []byte, table []setting) error {
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r := reader{name: name, table: table, lines: make(map[string]int)}
	for documents := 1; ; documents++ {
		var document yaml.Node
		var damage *yaml.LoadError
		switch err := loader.Load(&document); {
		case err == io.EOF:
			return errors.Join(r.problems...)
		case errors.As(err, &damage):
			return fmt.Errorf("%s:%d: %s", name, damage.Mark.Line, damage.Message)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case documents > 1:
			r.problem(document.Content[0], "a second YAML document; one is allowed")
			return errors.Join(r.problems...)
		}
		r.section("", document.Content[0])
	}
}

// reader walks one file.
type reader struct {
	name     string
	table    []setting
	lines    map[string]int // where each key was first seen
	problems []error
}

func (r *reader) problem(at *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s:%d: %s", r.name, at.Line, fmt.Sprintf(format, args...)))
}

// section reads a mapping whose keys stand below prefix, which is empty or ends with a dot. An empty section says nothing.
func (r *reader) section(prefix string, node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		r.problem(node, "%s must hold keys and values (%s)", sectionName(prefix), strings.Join(r.known(prefix), ", "))
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		r.entry(prefix, node.Content[i], node.Content[i+1])
	}
}

func (r *reader) entry(prefix string, key, content *yaml.Node) {
	path := prefix + key.Value
	if line, seen := r.lines[path]; seen {
		r.problem(key, "%s: given twice, first in line %d", path, line)
		return
	}
	r.lines[path] = key.Line
	if i := slices.IndexFunc(r.table, func(s setting) bool { return s.key == path }); i >= 0 {
		r.scalar(&r.table[i], key, content)
		return
	}
	if key.Kind == yaml.ScalarNode && len(r.known(path+".")) > 0 {
		r.section(path+".", content)
		return
	}
	r.problem(key, "unknown key %q in %s (known: %s)", key.Value, sectionName(prefix), strings.Join(r.known(prefix), ", "))
}

func (r *reader) scalar(s *setting, key, content *yaml.Node) {
	if content.Kind != yaml.ScalarNode {
		r.problem(key, "%s: must be one value; allowed: %s", s.key, s.value.accepts())
		return
	}
	if content.Tag == "!!null" {
		r.problem(key, "%s: has no value; allowed: %s", s.key, s.value.accepts())
		return
	}
	if err := s.take(s.key, content.Value); err != nil {
		r.problem(content, "%s", err)
	}
}

// known lists the keys and sections directly below prefix.
func (r *reader) known(prefix string) []string {
	var keys []string
	for _, s := range r.table {
		if rest, below := strings.CutPrefix(s.key, prefix); below {
			first, _, _ := strings.Cut(rest, ".")
			keys = append(keys, first)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func sectionName(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return "section " + strings.TrimSuffix(prefix, ".")
}
