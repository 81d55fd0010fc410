package registry

import (
	"fmt"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var errMissingRevision = invalid("Missing revision ID")

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func notFound(text string) error { return status.Error(codes.NotFound, text) }

func exhausted(format string, args ...any) error {
	return status.Errorf(codes.ResourceExhausted, format, args...)
}

// reasonBytesMax bounds what a status tells of the reason: it travels in a header, and a large one would break the call.
const reasonBytesMax = 1024

// quoted is the text of an error that may repeat what a client sent.
func quoted(err error) string {
	text := err.Error()
	if len(text) > reasonBytesMax {
		text = text[:reasonBytesMax] + "..."
	}
	return strings.TrimSuffix(strings.ToValidUTF8(text, "\uFFFD"), ".")
}

func incompatible(name, id string, reason error) error {
	return invalid("Compatibility checking failed to commit a schema revision for (schema=%q). "+
		"(reason=\"Revision is incompatible with previous revision: %s. Failed with error: %s\"). "+
		"Refer to https://cloud.google.com/pubsub/docs/schemas for more information.", name, id, quoted(reason))
}

// refusedBy is the refusal of a message by the last revision that it was held against.
func refusedBy(name string, v *revision, encoding pubsubpb.Encoding, reason error) error {
	return refused(v.show(pubsubpb.SchemaView_BASIC).Type, encoding, fmt.Sprintf("Could not validate message with any schema revision for schema: %s, "+
		"last checked revision: revision_id=%s failed with status: %s.", name, v.id, quoted(reason)))
}

// refused is the refusal of a message. Its text is the service's; the reason is in the details, where the service has it, too.
func refused(kind pubsubpb.Schema_Type, encoding pubsubpb.Encoding, reason string) error {
	language := "AVRO"
	if kind == pubsubpb.Schema_PROTOCOL_BUFFER {
		language = "PROTO"
	}
	refusal := status.New(codes.InvalidArgument, "Invalid data in message: Message failed schema validation.")
	detailed, err := refusal.WithDetails(&errdetails.ErrorInfo{
		Reason: fmt.Sprintf("INVALID_%v_%s_MESSAGE", encoding, language), Domain: "pubsub.googleapis.com",
		Metadata: map[string]string{"message": "Message failed schema validation", "revisionInfo": reason},
	})
	if err != nil {
		return refusal.Err()
	}
	return detailed.Err()
}
