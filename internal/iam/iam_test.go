package iam

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/genproto/googleapis/type/expr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

func bind(role string, members ...string) *iampb.Binding {
	return &iampb.Binding{Role: role, Members: members}
}

func conditional(role string, members ...string) *iampb.Binding {
	b := bind(role, members...)
	b.Condition = &expr.Expr{Title: "until", Expression: `request.time < timestamp("2030-01-01T00:00:00Z")`}
	return b
}

func TestParseResource(t *testing.T) {
	for _, c := range []struct {
		name string
		kind Kind
		ok   bool
	}{
		{"projects/p/topics/events", Topic, true},
		{"projects/p/subscriptions/worker", Subscription, true},
		{"projects/p/snapshots/before", Snapshot, true},
		{"projects/p/schemas/reading", Schema, true},
		{"projects/p/schemas/reading@0123abcd", Schema, false},
		{"projects/p/topics/x", Topic, false},
		{"projects/p/queues/events", 0, false},
		{"projects/p", 0, false},
		{"", 0, false},
	} {
		kind, err := ParseResource(c.name)
		if (err == nil) != c.ok || c.ok && kind != c.kind {
			t.Errorf("%q is of kind %d, %v; want %d, ok %v", c.name, kind, err, c.kind, c.ok)
		}
		if err != nil && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "(name="+c.name+")")) {
			t.Errorf("%q: %v does not name it", c.name, err)
		}
	}
}

func TestPermissionsApplyToTheirKind(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		names []string
		bad   string // the one that the refusal names
	}{
		{Topic, []string{"pubsub.topics.get", "pubsub.topics.publish", "pubsub.topics.attachSubscription"}, ""},
		{Topic, []string{"pubsub.topics.get", "pubsub.subscriptions.consume"}, "pubsub.subscriptions.consume"},
		{Topic, []string{"pubsub.topics.create"}, "pubsub.topics.create"},
		{Topic, []string{"pubsub.topics.*"}, "pubsub.topics.*"},
		{Topic, []string{""}, ""},
		{Subscription, []string{"pubsub.subscriptions.consume", "pubsub.subscriptions.setIamPolicy"}, ""},
		{Subscription, []string{"pubsub.subscriptions.publish"}, "pubsub.subscriptions.publish"},
		{Snapshot, []string{"pubsub.snapshots.seek"}, ""},
		{Snapshot, []string{"storage.objects.get"}, "storage.objects.get"},
		{Schema, []string{"pubsub.schemas.commit", "pubsub.schemas.listRevisions"}, ""},
		{Schema, nil, ""},
	} {
		err := CheckPermissions(c.kind, c.names)
		if refused := c.bad != "" || slices.Contains(c.names, ""); (err != nil) != refused {
			t.Errorf("kind %d, %q: %v", c.kind, c.names, err)
		}
		if want := "Permission " + c.bad + " is not valid for this resource."; c.bad != "" && status.Convert(err).Message() != want {
			t.Errorf("kind %d, %q: %v, want %s", c.kind, c.names, err, want)
		}
	}
	if err := CheckPermissions(Topic, make([]string, limit.PermissionsMax+1)); !strings.Contains(err.Error(), "too large") {
		t.Errorf("too many permissions: %v", err)
	}
}

