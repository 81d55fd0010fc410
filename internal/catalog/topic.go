package catalog

import (
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

var topicKind = kind[*pubsubpb.Topic]{
	noun: "Topic",
	hint: "'schema_settings' rather than 'schemaSetings'", // the service's own spelling
	fields: []field[*pubsubpb.Topic]{
		{name: "name", use: immutable, settle: func(t *pubsubpb.Topic) error { _, err := ParseTopic(t.Name); return err }},
		{name: "labels", settle: func(t *pubsubpb.Topic) error { return checkLabels(t.Labels) }},
		{name: "message_storage_policy", settle: checkStoragePolicy},
		{name: "kms_key_name", settle: checkKey},
		{name: "schema_settings", settle: checkSchemaSettings, clearedByEmpty: true,
			parts: []string{"schema", "encoding", "first_revision_id", "last_revision_id"}},
		{name: "satisfies_pzs", use: ignored},
		{name: "message_retention_duration", settle: checkTopicRetention},
		{name: "state", use: ignored},
		{name: "ingestion_data_source_settings", settle: func(t *pubsubpb.Topic) error { return settleIngestion(t.IngestionDataSourceSettings) }},
		{name: "message_transforms", settle: func(t *pubsubpb.Topic) error { return CheckTransforms(t.MessageTransforms) }},
		{name: "tags", use: ignored},
	},
	whole: func(t *pubsubpb.Topic) error {
		t.State = topicState(t)
		return nil
	},
}

// NewTopic is the topic that a CreateTopic describes. An error is INVALID_ARGUMENT.
func NewTopic(in *pubsubpb.Topic) (*pubsubpb.Topic, error) { return topicKind.create(in) }

// UpdateTopic is the topic after an UpdateTopic of the fields that the mask names: paths of the API definition, snake_case, top-level
// or within schema_settings. A named field that is not set in the topic sent is cleared. An error is INVALID_ARGUMENT.
func UpdateTopic(current, in *pubsubpb.Topic, mask *fieldmaskpb.FieldMask) (*pubsubpb.Topic, error) {
	return topicKind.update(current, in, mask)
}

// TopicReferences names the resources that must exist for a creation (nil mask) or an update that gave the topic: its schema.
func TopicReferences(topic *pubsubpb.Topic, mask *fieldmaskpb.FieldMask) []string {
	if schema := topic.GetSchemaSettings().GetSchema(); schema != "" && namesPath(mask, "schema_settings") {
		return []string{schema}
	}
	return nil
}

func checkStoragePolicy(t *pubsubpb.Topic) error {
	if t.MessageStoragePolicy == nil {
		return nil
	}
	regions := t.MessageStoragePolicy.AllowedPersistenceRegions
	if len(regions) == 0 {
		return badArgument("MessageStoragePolicy::allowed_persistence_regions")
	}
	for _, region := range regions {
		if region == "" {
			return badArgument("MessageStoragePolicy::allowed_persistence_regions")
		}
	}
	return nil
}

// checkKey holds a key's name against projects/*/locations/*/keyRings/*/cryptoKeys/*.
func checkKey(t *pubsubpb.Topic) error {
	if t.KmsKeyName != "" && !matchesPath(t.KmsKeyName, "projects", "locations", "keyRings", "cryptoKeys") {
		return badArgument("kms_key_name")
	}
	return nil
}

// matchesPath reports whether a name is made of the collections, each followed by a segment that is not empty.
func matchesPath(name string, collections ...string) bool {
	segments := strings.Split(name, "/")
	if len(segments) != 2*len(collections) {
		return false
	}
	for i, collection := range collections {
		if segments[2*i] != collection || segments[2*i+1] == "" {
			return false
		}
	}
	return true
}

func checkSchemaSettings(t *pubsubpb.Topic) error {
	settings := t.SchemaSettings
	if settings == nil {
		return nil
	}
	if _, revision, err := ParseSchema(settings.Schema); err != nil || revision != "" {
		return BadName(settings.Schema)
	}
	if settings.Encoding != pubsubpb.Encoding_JSON && settings.Encoding != pubsubpb.Encoding_BINARY {
		return invalid("Invalid schema encoding provided")
	}
	return nil
}

func checkTopicRetention(t *pubsubpb.Topic) error { return checkRetention(t.MessageRetentionDuration) }

// checkRetention holds a retention, of a topic or a subscription, against the bounds; unset is for the caller to judge.
func checkRetention(d *durationpb.Duration) error {
	if d == nil {
		return nil
	}
	if err := checkDuration("message_retention_duration", d); err != nil {
		return err
	}
	if !atLeast(d, limit.RetentionMin) || !atMost(d, limit.RetentionMax) {
		return outOfBounds("message retention duration", formatDuration(d),
			formatDuration(durationpb.New(limit.RetentionMin)), formatDuration(durationpb.New(limit.RetentionMax)))
	}
	return nil
}
