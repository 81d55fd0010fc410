// Package provision makes a server of google.pubsub.v1 have what package declare plans: it lists what is there and makes the calls.
package provision

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/declare"
)

// callTimeout bounds a call, which a server should answer at once.
const callTimeout = 60 * time.Second

// pageSize is how many resources one call lists.
const pageSize = 1000

// Server is a server to list and to change. It is safe for concurrent use.
type Server struct {
	publisher  pubsubpb.PublisherClient
	subscriber pubsubpb.SubscriberClient
	schemas    pubsubpb.SchemaServiceClient
}

// To is the server behind a connection.
func To(conn grpc.ClientConnInterface) *Server {
	return &Server{pubsubpb.NewPublisherClient(conn), pubsubpb.NewSubscriberClient(conn), pubsubpb.NewSchemaServiceClient(conn)}
}

// CallError is a call that failed. It unwraps to the status error.
type CallError struct {
	About string // such as "create projects/p/topics/t"
	Err   error
}

func (e *CallError) Unwrap() error { return e.Err }

func (e *CallError) Error() string {
	s := status.Convert(e.Err)
	return fmt.Sprintf("%s: %s: %s", e.About, code.Code(s.Code()), s.Message())
}

// List gives what the server has in projects. A server without schemas, such as an old emulator, has none. An error is a *CallError.
func (s *Server) List(ctx context.Context, projects []string) (*declare.Resources, error) {
	have := new(declare.Resources)
	for _, project := range projects {
		if err := s.list(ctx, "projects/"+project, have); err != nil {
			return nil, err
		}
	}
	return have, nil
}

func (s *Server) list(ctx context.Context, project string, have *declare.Resources) error {
	topics := &pubsubpb.ListTopicsRequest{Project: project, PageSize: pageSize}
	err := pages(ctx, &topics.PageToken, func(ctx context.Context) (string, error) {
		page, err := s.publisher.ListTopics(ctx, topics)
		have.Topics = append(have.Topics, page.GetTopics()...)
		return page.GetNextPageToken(), err
	})
	if err != nil {
		return &CallError{"list topics of " + project, err}
	}
	subscriptions := &pubsubpb.ListSubscriptionsRequest{Project: project, PageSize: pageSize}
	err = pages(ctx, &subscriptions.PageToken, func(ctx context.Context) (string, error) {
		page, err := s.subscriber.ListSubscriptions(ctx, subscriptions)
		have.Subscriptions = append(have.Subscriptions, page.GetSubscriptions()...)
		return page.GetNextPageToken(), err
	})
	if err != nil {
		return &CallError{"list subscriptions of " + project, err}
	}
	schemas := &pubsubpb.ListSchemasRequest{Parent: project, PageSize: pageSize, View: pubsubpb.SchemaView_FULL}
	err = pages(ctx, &schemas.PageToken, func(ctx context.Context) (string, error) {
		page, err := s.schemas.ListSchemas(ctx, schemas)
		have.Schemas = append(have.Schemas, page.GetSchemas()...)
		return page.GetNextPageToken(), err
	})
	if err != nil && status.Code(err) != codes.Unimplemented {
		return &CallError{"list schemas of " + project, err}
	}
	return nil
}

// pages calls next until it gives no further page token, each time with the last token in its request.
func pages(ctx context.Context, token *string, next func(context.Context) (string, error)) error {
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		following, err := next(call)
		cancel()
		if err != nil || following == "" {
			return err
		}
		*token = following
	}
}

// CarryOut makes the call of a step. Steps that change nothing make none. An error is a *CallError.
func (s *Server) CarryOut(ctx context.Context, step *declare.Step) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var err error
	switch step.Verb {
	case declare.Create:
		err = s.create(ctx, step)
	case declare.Update:
		err = s.update(ctx, step)
	case declare.Delete:
		err = s.remove(ctx, step)
	}
	if err != nil {
		return &CallError{string(step.Verb) + " " + step.Name, err}
	}
	return nil
}

func (s *Server) create(ctx context.Context, step *declare.Step) (err error) {
	switch r := step.Resource.(type) {
	case *pubsubpb.Topic:
		_, err = s.publisher.CreateTopic(ctx, r)
	case *pubsubpb.Subscription:
		_, err = s.subscriber.CreateSubscription(ctx, r)
	case *pubsubpb.Schema:
		parent, id, _ := strings.Cut(r.Name, "/schemas/")
		_, err = s.schemas.CreateSchema(ctx, &pubsubpb.CreateSchemaRequest{Parent: parent, SchemaId: id, Schema: r})
	}
	return err
}

func (s *Server) update(ctx context.Context, step *declare.Step) (err error) {
	switch r := step.Resource.(type) {
	case *pubsubpb.Topic:
		_, err = s.publisher.UpdateTopic(ctx, &pubsubpb.UpdateTopicRequest{Topic: r, UpdateMask: step.Mask()})
	case *pubsubpb.Subscription:
		_, err = s.subscriber.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{Subscription: r, UpdateMask: step.Mask()})
	case *pubsubpb.Schema:
		_, err = s.schemas.CommitSchema(ctx, &pubsubpb.CommitSchemaRequest{Name: r.Name, Schema: r})
	}
	return err
}

func (s *Server) remove(ctx context.Context, step *declare.Step) (err error) {
	switch step.Kind {
	case "topic":
		_, err = s.publisher.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: step.Name})
	case "subscription":
		_, err = s.subscriber.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: step.Name})
	case "schema":
		_, err = s.schemas.DeleteSchema(ctx, &pubsubpb.DeleteSchemaRequest{Name: step.Name})
	}
	return err
}
