package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// avroKind is what a type of Avro is, without its parts.
type avroKind uint8

const (
	avroNull avroKind = iota + 1
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroRecord
	avroEnum
	avroArray
	avroMap
	avroFixed
	avroUnion
)

var avroKindNames = [...]string{"", "null", "boolean", "int", "long", "float", "double", "bytes", "string",
	"record", "enum", "array", "map", "fixed", "union"}

func (k avroKind) String() string { return avroKindNames[k] }

// avroPrimitives are the types without parts, by their names. They are shared by all schemas.
var avroPrimitives = func() map[string]*avroType {
	all := make(map[string]*avroType)
	for k := avroNull; k <= avroString; k++ {
		all[k.String()] = &avroType{kind: k, empty: k == avroNull}
	}
	return all
}()

// avroType is a compiled type. Types may contain themselves, through their parts.
type avroType struct {
	kind       avroKind
	name       string   // of record, enum and fixed: with its namespace
	aliases    []string // with their namespaces
	fields     []avroField
	fieldAt    map[string]int
	symbols    []string
	symbolAt   map[string]int
	hasDefault bool // of enum: readers take unknown symbols for its default
	size       int  // of fixed
	items      *avroType
	branches   []*avroType
	branchAt   map[string]int // by the name that the JSON encoding gives a branch
	// empty says that every value has no bytes at all in the binary encoding. Walking over many such values would take time that no
	// byte of the message pays for, so the walker does not.
	empty bool
}

type avroField struct {
	name       string
	aliases    []string
	kind       *avroType
	hasDefault bool
}

// label is how the type is called in unions and in errors.
func (t *avroType) label() string {
	if t.name != "" {
		return t.name
	}
	return t.kind.String()
}

// avroCompiler compiles one definition.
type avroCompiler struct {
	named map[string]*avroType
	steps int // left for looking at defaults
}

// defaultStepsMax bounds the work on the defaults of a definition: a few for each byte that one may have.
const defaultStepsMax = 10 * limit.SchemaDefinitionBytesMax

func compileAvro(definition string) (*avroType, error) {
	decoder := json.NewDecoder(strings.NewReader(definition))
	decoder.UseNumber()
	var root any
	if err := decoder.Decode(&root); err != nil {
		return nil, fmt.Errorf("the definition is not JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the definition's JSON value")
	}
	if _, union := root.([]any); union {
		return nil, errors.New("a definition has one top-level type, not a union")
	}
	c := &avroCompiler{named: make(map[string]*avroType), steps: defaultStepsMax}
	return c.compile(root, "", 0)
}

func (c *avroCompiler) compile(v any, namespace string, depth int) (*avroType, error) {
	if depth > limit.SchemaNestingMax {
		return nil, fmt.Errorf("the definition is nested more than %d deep", limit.SchemaNestingMax)
	}
	switch v := v.(type) {
	case string:
		return c.reference(v, namespace)
	case []any:
		return c.union(v, namespace, depth)
	case map[string]any:
		return c.object(v, namespace, depth)
	default:
		return nil, fmt.Errorf("a type is a name, an object or an array, not %s", excerpt(v))
	}
}

func (c *avroCompiler) reference(name, namespace string) (*avroType, error) {
	if t := avroPrimitives[name]; t != nil {
		return t, nil
	}
	if t := c.named[qualify(name, namespace)]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("unknown type %s", excerpt(name))
}

var errNoType = errors.New("an object that describes a type lacks its type")

