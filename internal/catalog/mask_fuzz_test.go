package catalog

import (
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// FuzzUpdateMask updates a subscription from another one with any mask: what the mask does not name stays, and a mask that names anything
// but mutable fields is refused.
func FuzzUpdateMask(f *testing.F) {
	for _, paths := range []string{"", ",", "labels", "labels,labels", "labels,filter", "pushConfig", "push_config.push_endpoint", "labels.team", "*", "name", "tags", "state",
		"ack_deadline_seconds,retry_policy,dead_letter_policy", "labels, topic", "\xff", "labels.", ".", "ack_deadline_seconds\x00", strings.Repeat("labels,", 300)} {
		f.Add(paths)
	}
	current, other := mustSubscription(f, sampleSubscriptions(f)[0]), mustSubscription(f, &pubsubpb.Subscription{Topic: "projects/p/topics/topic", Name: "projects/p/subscriptions/other"})
	f.Fuzz(func(t *testing.T, joined string) {
		paths := strings.Split(joined, ",")
		next, err := UpdateSubscription(current, other, masked(paths...))
		clientError(t, err)
		allMutable := true
		for _, path := range paths {
			at := slices.IndexFunc(subscriptionKind.fields, func(known field[*pubsubpb.Subscription]) bool { return known.name == path })
			allMutable = allMutable && at >= 0 && subscriptionKind.fields[at].use == mutable
		}
		if err != nil {
			return
		}
		if !allMutable {
			t.Fatalf("the mask %q was taken", joined)
		}
		same(t, "what the mask does not name", without(next, paths), without(current, paths))
	})
}

// without is a subscription without the fields that a mask names, and without the state, which follows from others.
func without(s *pubsubpb.Subscription, paths []string) *pubsubpb.Subscription {
	s = proto.Clone(s).(*pubsubpb.Subscription)
	for _, path := range append(paths, "state") {
		if fd := s.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(path)); fd != nil {
			s.ProtoReflect().Clear(fd)
		}
	}
	return s
}