func TestMembers(t *testing.T) {
	for member, valid := range map[string]bool{
		"allUsers":                                        true,
		"allAuthenticatedUsers":                           true,
		"user:alice@example.com":                          true,
		"group:admins@example.com":                        true,
		"serviceAccount:app@p.iam.gserviceaccount.com":    true,
		"serviceAccount:pool.svc.id.goog[default/worker]": true,
		"domain:example.com":                              true,
		"projectOwner:my-project":                         true,
		"projectEditor:my-project":                        true,
		"projectViewer:my-project":                        true,
		"principal://iam.googleapis.com/locations/global/workforcePools/w/subject/s": true,
		"principalSet://iam.googleapis.com/locations/global/workforcePools/w/*":      true,
		"deleted:user:alice@example.com?uid=123":                                     true,
		"deleted:serviceAccount:app@p.iam.gserviceaccount.com?uid=1":                 true,
		"deleted:principal://iam.googleapis.com/locations/global/x":                  true,

		"":                                false,
		"alice@example.com":               false,
		"user:":                           false,
		"user:alice":                      false,
		"user:@example.com":               false,
		"user:a b@example.com":            false,
		"user:a@b@example.com":            false,
		"User:alice@example.com":          false,
		"robot:alice@example.com":         false,
		"domain:":                         false,
		"serviceAccount:x.svc.id.goog[y]": false,
		"principal:iam.googleapis.com/x":  false,
		"principal://iam.googleapis.com":  false,
		"deleted:user:alice@example.com":  false,
		"deleted:alice@example.com?uid=1": false,
		"user:" + strings.Repeat("a", limit.PolicyMemberBytesMax) + "@example.com": false,
	} {
		if validMember(member) != valid {
			t.Errorf("member %.80q is valid: %v, want %v", member, !valid, valid)
		}
	}
}

func TestRefusedPolicies(t *testing.T) {
	many := bind("roles/pubsub.viewer")
	for range limit.PolicyMembersMax + 1 {
		many.Members = append(many.Members, "allUsers")
	}
	large := &iampb.Policy{}
	for range 600 {
		large.Bindings = append(large.Bindings, bind("roles/"+strings.Repeat("x", 1000), "allUsers"))
	}
	unspoken := conditional("roles/viewer", "allUsers")
	unspoken.Condition.Expression = " "
	for name, c := range map[string]struct {
		policy *iampb.Policy
		text   string
	}{
		"no policy":                {nil, "policy in the SetIamPolicyRequest must be set"},
		"no role":                  {&iampb.Policy{Bindings: []*iampb.Binding{bind("", "allUsers")}}, "policy.bindings[0].role="},
		"not a role":               {&iampb.Policy{Bindings: []*iampb.Binding{bind("editor", "allUsers")}}, "policy.bindings[0].role=editor"},
		"a role without a name":    {&iampb.Policy{Bindings: []*iampb.Binding{bind("roles/", "allUsers")}}, "role=roles/)"},
		"a role of old clients":    {&iampb.Policy{Bindings: []*iampb.Binding{bind("roles/viewer_withcond_0123", "allUsers")}}, "role=roles/viewer_withcond_0123"},
		"nobody":                   {&iampb.Policy{Bindings: []*iampb.Binding{bind("roles/viewer")}}, "policy.bindings[0].members is empty"},
		"a bad member":             {&iampb.Policy{Bindings: []*iampb.Binding{bind("roles/a", "allUsers"), bind("roles/b", "allUsers", "bob")}}, "policy.bindings[1].members[1]=bob"},
		"version 2":                {&iampb.Policy{Version: 2}, "policy.version=2"},
		"a condition in version 1": {&iampb.Policy{Version: 1, Bindings: []*iampb.Binding{conditional("roles/viewer", "allUsers")}}, "must have version 3"},
		"an empty condition":       {&iampb.Policy{Version: 3, Bindings: []*iampb.Binding{unspoken}}, "condition.expression is empty"},
		"too many members":         {&iampb.Policy{Bindings: []*iampb.Binding{many}}, "You passed 1501 in the request, but the maximum value is 1500"},
		"too large":                {large, "The value for policy_size is too large"},
	} {
		next, err := Set(Unset(), c.policy, nil)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.text) || next != nil {
			t.Errorf("%s: %v, want INVALID_ARGUMENT with %q", name, err, c.text)
		}
	}
	mask := &fieldmaskpb.FieldMask{Paths: []string{"bindings", "members"}}
	if _, err := Set(Unset(), &iampb.Policy{}, mask); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "members is not a known Policy field") {
		t.Errorf("unknown path: %v", err)
	}
}

