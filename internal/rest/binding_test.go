package rest

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// bindings is the table of Google's REST API for Pub/Sub.
const bindings = `
PUT    projects/p/topics/ttt CreateTopic
PATCH  projects/p/topics/ttt UpdateTopic
POST   projects/p/topics/ttt:publish Publish
GET    projects/p/topics/ttt GetTopic
DELETE projects/p/topics/ttt DeleteTopic
GET    projects/p/topics ListTopics
GET    projects/p/topics/ttt/subscriptions ListTopicSubscriptions
GET    projects/p/topics/ttt/snapshots ListTopicSnapshots
POST   projects/p/subscriptions/sss:detach DetachSubscription
PUT    projects/p/subscriptions/sss CreateSubscription
PATCH  projects/p/subscriptions/sss UpdateSubscription
GET    projects/p/subscriptions/sss GetSubscription
DELETE projects/p/subscriptions/sss DeleteSubscription
GET    projects/p/subscriptions ListSubscriptions
POST   projects/p/subscriptions/sss:modifyAckDeadline ModifyAckDeadline
POST   projects/p/subscriptions/sss:acknowledge Acknowledge
POST   projects/p/subscriptions/sss:pull Pull
POST   projects/p/subscriptions/sss:modifyPushConfig ModifyPushConfig
POST   projects/p/subscriptions/sss:seek Seek
GET    projects/p/snapshots/sss GetSnapshot
DELETE projects/p/snapshots/sss DeleteSnapshot
GET    projects/p/snapshots ListSnapshots
PUT    projects/p/snapshots/sss CreateSnapshot
PATCH  projects/p/snapshots/sss UpdateSnapshot
POST   projects/p/schemas CreateSchema
GET    projects/p/schemas/sss GetSchema
GET    projects/p/schemas/sss@1a2b GetSchema
DELETE projects/p/schemas/sss DeleteSchema
GET    projects/p/schemas ListSchemas
GET    projects/p/schemas/sss:listRevisions ListSchemaRevisions
POST   projects/p/schemas/sss:commit CommitSchema
POST   projects/p/schemas/sss:rollback RollbackSchema
DELETE projects/p/schemas/sss@1a2b:deleteRevision DeleteSchemaRevision
POST   projects/p/schemas:validate ValidateSchema
POST   projects/p/schemas:validateMessage ValidateMessage
GET    projects/p/topics/ttt:getIamPolicy GetIamPolicy
POST   projects/p/topics/ttt:setIamPolicy SetIamPolicy
POST   projects/p/topics/ttt:testIamPermissions TestIamPermissions
GET    projects/p/subscriptions/sss:getIamPolicy GetIamPolicy
POST   projects/p/subscriptions/sss:setIamPolicy SetIamPolicy
POST   projects/p/subscriptions/sss:testIamPermissions TestIamPermissions
GET    projects/p/snapshots/sss:getIamPolicy GetIamPolicy
POST   projects/p/snapshots/sss:setIamPolicy SetIamPolicy
POST   projects/p/snapshots/sss:testIamPermissions TestIamPermissions
GET    projects/p/schemas/sss:getIamPolicy GetIamPolicy
POST   projects/p/schemas/sss:setIamPolicy SetIamPolicy
POST   projects/p/schemas/sss:testIamPermissions TestIamPermissions
`

func TestEveryBindingLeadsToItsMethod(t *testing.T) {
	f := New(Options{})
	pubsubpb.RegisterPublisherServer(f, new(pubsubpb.UnimplementedPublisherServer))
	pubsubpb.RegisterSubscriberServer(f, new(pubsubpb.UnimplementedSubscriberServer))
	pubsubpb.RegisterSchemaServiceServer(f, new(pubsubpb.UnimplementedSchemaServiceServer))
	iampb.RegisterIAMPolicyServer(f, new(iampb.UnimplementedIAMPolicyServer))
	f.Open()
	for line := range strings.Lines(strings.TrimSpace(bindings)) {
		words := strings.Fields(line)
		recorder := httptest.NewRecorder()
		f.ServeHTTP(recorder, httptest.NewRequest(words[0], "/v1/"+words[1], nil))
		if want := "method " + words[2] + " not implemented"; recorder.Code != 501 || !strings.Contains(recorder.Body.String(), want) {
			t.Errorf("%s: %d %s, want %q", strings.TrimSpace(line), recorder.Code, recorder.Body, want)
		}
	}
}

