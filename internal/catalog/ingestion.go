package catalog

import (
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// settleIngestion checks where a topic would take messages from, and marks it as what it is here: out of reach.
func settleIngestion(settings *pubsubpb.IngestionDataSourceSettings) error {
	if settings == nil {
		return nil
	}
	if _, known := pubsubpb.PlatformLogsSettings_Severity_name[int32(settings.GetPlatformLogsSettings().GetSeverity())]; !known {
		return badArgument("IngestionDataSourceSettings::platform_logs_settings::severity")
	}
	source, required := requiredOf(settings)
	if source == "" {
		return invalid("No ingestion source provided")
	}
	var missing []string
	for _, member := range required {
		if member.value == "" {
			missing = append(missing, member.name)
		}
	}
	if len(missing) > 0 {
		return invalid("Missing required fields for %s ingestion settings: %s", source, strings.Join(missing, ", "))
	}
	if storage := settings.GetCloudStorage(); storage != nil {
		if err := settleIngestedBucket(storage); err != nil {
			return err
		}
	}
	markIngestion(settings)
	return nil
}

// member is a field and what it was given.
type member struct{ name, value string }

// requiredOf is the source that the settings choose, by the name that texts use, and the members that it must have. Event Hubs' are
// optional in the API definition, yet each of them is part of the address.
func requiredOf(settings *pubsubpb.IngestionDataSourceSettings) (source string, required []member) {
	switch {
	case settings.GetAwsKinesis() != nil:
		s := settings.GetAwsKinesis()
		return "AwsKinesis", []member{{"stream_arn", s.StreamArn}, {"consumer_arn", s.ConsumerArn},
			{"aws_role_arn", s.AwsRoleArn}, {"gcp_service_account", s.GcpServiceAccount}}
	case settings.GetCloudStorage() != nil:
		return "CloudStorage", []member{{"bucket", settings.GetCloudStorage().Bucket}}
	case settings.GetAzureEventHubs() != nil:
		s := settings.GetAzureEventHubs()
		return "AzureEventHubs", []member{{"resource_group", s.ResourceGroup}, {"namespace", s.Namespace}, {"event_hub", s.EventHub},
			{"client_id", s.ClientId}, {"tenant_id", s.TenantId}, {"subscription_id", s.SubscriptionId}, {"gcp_service_account", s.GcpServiceAccount}}
	case settings.GetAwsMsk() != nil:
		s := settings.GetAwsMsk()
		return "AwsMsk", []member{{"cluster_arn", s.ClusterArn}, {"topic", s.Topic},
			{"aws_role_arn", s.AwsRoleArn}, {"gcp_service_account", s.GcpServiceAccount}}
	case settings.GetConfluentCloud() != nil:
		s := settings.GetConfluentCloud()
		return "ConfluentCloud", []member{{"bootstrap_server", s.BootstrapServer}, {"cluster_id", s.ClusterId}, {"topic", s.Topic},
			{"identity_pool_id", s.IdentityPoolId}, {"gcp_service_account", s.GcpServiceAccount}}
	default:
		return "", nil
	}
}

// settleIngestedBucket fills in the default format: text, a message a line.
func settleIngestedBucket(storage *pubsubpb.IngestionDataSourceSettings_CloudStorage) error {
	if !validBucket(storage.Bucket) {
		return badArgument("IngestionDataSourceSettings::cloud_storage::bucket")
	}
	if text := storage.GetTextFormat(); text != nil && text.Delimiter != nil && utf8.RuneCountInString(*text.Delimiter) != 1 {
		return invalid("Delimiter for Cloud Storage ingestion text format must be a single character. Delimiter provided: %s", quoted(*text.Delimiter))
	}
	if storage.InputFormat == nil {
		storage.InputFormat = &pubsubpb.IngestionDataSourceSettings_CloudStorage_TextFormat_{TextFormat: new(pubsubpb.IngestionDataSourceSettings_CloudStorage_TextFormat)}
	}
	if text := storage.GetTextFormat(); text != nil && text.Delimiter == nil {
		text.Delimiter = proto.String("\n")
	}
	if created := storage.MinimumObjectCreateTime; created != nil && !created.IsValid() {
		return badArgument("IngestionDataSourceSettings::cloud_storage::minimum_object_create_time")
	}
	return nil
}
