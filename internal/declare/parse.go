package declare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.yaml.in/yaml/v4"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/posthaste-io/posthaste/internal/catalog"
)

// BytesMax bounds a file of resources; 10,000 topics with two subscriptions each fit well.
const BytesMax = 16 << 20

// keys of the file.
const keysKnown = "project, schemas, topics, subscriptions"

// Parse reads a file of resources. name stands before each line number in errors; project is the one that short names belong to unless
// the file has a key "project". The error joins everything found wrong, one line each; what is wrong with fields is told in the API's words.
func Parse(name string, content []byte, project string) (*Resources, error) {
	if len(content) > BytesMax {
		return nil, fmt.Errorf("%s: has %d bytes, at most %d are allowed", name, len(content), BytesMax)
	}
	p := &parser{project: project, seen: make(map[string]int)}
	if err := p.read(content); err != nil {
		p.problems = append(p.problems, err)
	}
	for i, problem := range p.problems {
		var at *lineError
		if errors.As(problem, &at) {
			p.problems[i] = fmt.Errorf("%s:%w", name, at)
			continue
		}
		p.problems[i] = fmt.Errorf("%s: %w", name, problem)
	}
	if err := errors.Join(p.problems...); err != nil {
		return nil, err
	}
	return &p.resources, nil
}

// parser reads one file. It goes on after a problem with a resource, so that one run names them all.
type parser struct {
	project   string
	resources Resources
	seen      map[string]int // line by full name
	problems  []error
}

func (p *parser) read(content []byte) error {
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return err
	}
	var document yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		return nil // an empty file declares nothing
	case err != nil:
		return damage(err)
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case err == nil:
		return mistake(second.Content[0].Line, "a second YAML document; one is allowed")
	case !errors.Is(err, io.EOF):
		return damage(err)
	}
	return p.sections(document.Content[0])
}

// damage is what the YAML parser found.
func damage(err error) error {
	var at *yaml.LoadError
	if errors.As(err, &at) {
		return mistake(at.Mark.Line, "%s", at.Message)
	}
	return err
}

func (p *parser) sections(root *yaml.Node) error {
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return mistake(root.Line, "the file must hold keys and values (%s)", keysKnown)
	}
	sections := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i]
		switch first := sections[key.Value]; {
		case key.Kind != yaml.ScalarNode || !strings.Contains(", "+keysKnown+",", ", "+key.Value+","):
			p.problem(key.Line, "unknown key %q (known: %s)", key.Value, keysKnown)
		case first != nil:
			p.problem(key.Line, "%s: given twice, first in line %d", key.Value, first.Line)
		default:
			sections[key.Value] = root.Content[i+1]
		}
	}
	if node := sections["project"]; node != nil {
		p.readProject(node)
	}
	p.resources.Schemas = section(p, &schemaKind, sections["schemas"], func() *pubsubpb.Schema { return new(pubsubpb.Schema) })
	p.resources.Topics = section(p, &topicKind, sections["topics"], func() *pubsubpb.Topic { return new(pubsubpb.Topic) })
	p.resources.Subscriptions = section(p, &subscriptionKind, sections["subscriptions"], func() *pubsubpb.Subscription { return new(pubsubpb.Subscription) })
	return nil
}

func (p *parser) problem(line int, format string, args ...any) {
	p.problems = append(p.problems, mistake(line, format, args...))
}

func (p *parser) readProject(node *yaml.Node) {
	if node.Kind != yaml.ScalarNode {
		p.problem(node.Line, "project: must be one word")
		return
	}
	if _, err := catalog.ParseProject("projects/" + node.Value); err != nil {
		p.problem(node.Line, "project: %q is no project id", node.Value)
		return
	}
	p.project = node.Value
	p.resources.projects = []string{node.Value}
}

// section reads the resources of one kind.
func section[R resource](p *parser, k *kind[R], node *yaml.Node, fresh func() R) []R {
	if node == nil || node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		p.problem(node.Line, "%s: must be a list", k.collection)
		return nil
	}
	var all []R
	for _, item := range node.Content {
		r := fresh()
		if err := entry(p, k, item, r); err != nil {
			p.problems = append(p.problems, err)
			continue
		}
		all = append(all, r)
	}
	return all
}

// entry reads one resource. A single word is the name of one that has nothing but defaults.
func entry[R resource](p *parser, k *kind[R], node *yaml.Node, r R) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		r.ProtoReflect().Set(fieldOf(r, "name"), protoreflect.ValueOfString(node.Value))
	} else if node.Kind != yaml.MappingNode {
		return mistake(node.Line, "a %s must hold keys and values, or be a name", k.noun)
	} else if err := decode(node, r); err != nil {
		return err
	}
	if r.GetName() == "" {
		return mistake(node.Line, "a %s without a name", k.noun)
	}
	k.references(r, p.full)
	if fd := k.foreign(r); fd != nil {
		return mistake(lineOf(node, fd), "%s: %s cannot be declared: it is the server's own, or never shown", r.GetName(), fd.JSONName())
	}
	if _, err := k.settle(r); err != nil {
		return mistake(node.Line, "%s: %s", r.GetName(), status.Convert(err).Message())
	}
	if first, twice := p.seen[r.GetName()]; twice {
		return mistake(node.Line, "%s: declared twice, first in line %d", r.GetName(), first)
	}
	p.seen[r.GetName()] = node.Line
	return nil
}

// full makes a full name of a short one; others stay as they are.
func (p *parser) full(collection, name string) string {
	if name == "" || strings.Contains(name, "/") || p.project == "" {
		return name
	}
	return "projects/" + p.project + "/" + collection + "/" + name
}

// foreign is a field that is set and that a file cannot set, nil when there is none.
func (k *kind[R]) foreign(r R) (found protoreflect.FieldDescriptor) {
	r.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !k.configurable(fd) {
			found = fd
		}
		return found == nil
	})
	return found
}

func lineOf(node *yaml.Node, fd protoreflect.FieldDescriptor) int {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Value == fd.JSONName() || key.Value == string(fd.Name()) {
			return key.Line
		}
	}
	return node.Line
}

// located takes apart the JSON decoder's errors, whose first space may be one that does not break.
var located = regexp.MustCompile(`^proto:.*?\(line (\d+):\d+\): (.*)$`)

func decode(node *yaml.Node, into proto.Message) error {
	content, err := jsonOf(node)
	if err != nil {
		return err
	}
	err = protojson.Unmarshal(content, into)
	if err == nil {
		return nil
	}
	if parts := located.FindStringSubmatch(err.Error()); parts != nil {
		if line, bad := strconv.Atoi(parts[1]); bad == nil {
			return mistake(node.Line+line-1, "%s", parts[2])
		}
	}
	return mistake(node.Line, "%s", strings.TrimSpace(strings.TrimPrefix(err.Error(), "proto:")))
}
