package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/posthaste-io/posthaste/internal/declare"
)

// fake keeps resources and a note of every call that changes one. It lists two resources to a page.
type fake struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer
	mutex         sync.Mutex
	calls         []string
	topics        []*pubsubpb.Topic
	subscriptions []*pubsubpb.Subscription
	refuse        string // part of a call that is refused
	schemas       *schemaFake
}

type schemaFake struct {
	pubsubpb.UnimplementedSchemaServiceServer
	owner *fake
	all   []*pubsubpb.Schema
}

func (f *fake) note(format string, args ...any) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	call := strings.ReplaceAll(fmt.Sprintf(format, args...), "projects/p/", "")
	if f.refuse != "" && strings.Contains(call, f.refuse) {
		return status.Error(codes.InvalidArgument, "refused")
	}
	f.calls = append(f.calls, call)
	return nil
}

// page cuts a list at a token, which is a number of resources.
func page[R any](all []R, token string) (part []R, next string) {
	from := 0
	if token != "" {
		_, _ = fmt.Sscan(token, &from) // a token of this very function
	}
	to := min(from+2, len(all))
	if to < len(all) {
		next = fmt.Sprint(to)
	}
	return all[from:to], next
}

func (f *fake) ListTopics(_ context.Context, r *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	if r.Project != "projects/p" {
		return nil, status.Errorf(codes.InvalidArgument, "project %s", r.Project)
	}
	part, next := page(f.topics, r.PageToken)
	return &pubsubpb.ListTopicsResponse{Topics: part, NextPageToken: next}, nil
}

func (f *fake) ListSubscriptions(_ context.Context, r *pubsubpb.ListSubscriptionsRequest) (*pubsubpb.ListSubscriptionsResponse, error) {
	part, next := page(f.subscriptions, r.PageToken)
	return &pubsubpb.ListSubscriptionsResponse{Subscriptions: part, NextPageToken: next}, nil
}

func (f *schemaFake) ListSchemas(_ context.Context, r *pubsubpb.ListSchemasRequest) (*pubsubpb.ListSchemasResponse, error) {
	if r.View != pubsubpb.SchemaView_FULL {
		return nil, status.Error(codes.InvalidArgument, "without definitions nothing can be compared")
	}
	part, next := page(f.all, r.PageToken)
	return &pubsubpb.ListSchemasResponse{Schemas: part, NextPageToken: next}, nil
}

func (f *fake) CreateTopic(_ context.Context, t *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	return t, f.note("create %s", t.Name)
}

func (f *fake) UpdateTopic(_ context.Context, r *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	return r.Topic, f.note("update %s %v", r.Topic.Name, r.UpdateMask.Paths)
}

func (f *fake) DeleteTopic(_ context.Context, r *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	return new(emptypb.Empty), f.note("delete %s", r.Topic)
}

func (f *fake) CreateSubscription(_ context.Context, s *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	return s, f.note("create %s on %s", s.Name, s.Topic)
}

func (f *fake) UpdateSubscription(_ context.Context, r *pubsubpb.UpdateSubscriptionRequest) (*pubsubpb.Subscription, error) {
	return r.Subscription, f.note("update %s %v", r.Subscription.Name, r.UpdateMask.Paths)
}

func (f *fake) DeleteSubscription(_ context.Context, r *pubsubpb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	return new(emptypb.Empty), f.note("delete %s", r.Subscription)
}

func (f *schemaFake) CreateSchema(_ context.Context, r *pubsubpb.CreateSchemaRequest) (*pubsubpb.Schema, error) {
	return r.Schema, f.owner.note("create %s in %s: %s", r.SchemaId, r.Parent, r.Schema.Definition)
}

func (f *schemaFake) CommitSchema(_ context.Context, r *pubsubpb.CommitSchemaRequest) (*pubsubpb.Schema, error) {
	return r.Schema, f.owner.note("commit %s: %s", r.Name, r.Schema.Definition)
}

func (f *schemaFake) DeleteSchema(_ context.Context, r *pubsubpb.DeleteSchemaRequest) (*emptypb.Empty, error) {
	return new(emptypb.Empty), f.owner.note("delete %s", r.Name)
}

// services are the fake's; without schemas it is like a server that does not know the service.
func (f *fake) services() Services {
	return Services{Register: func(r grpc.ServiceRegistrar) {
		pubsubpb.RegisterPublisherServer(r, f)
		pubsubpb.RegisterSubscriberServer(r, f)
		if f.schemas != nil {
			pubsubpb.RegisterSchemaServiceServer(r, f.schemas)
		}
	}}
}

func (f *fake) connect(t *testing.T) *Server {
	t.Helper()
	server, stop, err := within(f.services())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return server
}

