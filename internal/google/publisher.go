package google

import (
	"context"
	"errors"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// publisher is the service google.pubsub.v1.Publisher.
var publisher = grpc.ServiceDesc{
	ServiceName: pubsubpb.Publisher_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Metadata:    pubsubpb.Publisher_ServiceDesc.Metadata,
	Methods: []grpc.MethodDesc{
		method("CreateTopic", (*server).createTopic),
		method("UpdateTopic", (*server).updateTopic),
		method("GetTopic", (*server).getTopic),
		method("ListTopics", (*server).listTopics),
		method("ListTopicSubscriptions", (*server).listTopicSubscriptions),
		method("ListTopicSnapshots", (*server).listTopicSnapshots),
		method("DeleteTopic", (*server).deleteTopic),
		method("DetachSubscription", (*server).detachSubscription),
		rawMethod("Publish", (*server).publish),
	},
}

func (s *server) createTopic(ctx context.Context, in *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	return s.broker.CreateTopic(ctx, in)
}

func (s *server) updateTopic(ctx context.Context, in *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	return s.broker.UpdateTopic(ctx, in.GetTopic(), in.GetUpdateMask())
}

func (s *server) getTopic(_ context.Context, in *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	return s.broker.GetTopic(in.Topic)
}

func (s *server) listTopics(_ context.Context, in *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	page, next, err := s.broker.ListTopics(in.Project, in.PageSize, in.PageToken)
	return &pubsubpb.ListTopicsResponse{Topics: page, NextPageToken: next}, err
}

func (s *server) listTopicSubscriptions(_ context.Context, in *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	page, next, err := s.broker.ListTopicSubscriptions(in.Topic, in.PageSize, in.PageToken)
	return &pubsubpb.ListTopicSubscriptionsResponse{Subscriptions: page, NextPageToken: next}, err
}

func (s *server) deleteTopic(ctx context.Context, in *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.broker.DeleteTopic(ctx, in.Topic)
}

func (s *server) detachSubscription(ctx context.Context, in *pubsubpb.DetachSubscriptionRequest) (*pubsubpb.DetachSubscriptionResponse, error) {
	return &pubsubpb.DetachSubscriptionResponse{}, s.broker.DetachSubscription(ctx, in.Subscription)
}

var publishScans = sync.Pool{New: func() any { return new(wire.Publish) }}

func (s *server) publish(ctx context.Context, request []byte) (*wire.Raw, error) {
	p := publishScans.Get().(*wire.Publish)
	defer func() {
		p.Reset()
		publishScans.Put(p)
	}()
	if err := p.Scan(request); err != nil {
		var broken *wire.InvalidError
		if errors.As(err, &broken) && broken.Rule > wire.RuleMalformed && !catalog.ValidTopicName(p.Topic) {
			return nil, catalog.BadName(string(p.Topic)) // the name is checked first, also one that was not sent
		}
		return nil, err
	}
	if len(request) > limit.OrdinaryRequestBytesMax {
		if err := s.large.enter(ctx); err != nil {
			return nil, err
		}
		defer s.large.leave()
	}
	first, err := s.broker.Publish(ctx, p)
	if err != nil {
		return nil, err
	}
	if p.IDs != nil {
		response := wire.NewRaw(wire.PublishResponseSize(len(p.IDs)))
		response.Data = wire.AppendPublishIDs(response.Data, first, p.IDs)
		return response, nil
	}
	response := wire.NewRaw(wire.PublishResponseSize(p.Count))
	response.Data = wire.AppendPublishResponse(response.Data, first, p.Count)
	return response, nil
}
