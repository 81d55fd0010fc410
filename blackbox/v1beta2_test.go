package blackbox

import (
	"fmt"
	"testing"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// older calls methods of google.pubsub.v1beta2 with messages of v1: the fields that both have are the same on the wire.
type older struct{ conn *grpc.ClientConn }

func (s *server) older(t *testing.T) older {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a test is over: nobody cares how its connection ends
	return older{conn}
}

func (o older) call(t *testing.T, method string, in, out proto.Message) {
	t.Helper()
	if err := o.conn.Invoke(limited(t), "/google.pubsub.v1beta2."+method, in, out); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// modifyOne is v1beta2's ModifyAckDeadlineRequest, which takes a single id.
func modifyOne(sub, ackID string, seconds uint64) proto.Message {
	m := new(emptypb.Empty)
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), sub)
	if ackID != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), ackID)
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), seconds)
	m.ProtoReflect().SetUnknown(b)
	return m
}

func wantEqual(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestOlderVersionsWalk(t *testing.T) {
	t.Parallel()
	s := common(t)
	o := s.older(t)
	project := "projects/" + s.project
	topic, sub := s.topicName("ttt"), s.subName("sss")

	made := new(pb.Topic)
	o.call(t, "Publisher/CreateTopic", &pb.Topic{Name: topic, Labels: map[string]string{"newer": "field"}}, made)
	wantEqual(t, made, &pb.Topic{Name: topic})
	now, err := s.GetTopic(limited(t), &pb.GetTopicRequest{Topic: topic})
	if err != nil || len(now.Labels) != 0 {
		t.Errorf("a field that the version does not have took effect: %v, %v", now, err)
	}
	subscription := new(pb.Subscription)
	o.call(t, "Subscriber/CreateSubscription", &pb.Subscription{Name: sub, Topic: topic, AckDeadlineSeconds: 33, Filter: "bad filter"}, subscription)
	wantEqual(t, subscription, &pb.Subscription{Name: sub, Topic: topic, AckDeadlineSeconds: 33, PushConfig: &pb.PushConfig{}})
	o.call(t, "Subscriber/ModifyPushConfig", &pb.ModifyPushConfigRequest{Subscription: sub, PushConfig: &pb.PushConfig{}}, new(emptypb.Empty))

	topics, subs, names := new(pb.ListTopicsResponse), new(pb.ListSubscriptionsResponse), new(pb.ListTopicSubscriptionsResponse)
	o.call(t, "Publisher/ListTopics", &pb.ListTopicsRequest{Project: project}, topics)
	wantEqual(t, topics, &pb.ListTopicsResponse{Topics: []*pb.Topic{{Name: topic}}})
	o.call(t, "Subscriber/ListSubscriptions", &pb.ListSubscriptionsRequest{Project: project}, subs)
	wantEqual(t, subs, &pb.ListSubscriptionsResponse{Subscriptions: []*pb.Subscription{subscription}})
	o.call(t, "Publisher/ListTopicSubscriptions", &pb.ListTopicSubscriptionsRequest{Topic: topic}, names)
	wantEqual(t, names, &pb.ListTopicSubscriptionsResponse{Subscriptions: []string{sub}})

	published := new(pb.PublishResponse)
	o.call(t, "Publisher/Publish", &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{
		{Data: []byte("a"), Attributes: map[string]string{"k": "v"}, OrderingKey: "newer"}}}, published)
	pulled := new(pb.PullResponse)
	o.call(t, "Subscriber/Pull", &pb.PullRequest{Subscription: sub, MaxMessages: 1}, pulled)
	if len(pulled.ReceivedMessages) != 1 {
		t.Fatalf("pulled %v", pulled)
	}
	wantEqual(t, pulled.ReceivedMessages[0].Message,
		&pb.PubsubMessage{Data: []byte("a"), Attributes: map[string]string{"k": "v"}, MessageId: published.MessageIds[0]})
	o.call(t, "Subscriber/ModifyAckDeadline", modifyOne(sub, pulled.ReceivedMessages[0].AckId, 0), new(emptypb.Empty))
	again := s.pull(t, sub, 1) // over v1
	o.call(t, "Subscriber/Acknowledge", &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(again)}, new(emptypb.Empty))
	if left := s.pullNow(t, sub); len(left) != 0 {
		t.Errorf("left after the acknowledgement: %v", left)
	}
	o.call(t, "Subscriber/DeleteSubscription", &pb.DeleteSubscriptionRequest{Subscription: sub}, new(emptypb.Empty))
	o.call(t, "Publisher/DeleteTopic", &pb.DeleteTopicRequest{Topic: topic}, new(emptypb.Empty))
	err = o.conn.Invoke(limited(t), "/google.pubsub.v1beta2.Publisher/GetTopic", &pb.GetTopicRequest{Topic: topic}, made)
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=ttt).")
}

func TestOlderVersionShowsAndKeepsNewerResources(t *testing.T) {
	t.Parallel()
	s := common(t)
	o := s.older(t)
	_, sub := s.pair(t, "x", func(r *pb.Subscription) { r.EnableMessageOrdering, r.Labels = true, map[string]string{"a": "b"} })
	shown := new(pb.Subscription)
	o.call(t, "Subscriber/GetSubscription", &pb.GetSubscriptionRequest{Subscription: sub}, shown)
	if shown.Name != sub || shown.Labels != nil || shown.EnableMessageOrdering {
		t.Errorf("shown: %v", shown)
	}
	o.call(t, "Subscriber/ModifyPushConfig", &pb.ModifyPushConfigRequest{Subscription: sub}, new(emptypb.Empty))
	kept, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || !kept.EnableMessageOrdering || kept.Labels["a"] != "b" {
		t.Errorf("kept: %v, %v", kept, err)
	}
}

