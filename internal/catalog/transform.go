package catalog

import (
	"strconv"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// CheckTransforms holds the transforms of a topic or a subscription against the rules that need no JavaScript engine: each does something,
// few enough are enabled, and the functions' names differ within the resource, disabled ones included.
func CheckTransforms(transforms []*pubsubpb.MessageTransform) error {
	enabled, names := 0, make(map[string]bool)
	for _, transform := range transforms {
		if !transform.Disabled {
			enabled++
		}
		if err := checkTransform(transform); err != nil {
			return err
		}
		if udf := transform.GetJavascriptUdf(); udf != nil {
			if names[udf.FunctionName] {
				return invalid("The function names of the message transforms must be unique. Function name given more than once: %s", quoted(udf.FunctionName))
			}
			names[udf.FunctionName] = true
		}
	}
	if enabled > limit.TransformsEnabledMax {
		return invalid("The request exceeds the maximum number of enabled message transforms. Maximum enabled transforms: %d. Enabled transforms: %d",
			limit.TransformsEnabledMax, enabled)
	}
	return nil
}

func checkTransform(transform *pubsubpb.MessageTransform) error {
	switch {
	case transform.GetJavascriptUdf() != nil:
		return checkFunction(transform.GetJavascriptUdf())
	case transform.GetCompression() != nil:
		return checkCompression(transform.GetCompression())
	case transform.GetAiInference() != nil:
		return checkInference(transform.GetAiInference())
	default:
		return badArgument("MessageTransform::transform")
	}
}

func checkFunction(udf *pubsubpb.JavaScriptUDF) error {
	switch size := len(udf.Code); {
	case udf.FunctionName == "":
		return badArgument("MessageTransform::javascript_udf::function_name")
	case strings.TrimSpace(udf.Code) == "":
		return badArgument("MessageTransform::javascript_udf::code")
	case size > limit.TransformCodeBytesMax:
		return tooLarge("javascript_udf code_size", strconv.Itoa(size), strconv.Itoa(limit.TransformCodeBytesMax))
	}
	return nil
}

func checkCompression(compression *pubsubpb.Compression) error {
	if compression.CompressionAlgorithm != pubsubpb.Compression_ZLIB {
		return badArgument("MessageTransform::compression::compression_algorithm")
	}
	switch compression.CompressionMode {
	case pubsubpb.Compression_COMPRESS, pubsubpb.Compression_DECOMPRESS:
		return nil
	default:
		return badArgument("MessageTransform::compression::compression_mode")
	}
}

// checkInference takes the two forms of an endpoint's name: one of the project's own, and a publisher's model.
func checkInference(inference *pubsubpb.AIInference) error {
	if !matchesPath(inference.Endpoint, "projects", "locations", "endpoints") &&
		!matchesPath(inference.Endpoint, "projects", "locations", "publishers", "models") {
		return badArgument("MessageTransform::ai_inference::endpoint")
	}
	if inference.ServiceAccountEmail != "" && !validAccount(inference.ServiceAccountEmail) {
		return badArgument("MessageTransform::ai_inference::service_account_email")
	}
	return nil
}