// schemas keeps the last request.
type schemas struct {
	pubsubpb.UnimplementedSchemaServiceServer
	got proto.Message
}

func (s *schemas) CreateSchema(_ context.Context, in *pubsubpb.CreateSchemaRequest) (*pubsubpb.Schema, error) {
	s.got = in
	return in.Schema, nil
}

func (s *schemas) ListSchemas(_ context.Context, in *pubsubpb.ListSchemasRequest) (*pubsubpb.ListSchemasResponse, error) {
	s.got = in
	return &pubsubpb.ListSchemasResponse{}, nil
}

func TestBodyMayBeOneFieldOfTheRequest(t *testing.T) {
	f, s := New(Options{}), new(schemas)
	pubsubpb.RegisterSchemaServiceServer(f, s)
	f.Open()
	for _, test := range []struct {
		method, path, body string
		want               proto.Message
	}{
		{"POST", "/v1/projects/p/schemas?schemaId=id", `{"type":"AVRO","definition":"{}"}`,
			&pubsubpb.CreateSchemaRequest{Parent: "projects/p", SchemaId: "id", Schema: &pubsubpb.Schema{Type: pubsubpb.Schema_AVRO, Definition: "{}"}}},
		{"POST", "/v1/projects/p/schemas?schema_id=id", "", &pubsubpb.CreateSchemaRequest{Parent: "projects/p", SchemaId: "id", Schema: &pubsubpb.Schema{}}},
		{"GET", "/v1/projects/p/schemas?view=FULL", "", &pubsubpb.ListSchemasRequest{Parent: "projects/p", View: pubsubpb.SchemaView_FULL}},
	} {
		recorder := httptest.NewRecorder()
		f.ServeHTTP(recorder, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		if recorder.Code != 200 || !proto.Equal(s.got, test.want) {
			t.Errorf("%s %s: %d %s\n got %v\nwant %v", test.method, test.path, recorder.Code, recorder.Body, s.got, test.want)
		}
	}
	recorder := httptest.NewRecorder()
	f.ServeHTTP(recorder, httptest.NewRequest("POST", "/v1/projects/p/schemas", strings.NewReader(`{"schemaId":"id"}`)))
	if want := `Unknown name \"schemaId\": Cannot find field.`; recorder.Code != 400 || !strings.Contains(recorder.Body.String(), want) {
		t.Errorf("a field of the request in the body that is another: %d %s", recorder.Code, recorder.Body)
	}
}

func TestRulesThatContradictTheirMessagesAreRefused(t *testing.T) {
	var p plans
	m := &method{request: p.of(new(pubsubpb.UpdateTopicRequest).ProtoReflect().Descriptor())}
	for _, rule := range []*annotations.HttpRule{
		{},
		{Pattern: &annotations.HttpRule_Get{Get: "/v1/{"}},
		{Pattern: &annotations.HttpRule_Get{Get: "/v1/{nothing}"}},
		{Pattern: &annotations.HttpRule_Get{Get: "/v1/{topic}"}},
		{Pattern: &annotations.HttpRule_Get{Get: "/v1/{topic.labels}"}},
		{Pattern: &annotations.HttpRule_Get{Get: "/v1/{topic.name.more}"}},
		{Pattern: &annotations.HttpRule_Put{Put: "/v1/x"}, Body: "nothing"},
	} {
		if err := new(router).bind(m, rule); err == nil {
			t.Errorf("%v is taken", rule)
		}
	}
}

func TestServiceWithAMethodTooManyIsABug(t *testing.T) {
	defer func() {
		if text := fmt.Sprint(recover()); !strings.HasPrefix(text, "bug: ") {
			t.Errorf("panic: %s", text)
		}
	}()
	New(Options{}).RegisterService(&grpc.ServiceDesc{ServiceName: "google.pubsub.v1.Publisher", Methods: []grpc.MethodDesc{{MethodName: "Nothing"}}}, nil)
}