func TestOlderVersionShowsTopicsOfAttachedSubscriptionsOnly(t *testing.T) {
	t.Parallel()
	s := common(t)
	o := s.older(t)
	topic, attached := s.pair(t, "attached")
	_, detached := s.pair(t, "detached")
	if _, err := s.DetachSubscription(limited(t), &pb.DetachSubscriptionRequest{Subscription: detached}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{attached: topic, detached: ""}
	listed := new(pb.ListSubscriptionsResponse)
	o.call(t, "Subscriber/ListSubscriptions", &pb.ListSubscriptionsRequest{Project: "projects/" + s.project}, listed)
	if len(listed.Subscriptions) != len(want) {
		t.Errorf("listed: %v", listed)
	}
	for _, shown := range listed.Subscriptions {
		if shown.Topic != want[shown.Name] {
			t.Errorf("%s is listed with the topic %q, want %q", shown.Name, shown.Topic, want[shown.Name])
		}
	}
	for name, topic := range want {
		shown := new(pb.Subscription)
		o.call(t, "Subscriber/GetSubscription", &pb.GetSubscriptionRequest{Subscription: name}, shown)
		if shown.Name != name || shown.Topic != topic {
			t.Errorf("%s is shown as %v, want the topic %q", name, shown, topic)
		}
	}
}

func TestOlderVersionRefusesWhatTheNewerRefuses(t *testing.T) {
	t.Parallel()
	s := common(t)
	o := s.older(t)
	_, sub := s.pair(t, "x")
	for method, in := range map[string]proto.Message{
		"Publisher/CreateTopic":        &pb.Topic{Name: "bad"},
		"Publisher/Publish":            &pb.PublishRequest{Topic: s.topicName("t-x")},
		"Subscriber/Pull":              &pb.PullRequest{Subscription: sub},
		"Subscriber/ModifyAckDeadline": modifyOne(sub, "", 10),
		"Subscriber/Acknowledge":       &pb.AcknowledgeRequest{Subscription: sub, AckIds: []string{"x"}},
	} {
		wantStatus(t, o.conn.Invoke(limited(t), "/google.pubsub.v1beta2."+method, in, new(emptypb.Empty)), codes.InvalidArgument, "")
	}
	malformed := new(emptypb.Empty)
	malformed.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte{0xff}))
	wantStatus(t, o.conn.Invoke(limited(t), "/google.pubsub.v1beta2.Publisher/GetTopic", malformed, new(emptypb.Empty)), codes.InvalidArgument, "")
	wantStatus(t, o.conn.Invoke(limited(t), "/google.pubsub.v1beta2.Publisher/UpdateTopic", malformed, new(emptypb.Empty)), codes.Unimplemented, "")
}

func TestOlderVersionOverREST(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := "/v1beta2/"+s.topicName("ttt"), "/v1beta2/"+s.subName("sss")
	s.good(t, "PUT", topic, "")
	created := s.good(t, "PUT", sub, `{"topic":"`+s.topicName("ttt")+`"}`)
	want(t, created, nil, "messageRetentionDuration")
	want(t, created, 10, "ackDeadlineSeconds")
	s.good(t, "GET", topic+"/subscriptions", "")
	s.good(t, "GET", "/v1beta2/projects/"+s.project+"/topics", "")
	want(t, s.good(t, "GET", "/v1beta2/projects/"+s.project+"/subscriptions", ""), s.subName("sss"), "subscriptions", 0, "name")
	s.good(t, "POST", sub+":modifyPushConfig", `{"pushConfig":{}}`)
	s.good(t, "POST", topic+":publish", `{"messages":[{"data":"eA=="}]}`)
	pulled := s.good(t, "POST", sub+":pull", `{"maxMessages":1}`)
	want(t, pulled, nil, "receivedMessages", 0, "message", "publishTime")
	s.good(t, "POST", sub+":modifyAckDeadline", fmt.Sprintf(`{"ackId":%q,"ackDeadlineSeconds":0}`, at(pulled, "receivedMessages", 0, "ackId")))
	pulled = s.good(t, "POST", sub+":pull", `{"maxMessages":1}`)
	s.good(t, "POST", sub+":acknowledge", fmt.Sprintf(`{"ackIds":[%q]}`, at(pulled, "receivedMessages", 0, "ackId")))
	s.refused(t, "POST", topic+":publish", `{"messages":[{"orderingKey":"k"}]}`, 400, "INVALID_ARGUMENT",
		`Invalid JSON payload received. Unknown name "orderingKey" at 'messages[0]': Cannot find field.`)
	s.refused(t, "PATCH", topic, `{}`, 405, "UNIMPLEMENTED", "")
	want(t, s.good(t, "GET", "/v1/"+s.topicName("ttt"), ""), s.topicName("ttt"), "name")
	s.good(t, "DELETE", sub, "")
	s.good(t, "DELETE", topic, "")
}

func TestPoliciesOverREST(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, _ := s.pair(t, "x")
	for _, version := range []string{"/v1/", "/v1beta2/"} {
		path := version + topic
		s.good(t, "POST", path+":setIamPolicy", `{"policy":{"bindings":[{"role":"roles/pubsub.publisher","members":["user:a@example.com"]}]}}`)
		got := s.good(t, "GET", path+":getIamPolicy?options.requestedPolicyVersion=3", "")
		want(t, got, "roles/pubsub.publisher", "bindings", 0, "role")
		got = s.good(t, "POST", path+":testIamPermissions", `{"permissions":["pubsub.topics.publish"]}`)
		want(t, got, "pubsub.topics.publish", "permissions", 0)
	}
}