func (c *avroCompiler) object(v map[string]any, namespace string, depth int) (*avroType, error) {
	kind, is := v["type"].(string)
	if _, has := v["type"]; !has {
		return nil, errNoType
	}
	if !is {
		return nil, fmt.Errorf("an object that describes a type needs a type that is a name: %s", excerpt(v["type"]))
	}
	switch kind {
	case "record", "error":
		return c.record(v, namespace, depth)
	case "enum":
		return c.enum(v, namespace)
	case "fixed":
		return c.fixed(v, namespace)
	case "array", "map":
		part, t := "items", &avroType{kind: avroArray}
		if kind == "map" {
			part, t = "values", &avroType{kind: avroMap}
		}
		if v[part] == nil {
			return nil, fmt.Errorf("a type %s needs %s", kind, part)
		}
		var err error
		t.items, err = c.compile(v[part], namespace, depth+1)
		return t, err
	}
	return c.reference(kind, namespace)
}

func (c *avroCompiler) union(v []any, namespace string, depth int) (*avroType, error) {
	t := &avroType{kind: avroUnion, branchAt: make(map[string]int, len(v))}
	if len(v) == 0 || len(v) > limit.SchemaUnionBranchesMax {
		return nil, fmt.Errorf("a union has 1 to %d branches, not %d", limit.SchemaUnionBranchesMax, len(v))
	}
	for i, part := range v {
		branch, err := c.compile(part, namespace, depth+1)
		if err != nil {
			return nil, err
		}
		if branch.kind == avroUnion {
			return nil, errors.New("a union must not contain another one immediately")
		}
		if _, twice := t.branchAt[branch.label()]; twice {
			return nil, fmt.Errorf("a union contains %s twice", excerpt(branch.label()))
		}
		t.branchAt[branch.label()] = i
		t.branches = append(t.branches, branch)
	}
	return t, nil
}

// declare enters a named type, before its parts are compiled, so that they may refer to it. It gives the namespace of the parts.
func (c *avroCompiler) declare(t *avroType, v map[string]any, namespace string) (inner string, err error) {
	name, is := v["name"].(string)
	if !is {
		return "", fmt.Errorf("a type %v needs a name", t.kind)
	}
	if own, given := v["namespace"]; given {
		if namespace, is = own.(string); !is || !validAvroNamespace(namespace) {
			return "", fmt.Errorf("invalid namespace %s", excerpt(own))
		}
	}
	t.name = qualify(name, namespace)
	simple := t.name[strings.LastIndexByte(t.name, '.')+1:]
	inner = strings.TrimSuffix(t.name[:len(t.name)-len(simple)], ".")
	if !validAvroName(simple) || !validAvroNamespace(inner) || avroPrimitives[t.name] != nil {
		return "", fmt.Errorf("invalid name %s", excerpt(name))
	}
	if c.named[t.name] != nil {
		return "", fmt.Errorf("the type %s is defined twice", excerpt(t.name))
	}
	c.named[t.name] = t
	aliases, err := texts(v, "aliases")
	for _, alias := range aliases {
		t.aliases = append(t.aliases, qualify(alias, inner))
	}
	return inner, err
}

func (c *avroCompiler) record(v map[string]any, namespace string, depth int) (*avroType, error) {
	t := &avroType{kind: avroRecord, fieldAt: make(map[string]int)}
	inner, err := c.declare(t, v, namespace)
	if err != nil {
		return nil, err
	}
	list, is := v["fields"].([]any)
	if !is {
		return nil, fmt.Errorf("the record %s needs fields, an array", excerpt(t.name))
	}
	empty := true
	for _, part := range list {
		f, err := c.field(part, inner, depth+1)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", excerpt(t.name), err)
		}
		if _, twice := t.fieldAt[f.name]; twice {
			return nil, fmt.Errorf("the record %s has two fields %s", excerpt(t.name), excerpt(f.name))
		}
		t.fieldAt[f.name] = len(t.fields)
		t.fields = append(t.fields, f)
		empty = empty && f.kind.empty
	}
	t.empty = empty // false for a record inside itself, as long as it is not complete: then it has a part of its own kind, never none
	return t, nil
}

