package blackbox

import (
	"slices"
	"testing"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func TestATopicListsSubscriptionsOfOtherProjects(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic := s.topic(t, "shared")
	other := *s
	other.project = s.project + "-other"
	want := []string{s.subscription(t, "here", topic), other.subscription(t, "there", topic)}
	slices.Sort(want)
	var got []string
	r := &pb.ListTopicSubscriptionsRequest{Topic: topic, PageSize: 1}
	for {
		page, err := s.ListTopicSubscriptions(limited(t), r)
		if err != nil || len(page.Subscriptions) != 1 {
			t.Fatalf("%v, %v", page, err)
		}
		got = append(got, page.Subscriptions...)
		if r.PageToken = page.NextPageToken; r.PageToken == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the topic's subscriptions are %q, want %q", got, want)
	}
	s.publish(t, topic, "hello")
	for _, sub := range want {
		if data := dataOf(s.pull(t, sub, 1)); data[0] != "hello" {
			t.Errorf("%s got %q", sub, data)
		}
	}
	project, err := other.sub.ListSubscriptions(limited(t), &pb.ListSubscriptionsRequest{Project: "projects/" + other.project})
	if err != nil || len(project.Subscriptions) != 1 || project.Subscriptions[0].Topic != topic {
		t.Errorf("the other project's subscriptions are %v, %v", project, err)
	}
	if _, err := other.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: other.subName("there")}); err != nil {
		t.Fatal(err)
	}
	left, err := s.ListTopicSubscriptions(limited(t), &pb.ListTopicSubscriptionsRequest{Topic: topic})
	if err != nil || !slices.Equal(left.Subscriptions, []string{s.subName("here")}) {
		t.Errorf("after the deletion the topic's subscriptions are %v, %v", left, err)
	}
}

// TestListsRefuseWhatIsNoPage finds every list of the API by its page_token.
func TestListsRefuseWhatIsNoPage(t *testing.T) {
	t.Parallel()
	a := common(t).attacker(t, 5)
	if _, err := a.schemas(t).CreateSchema(limited(t), &pb.CreateSchemaRequest{Parent: "projects/" + a.project, SchemaId: "some",
		Schema: &pb.Schema{Type: pb.Schema_AVRO, Definition: `"string"`}}); err != nil {
		t.Fatal(err)
	}
	lists := 0
	for _, rpc := range surface(t) {
		if rpc.Input().Fields().ByName("page_token") == nil {
			continue
		}
		lists++
		of := map[protoreflect.Name]string{"topic": a.topicName("t-x"), "name": "projects/" + a.project + "/schemas/some"}[rpc.Input().Fields().ByNumber(1).Name()]
		if of == "" {
			of = "projects/" + a.project
		}
		for _, page := range []string{`page_token: "x"`, `page_token: "////"`, `page_token: "AAAAAAAA"`, `page_token: "` + a.topicName("t-x") + `"`, `page_size: -1`} {
			m := newMessage(rpc.Input())
			if err := prototext.Unmarshal([]byte(page), m); err != nil {
				t.Fatal(err)
			}
			m.ProtoReflect().Set(rpc.Input().Fields().ByNumber(1), protoreflect.ValueOfString(of))
			request, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			text := badArguments + "page_token)."
			if page == "page_size: -1" {
				text = "The value for page_size is too small. You passed -1 in the request, but the minimum value is 0."
			}
			wantStatus(t, a.call(rpc, request), codes.InvalidArgument, text)
			path, body, fits := httpForms(rpc)[0].fill(m)
			if !fits {
				t.Fatalf("%s has no form for %s", full(rpc), page)
			}
			if code, message := a.web(t, "GET", path, body); code != codes.InvalidArgument || message != text {
				t.Errorf("GET %s answers %v %s", path, code, message)
			}
		}
	}
	if lists < 10 {
		t.Errorf("%d lists were found", lists)
	}
}
