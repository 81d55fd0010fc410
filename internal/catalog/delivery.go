package catalog

import (
	"net/url"
	"strconv"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/posthaste-io/posthaste/internal/limit"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pushVersion is the attribute of a push endpoint that chooses the form of what is pushed.
const pushVersion = "x-goog-version"

// settlePush leaves a push configuration as it was given, and present: an empty one means that the subscription is pulled. Plain http is
// taken, and any host: endpoints of a broker of one's own are often neighbours.
func settlePush(s *pubsubpb.Subscription) error {
	if s.PushConfig == nil {
		s.PushConfig = new(pubsubpb.PushConfig)
		return nil
	}
	push := s.PushConfig
	if push.PushEndpoint != "" && !validEndpoint(push.PushEndpoint) {
		return invalid("Invalid push endpoint given (endpoint=%s). Refer to https://cloud.google.com/pubsub/subscriber#create for more information.",
			quoted(push.PushEndpoint))
	}
	if version, given := push.Attributes[pushVersion]; given && version != "v1" && version != "v1beta1" && version != "v1beta2" {
		return invalid("Invalid push endpoint version given in push config (version=%s).", quoted(version))
	}
	if token := push.GetOidcToken(); token != nil && !validAccount(token.ServiceAccountEmail) {
		return badArgument("PushConfig::oidc_token::service_account_email")
	}
	return nil
}

// carryPushVersion keeps the version of the form in which messages are pushed when an update of the push configuration does not give
// one: the API definition says that it is not changed then, and it outlives a change to pulling and back.
func carryPushVersion(current, next *pubsubpb.Subscription) {
	version, had := current.GetPushConfig().GetAttributes()[pushVersion]
	if _, given := next.GetPushConfig().GetAttributes()[pushVersion]; !had || given {
		return
	}
	if next.PushConfig == nil {
		next.PushConfig = new(pubsubpb.PushConfig)
	}
	if next.PushConfig.Attributes == nil {
		next.PushConfig.Attributes = make(map[string]string, 1)
	}
	next.PushConfig.Attributes[pushVersion] = version
}

func validEndpoint(endpoint string) bool {
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
		return false
	}
	if port := parsed.Port(); port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		return err == nil && number > 0
	}
	return true
}

func validAccount(email string) bool {
	user, domain, is := strings.Cut(email, "@")
	return is && user != "" && domain != "" && !strings.ContainsAny(email, " \t\r\n/")
}

// checkDelivery refuses a subscription whose messages would go two ways, and exactly-once delivery to anyone but those who pull.
func checkDelivery(s *pubsubpb.Subscription) error {
	var ways []string
	for _, way := range []struct {
		name string
		set  bool
	}{
		{"push_config", s.GetPushConfig().GetPushEndpoint() != ""},
		{"bigquery_config", s.BigqueryConfig != nil},
		{"cloud_storage_config", s.CloudStorageConfig != nil},
		{"bigtable_config", s.BigtableConfig != nil},
	} {
		if way.set {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 {
		return invalid("At most one of push_config, bigquery_config, cloud_storage_config and bigtable_config can be set. You passed %s in the request.",
			strings.Join(ways, " and "))
	}
	if len(ways) == 1 && s.EnableExactlyOnceDelivery {
		return invalid("enable_exactly_once_delivery is only supported for pull subscriptions. You passed %s in the request.", ways[0])
	}
	return nil
}

func settleDeadLetter(s *pubsubpb.Subscription) error {
	policy := s.DeadLetterPolicy
	if policy == nil {
		return nil
	}
	if _, err := ParseTopic(policy.DeadLetterTopic); err != nil {
		return err
	}
	switch attempts := policy.MaxDeliveryAttempts; {
	case attempts == 0:
		policy.MaxDeliveryAttempts = limit.DeliveryAttemptsDefault
	case attempts < limit.DeliveryAttemptsMin:
		return status.Errorf(codes.OutOfRange, "The value for max_delivery_attempts is too small. You passed %d in the request, but the minimum value is %d.",
			attempts, limit.DeliveryAttemptsMin)
	case attempts > limit.DeliveryAttemptsMax:
		return status.Errorf(codes.OutOfRange, "The value for max_delivery_attempts is too large. You passed %d in the request, but the maximum value is %d.",
			attempts, limit.DeliveryAttemptsMax)
	}
	return nil
}

// settleRetry fills in the backoffs of a policy that is there; without a policy messages are retried at once.
func settleRetry(s *pubsubpb.Subscription) error {
	policy := s.RetryPolicy
	if policy == nil {
		return nil
	}
	if policy.MinimumBackoff == nil {
		policy.MinimumBackoff = durationpb.New(limit.BackoffMinimumDefault)
	}
	if policy.MaximumBackoff == nil {
		policy.MaximumBackoff = durationpb.New(limit.BackoffMaximumDefault)
	}
	if err := checkBackoff("minimum_backoff", policy.MinimumBackoff); err != nil {
		return err
	}
	if err := checkBackoff("maximum_backoff", policy.MaximumBackoff); err != nil {
		return err
	}
	if !atLeast(policy.MaximumBackoff, policy.MinimumBackoff.AsDuration()) {
		return tooSmall("maximum_backoff", formatSeconds(policy.MaximumBackoff), formatSeconds(policy.MinimumBackoff))
	}
	return nil
}

func checkBackoff(what string, d *durationpb.Duration) error {
	if err := checkDuration("RetryPolicy::"+what, d); err != nil {
		return err
	}
	if !atLeast(d, 0) || !atMost(d, limit.BackoffMax) {
		return outOfBounds(what, formatSeconds(d), "0s", strconv.Itoa(int(limit.BackoffMax.Seconds()))+"s")
	}
	return nil
}