func TestSetReplacesAndGivesANewEtag(t *testing.T) {
	first, err := Set(Unset(), &iampb.Policy{Bindings: []*iampb.Binding{bind("roles/pubsub.viewer", "allUsers")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Set(first, &iampb.Policy{Etag: first.Etag, Version: 3, Bindings: []*iampb.Binding{conditional("projects/p/roles/mine", "user:a@b.c")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Bindings) != 1 || second.Bindings[0].Role != "projects/p/roles/mine" || second.Version != 3 {
		t.Errorf("replaced policy is %v", second)
	}
	if bytes.Equal(first.Etag, second.Etag) || len(first.Etag) == 0 || bytes.Equal(first.Etag, Unset().Etag) {
		t.Errorf("etags %x, %x", first.Etag, second.Etag)
	}
	if _, err := Set(second, &iampb.Policy{Etag: first.Etag}, nil); status.Code(err) != codes.Aborted {
		t.Errorf("old etag: %v", err)
	}
	if cleared, err := Set(second, &iampb.Policy{}, nil); err != nil || len(cleared.Bindings) != 0 {
		t.Errorf("without an etag: %v, %v", cleared, err)
	}
	if stored, err := Decode(Encode(second)); err != nil || !proto.Equal(stored, second) {
		t.Errorf("stored and read: %v, %v; want %v", stored, err, second)
	}
}

func TestSetTakesWhatTheMaskNames(t *testing.T) {
	audit := []*iampb.AuditConfig{{Service: "allServices"}}
	in := &iampb.Policy{Version: 1, Bindings: []*iampb.Binding{bind("roles/a", "allUsers")}, AuditConfigs: audit}
	for _, c := range []struct {
		paths                     []string
		bindings, audits, version int
	}{
		{nil, 1, 0, 1},
		{[]string{"bindings"}, 1, 0, 0},
		{[]string{"etag"}, 0, 0, 0},
		{[]string{"audit_configs", "version"}, 0, 1, 1},
	} {
		got, err := Set(Unset(), in, &fieldmaskpb.FieldMask{Paths: c.paths})
		if err != nil || len(got.Bindings) != c.bindings || len(got.AuditConfigs) != c.audits || int(got.Version) != c.version {
			t.Errorf("mask %q: %v, %v", c.paths, got, err)
		}
	}
	if in.Bindings[0].Role != "roles/a" || in.Etag != nil {
		t.Errorf("what was passed in has changed: %v", in)
	}
}

func TestShowHidesConditionsFromOldClients(t *testing.T) {
	policy := &iampb.Policy{Version: 3, Etag: []byte("e"), Bindings: []*iampb.Binding{conditional("roles/a", "allUsers"), bind("roles/b", "allUsers")}}
	for _, version := range []int32{0, 1} {
		got, err := Show(policy, version)
		if err != nil {
			t.Fatal(err)
		}
		if first := got.Bindings[0]; !strings.HasPrefix(first.Role, "roles/a_withcond_") || first.Condition != nil {
			t.Errorf("version %d shows %v", version, first)
		}
		if got.Bindings[1].Role != "roles/b" || got.Version != 1 || string(got.Etag) != "e" {
			t.Errorf("version %d shows %v", version, got)
		}
		if _, err := Set(policy, got, nil); status.Code(err) != codes.InvalidArgument {
			t.Errorf("what an old client sends back: %v", err)
		}
	}
	if got, err := Show(policy, 3); err != nil || !proto.Equal(got, policy) {
		t.Errorf("version 3 shows %v, %v", got, err)
	}
	if _, err := Show(policy, 2); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "requested_policy_version=2") {
		t.Errorf("version 2: %v", err)
	}
	if got, _ := Show(Unset(), 1); got.Version != 0 || len(got.Bindings) != 0 || len(got.Etag) == 0 {
		t.Errorf("a policy that was never set shows %v", got)
	}
}
