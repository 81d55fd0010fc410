package catalog

import (
	"crypto/rand"
	"strconv"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/posthaste-io/posthaste/internal/filter"
	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

var subscriptionKind = kind[*pubsubpb.Subscription]{
	noun: "Subscription",
	hint: "'push_config' rather than 'pushConfig'",
	fields: []field[*pubsubpb.Subscription]{
		{name: "name", use: immutable, settle: func(s *pubsubpb.Subscription) error { _, err := ParseSubscription(s.Name); return err }},
		{name: "topic", use: immutable, settle: func(s *pubsubpb.Subscription) error { _, err := ParseTopic(s.Topic); return err }},
		{name: "push_config", settle: settlePush, carry: carryPushVersion},
		{name: "bigquery_config", settle: func(s *pubsubpb.Subscription) error { return settleBigQuery(s.BigqueryConfig) }},
		{name: "cloud_storage_config", settle: func(s *pubsubpb.Subscription) error { return settleCloudStorage(s.CloudStorageConfig) }},
		{name: "bigtable_config", settle: func(s *pubsubpb.Subscription) error { return settleBigtable(s.BigtableConfig) }},
		{name: "ack_deadline_seconds", settle: settleAckDeadline},
		{name: "retain_acked_messages"},
		{name: "expiration_policy", settle: settleExpiration},
		{name: "message_retention_duration", settle: settleRetention},
		{name: "labels", settle: func(s *pubsubpb.Subscription) error { return checkLabels(s.Labels) }},
		{name: "enable_message_ordering", use: immutable},
		{name: "filter", use: immutable, settle: checkFilter},
		{name: "dead_letter_policy", settle: settleDeadLetter, clearedByEmpty: true},
		{name: "retry_policy", settle: settleRetry},
		{name: "detached", use: ignored},
		{name: "enable_exactly_once_delivery"},
		{name: "topic_message_retention_duration", use: ignored},
		{name: "state", use: ignored},
		{name: "analytics_hub_subscription_info", use: ignored},
		{name: "message_transforms", settle: func(s *pubsubpb.Subscription) error { return CheckTransforms(s.MessageTransforms) }},
		{name: "tags", use: ignored},
	},
	whole: settleWhole,
}

// NewSubscription is the subscription that a CreateSubscription describes, attached to its topic as that is stored. A subscription
// without a name is given one in the topic's project. topic is nil when there is none of the name, which is for the caller to refuse:
// a name that is taken comes first. INVALID_ARGUMENT for what breaks a rule.
func NewSubscription(in *pubsubpb.Subscription, topic *pubsubpb.Topic) (*pubsubpb.Subscription, error) {
	if in.GetName() == "" {
		parsed, err := ParseTopic(in.GetTopic())
		if err != nil {
			return nil, err
		}
		in = proto.Clone(in).(*pubsubpb.Subscription)
		in.Name = assignedName(parsed.Project)
	}
	created, err := subscriptionKind.create(in)
	if err != nil {
		return nil, err
	}
	if retention := topic.GetMessageRetentionDuration(); retention != nil {
		created.TopicMessageRetentionDuration = proto.Clone(retention).(*durationpb.Duration)
	}
	return created, nil
}

// UpdateSubscription is the subscription after an UpdateSubscription of the fields that the mask names: top-level paths of the API
// definition, snake_case. A named field that is not set in the subscription sent is cleared or goes back to its default. An error is
// INVALID_ARGUMENT, or OUT_OF_RANGE for a number of delivery attempts.
func UpdateSubscription(current, in *pubsubpb.Subscription, mask *fieldmaskpb.FieldMask) (*pubsubpb.Subscription, error) {
	return subscriptionKind.update(current, in, mask)
}

// SubscriptionReferences names the resources that must exist for a creation (nil mask) or an update that gave the subscription, besides
// its own topic: its dead letter topic.
func SubscriptionReferences(subscription *pubsubpb.Subscription, mask *fieldmaskpb.FieldMask) []string {
	if dead := subscription.GetDeadLetterPolicy().GetDeadLetterTopic(); dead != "" && namesPath(mask, "dead_letter_policy") {
		return []string{dead}
	}
	return nil
}

// assignedName is a name that no other subscription has: its last part is random, 128 bits of it.
func assignedName(project string) string {
	return projectsPrefix + project + "/" + subscriptions + "/topics-" + rand.Text()
}

func settleAckDeadline(s *pubsubpb.Subscription) error {
	const least, most = int32(limit.AckDeadlineMin / 1e9), int32(limit.AckDeadlineMax / 1e9)
	switch given := s.AckDeadlineSeconds; {
	case given == 0:
		s.AckDeadlineSeconds = int32(limit.AckDeadlineDefault / 1e9)
	case given < least, given > most:
		return invalid("Invalid ack deadline given (ack_deadline=%d). The ack deadline must be between %d and %d seconds.", given, least, most)
	}
	return nil
}

// settleRetention comes after settleExpiration: a subscription that expires early keeps messages no longer than it lives, by default.
func settleRetention(s *pubsubpb.Subscription) error {
	if s.MessageRetentionDuration != nil {
		return checkRetention(s.MessageRetentionDuration)
	}
	retention := durationpb.New(limit.RetentionDefault)
	if ttl := s.ExpirationPolicy.GetTtl(); ttl != nil && !atLeast(ttl, limit.RetentionDefault) {
		retention = proto.Clone(ttl).(*durationpb.Duration)
	}
	s.MessageRetentionDuration = retention
	return nil
}

// settleExpiration tells a policy that is not set, which means the default, from one that is set without a time to live, which means never.
func settleExpiration(s *pubsubpb.Subscription) error {
	if s.ExpirationPolicy == nil {
		s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(limit.ExpirationDefault)}
		return nil
	}
	ttl := s.ExpirationPolicy.Ttl
	if ttl == nil {
		return nil
	}
	if err := checkDuration("ExpirationPolicy::ttl", ttl); err != nil {
		return err
	}
	if !atLeast(ttl, limit.ExpirationMin) {
		return tooSmall("expiration duration", formatDuration(ttl), formatDuration(durationpb.New(limit.ExpirationMin)))
	}
	return nil
}

func checkFilter(s *pubsubpb.Subscription) error {
	if size := len(s.Filter); size > limit.FilterBytesMax {
		return tooLarge("filter_size", strconv.Itoa(size), strconv.Itoa(limit.FilterBytesMax))
	}
	if s.Filter == "" {
		return nil // wants every message
	}
	if _, err := filter.Parse(s.Filter); err != nil {
		return invalid("Invalid filter given (filter=%s). Filter error at %v.", quoted(s.Filter), err)
	}
	return nil
}

// settleWhole checks what ties the fields of a subscription together and sets its state. A subscription that expires does not keep
// messages longer than it lives.
func settleWhole(s *pubsubpb.Subscription) error {
	if err := checkDelivery(s); err != nil {
		return err
	}
	if err := checkStorageDeadline(s); err != nil {
		return err
	}
	ttl, retention := s.ExpirationPolicy.GetTtl(), s.MessageRetentionDuration
	if ttl != nil && !atLeast(ttl, retention.AsDuration()) {
		return invalid("The value for expiration duration is too small. It is %s, but must not be less than the message retention duration of %s.",
			formatDuration(ttl), formatDuration(retention))
	}
	s.State = subscriptionState(s)
	return nil
}
