package blackbox

import (
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/type/expr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

func (s *server) policies(t *testing.T) iampb.IAMPolicyClient {
	t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return iampb.NewIAMPolicyClient(conn)
}

func TestPolicyIsKeptAsLongAsItsResource(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	for _, resource := range []string{topic, sub} {
		client := s.policies(t)
		begin, err := client.GetIamPolicy(limited(t), &iampb.GetIamPolicyRequest{Resource: resource})
		if err != nil || len(begin.Bindings) != 0 || begin.Version != 0 || len(begin.Etag) == 0 {
			t.Fatalf("first policy: %v, %v", begin, err)
		}
		binding := &iampb.Binding{Role: "roles/pubsub.editor", Members: []string{"user:a@example.com"},
			Condition: &expr.Expr{Expression: "request.time < timestamp('2030-01-01T00:00:00Z')"}}
		policy := &iampb.Policy{Version: 3, Etag: begin.Etag, Bindings: []*iampb.Binding{binding}}
		set, err := client.SetIamPolicy(limited(t), &iampb.SetIamPolicyRequest{Resource: resource, Policy: policy})
		if err != nil {
			t.Fatalf("set: %v", err)
		}
		if _, err := client.SetIamPolicy(limited(t), &iampb.SetIamPolicyRequest{Resource: resource, Policy: policy}); err != nil {
			wantStatus(t, err, codes.Aborted, "")
		} else {
			t.Error("an old etag replaced a policy")
		}
		s.restart(t, true)
		options := &iampb.GetPolicyOptions{RequestedPolicyVersion: 3}
		got, err := client.GetIamPolicy(limited(t), &iampb.GetIamPolicyRequest{Resource: resource, Options: options})
		if err != nil || !proto.Equal(got, set) {
			t.Errorf("after a crash the policy is %v, %v; want %v", got, err, set)
		}
	}
	if _, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	s.topic(t, "t-x")
	if got, err := s.policies(t).GetIamPolicy(limited(t), &iampb.GetIamPolicyRequest{Resource: topic}); err != nil || len(got.Bindings) != 0 {
		t.Errorf("a topic made again has the policy %v, %v", got, err)
	}
}

func TestPolicyRefusals(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.policies(t)
	topic := s.topic(t, "t-x")
	missing := s.topicName("missing")
	_, err := client.GetIamPolicy(limited(t), &iampb.GetIamPolicyRequest{Resource: missing})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=missing).")
	_, err = client.SetIamPolicy(limited(t), &iampb.SetIamPolicyRequest{Resource: missing, Policy: &iampb.Policy{}})
	wantStatus(t, err, codes.NotFound, "Resource not found (resource=missing).")
	_, err = client.GetIamPolicy(limited(t), &iampb.GetIamPolicyRequest{Resource: "topics/missing"})
	wantStatus(t, err, codes.InvalidArgument, "")
	bad := &iampb.Policy{Bindings: []*iampb.Binding{{Role: "roles/pubsub.viewer", Members: []string{"bob"}}}}
	_, err = client.SetIamPolicy(limited(t), &iampb.SetIamPolicyRequest{Resource: topic, Policy: bad})
	wantStatus(t, err, codes.InvalidArgument, "Invalid member given (policy.bindings[0].members[0]=bob).")
}

func TestPermissionsOverTheWire(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.policies(t)
	topic := s.topic(t, "t-x")
	ask := []string{"pubsub.topics.get", "pubsub.topics.publish"}
	got, err := client.TestIamPermissions(limited(t), &iampb.TestIamPermissionsRequest{Resource: topic, Permissions: ask})
	if err != nil || len(got.Permissions) != 2 {
		t.Errorf("held: %v, %v", got, err)
	}
	got, err = client.TestIamPermissions(limited(t), &iampb.TestIamPermissionsRequest{Resource: s.topicName("missing"), Permissions: ask})
	if err != nil || len(got.Permissions) != 0 {
		t.Errorf("held on a missing topic: %v, %v", got, err)
	}
	_, err = client.TestIamPermissions(limited(t), &iampb.TestIamPermissionsRequest{Resource: topic, Permissions: []string{"pubsub.subscriptions.consume"}})
	wantStatus(t, err, codes.InvalidArgument, "Permission pubsub.subscriptions.consume is not valid for this resource.")
}
