package schema

import (
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/options"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	// The types that a definition may import.
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// wellKnown are the files that a definition may import, by their paths.
var wellKnown = func() map[string]protoreflect.FileDescriptor {
	all := make(map[string]protoreflect.FileDescriptor)
	for _, file := range []protoreflect.FileDescriptor{
		anypb.File_google_protobuf_any_proto, durationpb.File_google_protobuf_duration_proto, emptypb.File_google_protobuf_empty_proto,
		fieldmaskpb.File_google_protobuf_field_mask_proto, structpb.File_google_protobuf_struct_proto,
		timestamppb.File_google_protobuf_timestamp_proto, wrapperspb.File_google_protobuf_wrappers_proto,
	} {
		all[file.Path()] = file
	}
	return all
}()

// protoFile is the name under which a definition, which has none, is compiled.
const protoFile = "schema.proto"

// protoMessage is a message type as a schema.
type protoMessage struct {
	descriptor protoreflect.MessageDescriptor
	types      *dynamicpb.Types // what an Any may hold: the file's own types and the well-known ones
	walk       *protoWalk
}

// compileProto reads a file in the language of Protocol Buffers, version 2 or 3. It may define one message at its top level, with
// others inside, and nothing else.
func compileProto(definition string) (*protoMessage, error) {
	if err := boundNesting(definition); err != nil {
		return nil, err
	}
	handler := reporter.NewHandler(nil)
	syntax, err := parser.Parse(protoFile, strings.NewReader(definition), handler)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ResultFromAST(syntax, true, handler)
	if err != nil {
		return nil, err
	}
	file := parsed.FileDescriptorProto()
	if err := checkProtoFile(file); err != nil {
		return nil, err
	}
	imports := make(linker.Files, 0, len(file.GetDependency()))
	for _, path := range file.GetDependency() {
		imported, err := linker.NewFileRecursive(wellKnown[path])
		if err != nil {
			return nil, err
		}
		imports = append(imports, imported)
	}
	linked, err := linker.Link(parsed, imports, &linker.Symbols{}, handler)
	if err != nil {
		return nil, err
	}
	if _, err := options.InterpretOptions(linked, handler); err != nil {
		return nil, err
	}
	return newProtoMessage(linked.FileDescriptorProto())
}

// checkProtoFile holds a file against what a schema may consist of.
func checkProtoFile(file *descriptorpb.FileDescriptorProto) error {
	switch {
	case file.GetSyntax() == "editions":
		return errors.New("editions are not supported; the syntax is proto2 or proto3")
	case len(file.GetService()) > 0:
		return errors.New("a definition has no services")
	case len(file.GetExtension()) > 0:
		return errors.New("a definition has no extensions")
	case len(file.GetMessageType()) != 1 || len(file.GetEnumType()) > 0:
		return fmt.Errorf("a definition has one top-level message and no other top-level type, not %d messages and %d enums",
			len(file.GetMessageType()), len(file.GetEnumType()))
	}
	for _, path := range file.GetDependency() {
		if wellKnown[path] == nil {
			return fmt.Errorf("a definition imports nothing but well-known types, not %s", excerpt(path))
		}
	}
	return nil
}

// linkCompiledProto reads a FileDescriptorSet, of which the first file that has the root message is the schema.
func linkCompiledProto(in *pubsubpb.CompiledProtoSchema) (*protoMessage, error) {
	set := new(descriptorpb.FileDescriptorSet)
	if err := (proto.UnmarshalOptions{RecursionLimit: limit.SchemaNestingMax}).Unmarshal(in.CompiledBytes, set); err != nil {
		return nil, fmt.Errorf("compiled_bytes is not a FileDescriptorSet: %w", err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(strings.TrimPrefix(in.RootMessage, ".")))
	message, is := found.(protoreflect.MessageDescriptor)
	if err != nil || !is {
		return nil, fmt.Errorf("compiled_bytes has no message %s", excerpt(in.RootMessage))
	}
	return &protoMessage{descriptor: message, types: dynamicpb.NewTypes(files), walk: newProtoWalk(message)}, nil
}

func newProtoMessage(file *descriptorpb.FileDescriptorProto) (*protoMessage, error) {
	files := new(protoregistry.Files)
	for path, known := range wellKnown {
		if err := files.RegisterFile(known); err != nil {
			return nil, fmt.Errorf("register %s: %w", path, err)
		}
	}
	descriptor, err := protodesc.NewFile(file, files)
	if err != nil {
		return nil, err
	}
	if err := files.RegisterFile(descriptor); err != nil {
		return nil, err
	}
	message := descriptor.Messages().Get(0)
	return &protoMessage{descriptor: message, types: dynamicpb.NewTypes(files), walk: newProtoWalk(message)}, nil
}

var errProtoNesting = fmt.Errorf("the definition is nested more than %d deep", limit.SchemaNestingMax)

// boundNesting refuses deep brackets before the parser, which recurses, sees them. Brackets in strings and comments do not count.
func boundNesting(definition string) error {
	depth := 0
	for i := 0; i < len(definition); i++ {
		switch c := definition[i]; c {
		case '{', '[', '(', '<':
			if depth++; depth > limit.SchemaNestingMax {
				return errProtoNesting
			}
		case '}', ']', ')', '>':
			depth = max(depth-1, 0)
		case '"', '\'':
			for i++; i < len(definition) && definition[i] != c && definition[i] != '\n'; i++ {
				if definition[i] == '\\' {
					i++
				}
			}
		case '/':
			i = skipComment(definition, i)
		}
	}
	return nil
}

// skipComment gives the last byte of the comment that begins at i, or i when none does.
func skipComment(definition string, i int) int {
	rest := definition[i:]
	end := 0
	switch {
	case strings.HasPrefix(rest, "//"):
		end = strings.IndexByte(rest, '\n')
	case strings.HasPrefix(rest, "/*"):
		if end = strings.Index(rest[2:], "*/"); end >= 0 {
			end += 3
		}
	}
	if end < 0 {
		return len(definition)
	}
	return i + end
}