func (c *avroCompiler) field(part any, namespace string, depth int) (f avroField, err error) {
	v, is := part.(map[string]any)
	if !is {
		return f, fmt.Errorf("a field is an object, not %s", excerpt(part))
	}
	if f.name, is = v["name"].(string); !is || !validAvroName(f.name) {
		return f, fmt.Errorf("invalid name of a field: %s", excerpt(v["name"]))
	}
	if f.kind, err = c.compile(v["type"], namespace, depth); err != nil {
		return f, fmt.Errorf("field %s: %w", excerpt(f.name), err)
	}
	if f.aliases, err = texts(v, "aliases"); err != nil {
		return f, err
	}
	var value any
	if value, f.hasDefault = v["default"]; f.hasDefault && !fitsAvro(f.kind, value, 0, &c.steps) {
		return f, fmt.Errorf("the default of field %s is not of its type: %s", excerpt(f.name), excerpt(value))
	}
	return f, nil
}

func (c *avroCompiler) enum(v map[string]any, namespace string) (*avroType, error) {
	t := &avroType{kind: avroEnum, symbolAt: make(map[string]int)}
	if _, err := c.declare(t, v, namespace); err != nil {
		return nil, err
	}
	symbols, err := texts(v, "symbols")
	if err != nil {
		return nil, err
	}
	if v["symbols"] == nil {
		return nil, fmt.Errorf("the enum %s needs symbols", excerpt(t.name))
	}
	for i, symbol := range symbols {
		if _, twice := t.symbolAt[symbol]; twice || !validAvroName(symbol) {
			return nil, fmt.Errorf("the enum %s has an invalid symbol, or one twice: %s", excerpt(t.name), excerpt(symbol))
		}
		t.symbolAt[symbol] = i
	}
	t.symbols = symbols
	if value, given := v["default"]; given {
		symbol, _ := value.(string)
		if _, t.hasDefault = t.symbolAt[symbol]; !t.hasDefault {
			return nil, fmt.Errorf("the default of the enum %s is none of its symbols: %s", excerpt(t.name), excerpt(value))
		}
	}
	return t, nil
}

func (c *avroCompiler) fixed(v map[string]any, namespace string) (*avroType, error) {
	t := &avroType{kind: avroFixed}
	if _, err := c.declare(t, v, namespace); err != nil {
		return nil, err
	}
	number, _ := v["size"].(json.Number)
	size, err := number.Int64()
	if err != nil || size < 0 || size > math.MaxInt32 {
		return nil, fmt.Errorf("the fixed %s needs a size from 0 to %d", excerpt(t.name), math.MaxInt32)
	}
	t.size, t.empty = int(size), size == 0
	return t, nil
}

// texts is a member that, if it is there, is an array of strings.
func texts(v map[string]any, member string) ([]string, error) {
	value, given := v[member]
	if !given {
		return nil, nil
	}
	list, is := value.([]any)
	all := make([]string, len(list))
	for i := range list {
		var text bool
		all[i], text = list[i].(string)
		is = is && text
	}
	if !is {
		return nil, fmt.Errorf("%s is an array of strings, not %s", member, excerpt(value))
	}
	return all, nil
}

// qualify is the full name of a name used inside a namespace. A name with a dot is full already.
func qualify(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func validAvroName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_', 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return name != ""
}

func validAvroNamespace(namespace string) bool {
	return namespace == "" || !slices.ContainsFunc(strings.Split(namespace, "."), func(part string) bool { return !validAvroName(part) })
}

// excerptBytesMax bounds what an error repeats of a definition or a message.
const excerptBytesMax = 80

// excerpt shows a part of the input in an error.
func excerpt(v any) string {
	plain, is := v.(string)
	if !is {
		written, err := json.Marshal(v) // which came from JSON
		if err != nil {
			panic("bug: part of a definition cannot be written as JSON: " + err.Error())
		}
		plain = string(written)
	}
	text := fmt.Sprintf("%.*q", excerptBytesMax, plain)
	if len(text) > 2*excerptBytesMax {
		text = strings.ToValidUTF8(text[:2*excerptBytesMax], "") + `..."`
	}
	return text
}
