package blackbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func withFilter(filter string) func(*pb.Subscription) {
	return func(s *pb.Subscription) { s.Filter = filter }
}

func TestClientReceivesWhatAFilterWantsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := own(t)
	client := s.google(t)
	topic, everything := s.pair(t, "x")
	some := s.subscription(t, "some", topic,
		withFilter(`attributes:"iana.org/language_tag" AND (attributes.name = "net" OR hasPrefix(attributes.name, "org")) AND NOT attributes.skip = "1"`))
	publisher := client.Publisher(topic)
	defer publisher.Stop()
	var results []*pubsub.PublishResult
	for i := range 400 {
		attributes := map[string]string{"name": []string{"net", "com", "organisation", "ne"}[i%4], "iana.org/language_tag": "en", "skip": fmt.Sprint(i % 3)}
		results = append(results, publisher.Publish(t.Context(), &pubsub.Message{Data: fmt.Append(nil, i), Attributes: attributes}))
	}
	for _, r := range results {
		if _, err := r.Get(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range 400 {
		if i%2 == 0 && i%3 != 1 {
			want = append(want, fmt.Sprint(i))
		}
	}
	s.restart(t, true) // it means the same after a crash
	a := receive(t, client, everything, pubsub.ReceiveSettings{}, nil)
	b := receive(t, client, some, pubsub.ReceiveSettings{}, nil)
	a.deliveries(t, 400)
	b.deliveries(t, len(want))
	b.stop(t)
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(b.count)); !slices.Equal(got, want) {
		t.Errorf("received %q\nwant %q", got, want)
	}
	if left := s.pullNow(t, some); len(left) > 0 {
		t.Errorf("left: %q", dataOf(left))
	}
}

func TestAFilterIsFixed(t *testing.T) {
	t.Parallel()
	s := common(t)
	_, sub := s.pair(t, "x", withFilter("attributes:a"))
	_, err := s.sub.UpdateSubscription(limited(t), &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: sub, Filter: "attributes:b"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"filter"}},
	})
	wantStatus(t, err, codes.InvalidArgument,
		"Invalid update_mask provided in the UpdateSubscriptionRequest: the 'filter' field in the Subscription is not mutable.")
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || got.Filter != "attributes:a" {
		t.Errorf("filter %q, %v", got.GetFilter(), err)
	}
}

func TestWrongFiltersAreRefusedWithTheirPlace(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "t-x")
	for _, c := range []struct{ filter, text string }{
		{`"com" = attributes.name`, `Filter error at column 1: expected attributes, hasPrefix, NOT, "-" or "(", found "\"".`},
		{`attributes.name = attributes.website`, `Filter error at column 19: expected a string in double quotes, found "attributes".`},
		{`attributes:a AND attributes.b="1" OR attributes.c="2"`,
			`Filter error at column 35: expected AND: AND and OR do not mix without parentheses, found "OR".`},
		{`attributes:\u307F`,
			`Filter error at column 12: expected the attribute's name (in quotes unless it is letters, digits, "_" and "-"), found "\\".`},
	} {
		_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName("s-x"), Topic: topic, Filter: c.filter})
		wantStatus(t, err, codes.InvalidArgument, fmt.Sprintf("Invalid filter given (filter=%s). %s", c.filter, c.text))
	}
	_, err := s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName("s-x"), Topic: topic, Filter: strings.Repeat("-", 245) + "attributes:a"})
	wantStatus(t, err, codes.InvalidArgument, "The value for filter_size is too large. You passed 257 in the request, but the maximum value is 256.")
	_, err = s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: s.subName("s-x")})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=s-x).")
}
