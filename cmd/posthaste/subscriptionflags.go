package main

import (
	"fmt"
	"math"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
)

// subscriptionFlags are the fields of a subscription that commands can set.
type subscriptionFlags struct {
	ackDeadline     span
	retention       span
	retainAcked     bool
	expiration      string
	ordering        bool
	exactlyOnce     bool
	filter          string
	deadLetterTopic string
	attemptsMax     int32
	backoffMin      span
	backoffMax      span
	pushEndpoint    string
	labels          pairs
	resolveTopic    func(string) string // from a short id to a name; set once the project is known
}

// expirationNever asks for a subscription that does not expire.
const expirationNever = "never"

func (f *subscriptionFlags) define(flags *pflag.FlagSet) {
	f.labels = pairs{}
	flags.SortFlags = false
	flags.Var(&f.ackDeadline, "ack-deadline", "`DURATION` after which a message that is not acknowledged comes again, 10s to 10m")
	flags.Var(&f.retention, "retention", "keep messages that are not acknowledged for this `DURATION`, such as 7d")
	flags.BoolVar(&f.retainAcked, "retain-acked", false, "keep acknowledged messages too, so that one can seek back")
	flags.StringVar(&f.expiration, "expiration", "", "delete the subscription after this `DURATION` without use, or never")
	flags.BoolVar(&f.ordering, "ordering", false, "deliver messages with the same ordering key in order")
	flags.BoolVar(&f.exactlyOnce, "exactly-once", false, "confirm acknowledgements and never deliver a message again after one")
	flags.StringVar(&f.filter, "filter", "", "deliver only messages whose attributes match this `EXPRESSION`")
	flags.StringVar(&f.deadLetterTopic, "dead-letter-topic", "", "`TOPIC` for messages that were delivered too often")
	flags.Int32Var(&f.attemptsMax, "max-delivery-attempts", 0, "`N` deliveries before a message goes to the dead letter topic, 5 to 100")
	flags.Var(&f.backoffMin, "min-backoff", "least `DURATION` before a message is delivered again, 0s to 10m")
	flags.Var(&f.backoffMax, "max-backoff", "greatest `DURATION` before a message is delivered again, 0s to 10m")
	flags.StringVar(&f.pushEndpoint, "push-endpoint", "", "send messages to this `URL` instead of waiting for pulls")
	flags.Var(f.labels, "label", "label as `KEY=VALUE`; may be repeated")
}

func (f *subscriptionFlags) fields() []field[pubsubpb.Subscription] {
	type sub = pubsubpb.Subscription
	return []field[sub]{
		{"ack-deadline", "ack_deadline_seconds", f.applyAckDeadline},
		{"retention", "message_retention_duration", func(s *sub) error { s.MessageRetentionDuration = f.retention.Proto(); return nil }},
		{"retain-acked", "retain_acked_messages", func(s *sub) error { s.RetainAckedMessages = f.retainAcked; return nil }},
		{"expiration", "expiration_policy", f.applyExpiration},
		{"ordering", "enable_message_ordering", func(s *sub) error { s.EnableMessageOrdering = f.ordering; return nil }},
		{"exactly-once", "enable_exactly_once_delivery", func(s *sub) error { s.EnableExactlyOnceDelivery = f.exactlyOnce; return nil }},
		{"filter", "filter", func(s *sub) error { s.Filter = f.filter; return nil }},
		{"dead-letter-topic", "dead_letter_policy", func(s *sub) error {
			deadLetters(s).DeadLetterTopic = f.resolveTopic(f.deadLetterTopic)
			return nil
		}},
		{"max-delivery-attempts", "dead_letter_policy", f.applyAttempts},
		{"min-backoff", "retry_policy", func(s *sub) error { retries(s).MinimumBackoff = f.backoffMin.Proto(); return nil }},
		{"max-backoff", "retry_policy", func(s *sub) error { retries(s).MaximumBackoff = f.backoffMax.Proto(); return nil }},
		{"push-endpoint", "push_config", func(s *sub) error {
			s.PushConfig = &pubsubpb.PushConfig{PushEndpoint: f.pushEndpoint}
			return nil
		}},
		{"label", "labels", func(s *sub) error { s.Labels = merged(s.Labels, f.labels); return nil }},
	}
}

func (f *subscriptionFlags) applyAckDeadline(s *pubsubpb.Subscription) error {
	d := time.Duration(f.ackDeadline)
	if d%time.Second != 0 || d < 0 || d/time.Second > math.MaxInt32 {
		return fmt.Errorf("%s is no whole number of seconds", d)
	}
	s.AckDeadlineSeconds = int32(d / time.Second)
	return nil
}

func (f *subscriptionFlags) applyExpiration(s *pubsubpb.Subscription) error {
	s.ExpirationPolicy = new(pubsubpb.ExpirationPolicy) // without a ttl, which means never
	if f.expiration == expirationNever {
		return nil
	}
	var ttl span
	if err := ttl.Set(f.expiration); err != nil {
		return fmt.Errorf("%w, and not %q", err, expirationNever)
	}
	s.ExpirationPolicy.Ttl = durationpb.New(time.Duration(ttl))
	return nil
}

func (f *subscriptionFlags) applyAttempts(s *pubsubpb.Subscription) error {
	if deadLetters(s).DeadLetterTopic == "" {
		return fmt.Errorf("needs a --dead-letter-topic")
	}
	s.DeadLetterPolicy.MaxDeliveryAttempts = f.attemptsMax
	return nil
}

// deadLetters and retries are a subscription's policies, made if need be.
func deadLetters(s *pubsubpb.Subscription) *pubsubpb.DeadLetterPolicy {
	if s.DeadLetterPolicy == nil {
		s.DeadLetterPolicy = new(pubsubpb.DeadLetterPolicy)
	}
	return s.DeadLetterPolicy
}

func retries(s *pubsubpb.Subscription) *pubsubpb.RetryPolicy {
	if s.RetryPolicy == nil {
		s.RetryPolicy = new(pubsubpb.RetryPolicy)
	}
	return s.RetryPolicy
}

func subscriptionClearings() []clearing[pubsubpb.Subscription] {
	type sub = pubsubpb.Subscription
	return []clearing[sub]{
		{"labels", "labels", func(s *sub) { s.Labels = nil }},
		{"dead-letter", "dead_letter_policy", func(s *sub) { s.DeadLetterPolicy = nil }},
		{"retry", "retry_policy", func(s *sub) { s.RetryPolicy = nil }},
		{"push", "push_config", func(s *sub) { s.PushConfig = new(pubsubpb.PushConfig) }},
	}
}
