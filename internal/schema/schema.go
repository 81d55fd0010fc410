// Package schema holds the two languages in which a schema of the API can be written, Apache Avro and Protocol Buffers: it compiles
// definitions, says whether a message follows one, in either of the API's encodings, and whether one revision may follow another.
//
// It is pure, and it is written for input that wants to do harm:
//
//  1. Whatever it is given, it answers with a verdict or an error. A panic of a library becomes an error.
//  2. Sizes and nesting are bounded before memory or time is spent on what exceeds them.
//  3. A message is walked over beside the compiled schema; no value is built of it. The one exception is the JSON of Protocol Buffers,
//     which the official library reads, and there the number of values is bounded first.
//
// A [Schema] is never changed after [Compile]; it is safe for concurrent use.
package schema

import (
	"errors"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Schema is a compiled definition.
type Schema struct {
	avro  *avroType     // one of the two
	proto *protoMessage // is set
}

// ErrType says that a definition is neither Avro nor Protocol Buffers.
//
//lint:ignore ST1005 a text of the API
var ErrType = errors.New("Invalid schema type")

// Compile reads the definition of a schema; its name and revision do not matter. The error is ErrType, or says what is wrong with the
// definition.
func Compile(in *pubsubpb.Schema) (compiled *Schema, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			compiled, err = nil, fmt.Errorf("the definition cannot be read: %v", reason)
		}
	}()
	if size := DefinitionBytes(in); size > limit.SchemaDefinitionBytesMax {
		return nil, fmt.Errorf("the definition has %d bytes, more than the maximum of %d", size, limit.SchemaDefinitionBytesMax)
	} else if size == 0 && (in.GetType() == pubsubpb.Schema_AVRO || in.GetType() == pubsubpb.Schema_PROTOCOL_BUFFER) {
		return nil, errors.New("the definition is empty")
	}
	switch binary := in.GetCompiledProtoSchema(); {
	case binary != nil && in.GetDefinition() != "":
		return nil, errors.New("definition and compiled_proto_schema exclude each other")
	case in.GetType() == pubsubpb.Schema_AVRO && binary == nil:
		avro, err := compileAvro(in.GetDefinition())
		return &Schema{avro: avro}, err
	case in.GetType() == pubsubpb.Schema_AVRO:
		return nil, errors.New("compiled_proto_schema is for schemas of the type PROTOCOL_BUFFER")
	case in.GetType() == pubsubpb.Schema_PROTOCOL_BUFFER && binary == nil:
		proto, err := compileProto(in.GetDefinition())
		return &Schema{proto: proto}, err
	case in.GetType() == pubsubpb.Schema_PROTOCOL_BUFFER:
		proto, err := linkCompiledProto(binary)
		return &Schema{proto: proto}, err
	default:
		return nil, ErrType
	}
}

// DefinitionBytes is the size that the limit of a definition is about.
func DefinitionBytes(in *pubsubpb.Schema) int {
	return len(in.GetDefinition()) + len(in.GetCompiledProtoSchema().GetCompiledBytes()) + len(in.GetCompiledProtoSchema().GetRootMessage())
}

// Validate says what keeps a message from following the schema; nil when nothing does. Nothing may follow the message's value, and
// nothing may be in it that the schema does not know.
func (s *Schema) Validate(encoding pubsubpb.Encoding, message []byte) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("the message cannot be read: %v", reason)
		}
	}()
	switch {
	case len(message) == 0:
		return errEmpty
	case encoding == pubsubpb.Encoding_JSON && s.avro != nil:
		return validateAvroJSON(s.avro, message)
	case encoding == pubsubpb.Encoding_JSON:
		return s.proto.validateJSON(message)
	case s.avro != nil:
		return validateAvroBinary(s.avro, message)
	default:
		return s.proto.validateBinary(message)
	}
}

var errEmpty = errors.New("the message is empty")

// Compatible says what keeps later from being a revision of the same schema as earlier; nil when nothing does: messages that follow
// one of them must be of use to readers of the other.
func Compatible(earlier, later *Schema) error {
	switch {
	case earlier.avro != nil && later.avro != nil:
		return compatibleAvro(earlier.avro, later.avro)
	case earlier.proto != nil && later.proto != nil:
		return compatibleProto(earlier.proto.descriptor, later.proto.descriptor)
	default:
		return errors.New("the type of a schema cannot be changed")
	}
}
