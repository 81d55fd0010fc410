package google

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// subscriber is the service google.pubsub.v1.Subscriber.
var subscriber = grpc.ServiceDesc{
	ServiceName: pubsubpb.Subscriber_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Metadata:    pubsubpb.Subscriber_ServiceDesc.Metadata,
	Methods: []grpc.MethodDesc{
		method("CreateSubscription", (*server).createSubscription),
		method("GetSubscription", (*server).getSubscription),
		method("UpdateSubscription", (*server).updateSubscription),
		method("ListSubscriptions", (*server).listSubscriptions),
		method("DeleteSubscription", (*server).deleteSubscription),
		method("ModifyPushConfig", (*server).modifyPushConfig),
		method("CreateSnapshot", (*server).createSnapshot),
		method("GetSnapshot", (*server).getSnapshot),
		method("ListSnapshots", (*server).listSnapshots),
		method("UpdateSnapshot", (*server).updateSnapshot),
		method("DeleteSnapshot", (*server).deleteSnapshot),
		method("Seek", (*server).seek),
		rawMethod("Pull", (*server).pull),
		rawMethod("Acknowledge", (*server).acknowledge),
		rawMethod("ModifyAckDeadline", (*server).modifyAckDeadline),
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "StreamingPull", Handler: streamingPull, ServerStreams: true, ClientStreams: true},
	},
}

func (s *server) createSubscription(ctx context.Context, in *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	return s.broker.CreateSubscription(ctx, in)
}

func (s *server) getSubscription(_ context.Context, in *pubsubpb.GetSubscriptionRequest) (*pubsubpb.Subscription, error) {
	return s.broker.GetSubscription(in.Subscription)
}

func (s *server) updateSubscription(ctx context.Context, in *pubsubpb.UpdateSubscriptionRequest) (*pubsubpb.Subscription, error) {
	return s.broker.UpdateSubscription(ctx, in.GetSubscription(), in.GetUpdateMask())
}

func (s *server) listSubscriptions(_ context.Context, in *pubsubpb.ListSubscriptionsRequest) (*pubsubpb.ListSubscriptionsResponse, error) {
	page, next, err := s.broker.ListSubscriptions(in.Project, in.PageSize, in.PageToken)
	return &pubsubpb.ListSubscriptionsResponse{Subscriptions: page, NextPageToken: next}, err
}

func (s *server) deleteSubscription(ctx context.Context, in *pubsubpb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.broker.DeleteSubscription(ctx, in.Subscription)
}

func (s *server) modifyPushConfig(ctx context.Context, in *pubsubpb.ModifyPushConfigRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.broker.ModifyPushConfig(ctx, in.Subscription, in.PushConfig)
}
