package catalog

import "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

// This broker neither takes messages from other services nor writes them to any. Such settings are kept and returned, and the state says
// that they are inert: of all states of the API, "not found" is the one that is true of every place that cannot be reached from here.
const (
	bigQueryState     = pubsubpb.BigQueryConfig_NOT_FOUND
	cloudStorageState = pubsubpb.CloudStorageConfig_NOT_FOUND
	bigtableState     = pubsubpb.BigtableConfig_NOT_FOUND
)

func markIngestion(settings *pubsubpb.IngestionDataSourceSettings) {
	switch source := settings.Source.(type) {
	case *pubsubpb.IngestionDataSourceSettings_AwsKinesis_:
		source.AwsKinesis.State = pubsubpb.IngestionDataSourceSettings_AwsKinesis_STREAM_NOT_FOUND
	case *pubsubpb.IngestionDataSourceSettings_CloudStorage_:
		source.CloudStorage.State = pubsubpb.IngestionDataSourceSettings_CloudStorage_BUCKET_NOT_FOUND
	case *pubsubpb.IngestionDataSourceSettings_AzureEventHubs_:
		source.AzureEventHubs.State = pubsubpb.IngestionDataSourceSettings_AzureEventHubs_EVENT_HUB_NOT_FOUND
	case *pubsubpb.IngestionDataSourceSettings_AwsMsk_:
		source.AwsMsk.State = pubsubpb.IngestionDataSourceSettings_AwsMsk_CLUSTER_NOT_FOUND
	case *pubsubpb.IngestionDataSourceSettings_ConfluentCloud_:
		source.ConfluentCloud.State = pubsubpb.IngestionDataSourceSettings_ConfluentCloud_CLUSTER_NOT_FOUND
	}
}

func topicState(t *pubsubpb.Topic) pubsubpb.Topic_State {
	if t.IngestionDataSourceSettings != nil {
		return pubsubpb.Topic_INGESTION_RESOURCE_ERROR
	}
	return pubsubpb.Topic_ACTIVE
}

func subscriptionState(s *pubsubpb.Subscription) pubsubpb.Subscription_State {
	if s.BigqueryConfig != nil || s.CloudStorageConfig != nil || s.BigtableConfig != nil {
		return pubsubpb.Subscription_RESOURCE_ERROR
	}
	return pubsubpb.Subscription_ACTIVE
}