func parsed(t *testing.T, text string) *declare.Resources {
	t.Helper()
	r, err := declare.Parse("f", []byte(text), "p")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// holding is a fake that has what the text declares.
func holding(t *testing.T, text string) *fake {
	r := parsed(t, text)
	f := &fake{topics: r.Topics, subscriptions: r.Subscriptions}
	f.schemas = &schemaFake{owner: f, all: r.Schemas}
	return f
}

const many = `topics: [aaa, bbb, ccc, ddd, eee]
subscriptions: [{name: one, topic: aaa}, {name: two, topic: aaa}, {name: three, topic: bbb}]
schemas: [{name: sss, type: AVRO, definition: x}, {name: ttt, type: AVRO, definition: x}, {name: uuu, type: AVRO, definition: x}]
`

func TestListFollowsPagesOfEveryKind(t *testing.T) {
	have, err := holding(t, many).connect(t).List(t.Context(), []string{"p"})
	if err != nil || len(have.Topics) != 5 || len(have.Subscriptions) != 3 || len(have.Schemas) != 3 {
		t.Errorf("%v: %+v", err, have)
	}
}

func TestAServerWithoutSchemasHasNone(t *testing.T) {
	f := holding(t, many)
	f.schemas = nil
	have, err := f.connect(t).List(t.Context(), []string{"p"})
	if err != nil || len(have.Topics) != 5 || len(have.Schemas) != 0 {
		t.Errorf("%v: %+v", err, have)
	}
}

func TestACallThatFailsSaysWhatItWasAbout(t *testing.T) {
	_, err := new(fake).connect(t).List(t.Context(), []string{"q"})
	var call *CallError
	if !errors.As(err, &call) || status.Code(err) != codes.InvalidArgument || err.Error() != "list topics of projects/q: INVALID_ARGUMENT: project projects/q" {
		t.Errorf("%v", err)
	}
}

func TestEveryStepIsOneCall(t *testing.T) {
	f := holding(t, `topics: [{name: changed, labels: {a: b}}, same, surplus]
subscriptions: [{name: changed, topic: same}, {name: surplus, topic: same}, {name: stuck, topic: same}]
schemas: [{name: changed, type: AVRO, definition: one}, {name: surplus, type: AVRO, definition: one}]
`)
	server := f.connect(t)
	want := parsed(t, `topics: [changed, same, fresh]
subscriptions: [{name: changed, topic: same, ackDeadlineSeconds: 60}, {name: fresh, topic: fresh}, {name: stuck, topic: fresh}]
schemas: [{name: changed, type: AVRO, definition: two}, {name: fresh, type: AVRO, definition: new}]
`)
	have, err := server.List(t.Context(), []string{"p"})
	if err != nil {
		t.Fatal(err)
	}
	steps := declare.Plan(want, have, true)
	for i := range steps {
		if err := server.CarryOut(t.Context(), &steps[i]); err != nil {
			t.Error(err)
		}
	}
	calls := []string{
		"commit schemas/changed: two", "create fresh in projects/p: new",
		"update topics/changed [labels]", "create topics/fresh",
		"update subscriptions/changed [ack_deadline_seconds]", "create subscriptions/fresh on topics/fresh",
		"delete subscriptions/surplus", "delete topics/surplus", "delete schemas/surplus",
	}
	if !slices.Equal(f.calls, calls) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(f.calls, "\n"), strings.Join(calls, "\n"))
	}
}

func TestAStartUpdatesWhatIsDeclaredAndCreatesWhatIsOnlyNamed(t *testing.T) {
	f := holding(t, "topics: [{name: orders, labels: {a: b}}, {name: events, labels: {a: b}}]\nsubscriptions: [{name: stuck, topic: events}]\n")
	var log bytes.Buffer
	s := Startup{
		Declared: parsed(t, "topics: [orders]\nsubscriptions: [{name: stuck, topic: orders}]\n"),
		Named:    parsed(t, "topics: [orders, events, fresh]\n"),
	}
	if err := s.Apply(t.Context(), f.services(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if want := []string{"update topics/orders [labels]", "create topics/fresh"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls %q, want %q", f.calls, want)
	}
	if text := log.String(); strings.Count(text, "level=INFO msg=applied") != 2 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "(cannot be changed)") {
		t.Errorf("log:\n%s", text)
	}
}

func TestAStartThatIsRefusedSomethingFailsAfterAllElse(t *testing.T) {
	f := &fake{refuse: "topics/bad"}
	s := Startup{Declared: parsed(t, "topics: [bad1, good, bad2]"), Named: new(declare.Resources)}
	err := s.Apply(t.Context(), f.services(), slog.New(slog.DiscardHandler))
	const want = "resources at the start: create projects/p/topics/bad1: INVALID_ARGUMENT: refused\ncreate projects/p/topics/bad2: INVALID_ARGUMENT: refused"
	if err == nil || err.Error() != want || !slices.Equal(f.calls, []string{"create topics/good"}) {
		t.Errorf("%v, calls %q", err, f.calls)
	}
}

func TestAStartWithNothingToHaveCallsNobody(t *testing.T) {
	s := Startup{Declared: new(declare.Resources), Named: new(declare.Resources)}
	services := Services{Register: func(grpc.ServiceRegistrar) { t.Error("services were started") }}
	if err := s.Apply(t.Context(), services, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}
