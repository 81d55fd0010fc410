package google

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/google/transformpb"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// transformTester are the methods that try message transforms without publishing anything.
var transformTester = grpc.ServiceDesc{
	ServiceName: "posthaste.transform.v1.MessageTransformTester",
	HandlerType: (*any)(nil),
	Metadata:    transformpb.File_transformpb_transform_proto.Path(),
	Methods: []grpc.MethodDesc{
		method("TestMessageTransforms", (*server).testMessageTransforms),
		method("ValidateMessageTransform", (*server).validateMessageTransform),
	},
}

// validateMessageTransform says whether a resource could be created with the transform.
func (s *server) validateMessageTransform(ctx context.Context, in *transformpb.ValidateMessageTransformRequest) (*transformpb.ValidateMessageTransformResponse, error) {
	if _, err := catalog.ParseProject(in.Project); err != nil {
		return nil, err
	}
	if in.MessageTransform == nil {
		return nil, status.Error(codes.InvalidArgument, "A message_transform is required.")
	}
	one := []*pubsubpb.MessageTransform{in.MessageTransform}
	if err := catalog.CheckTransforms(one); err != nil {
		return nil, err
	}
	return &transformpb.ValidateMessageTransformResponse{}, transform.Check(ctx, s.broker.Transforms(), one)
}

// testMessageTransforms gives the message after each transform. One that drops the message, or fails, is the last.
func (s *server) testMessageTransforms(ctx context.Context, in *transformpb.TestMessageTransformsRequest) (*transformpb.TestMessageTransformsResponse, error) {
	if _, err := catalog.ParseProject(in.Project); err != nil {
		return nil, err
	}
	if in.Message == nil {
		return nil, status.Error(codes.InvalidArgument, "A message is required.")
	}
	transforms, err := s.transformsOf(ctx, in)
	if err != nil {
		return nil, err
	}
	response := &transformpb.TestMessageTransformsResponse{}
	message := in.Message
	for i, t := range transforms {
		chain := transform.NewChain([]*pubsubpb.MessageTransform{t}, false)
		if chain == nil {
			continue // disabled, or inert
		}
		input, err := inputOf(message)
		if err != nil {
			return nil, err
		}
		outcomes, err := s.broker.Transforms().Run(ctx, chain, []transform.Input{input})
		if err != nil {
			return nil, status.Errorf(codes.Unavailable, "The message transforms could not be run: %v.", err)
		}
		result, next, err := resultOf(i, &outcomes[0], message)
		if err != nil {
			return nil, err
		}
		response.TransformedMessages = append(response.TransformedMessages, result)
		if next == nil {
			break
		}
		message = next
	}
	return response, nil
}

// transformsOf are the transforms that a request means.
func (s *server) transformsOf(ctx context.Context, in *transformpb.TestMessageTransformsRequest) ([]*pubsubpb.MessageTransform, error) {
	switch target := in.Target.(type) {
	case *transformpb.TestMessageTransformsRequest_Topic:
		topic, err := s.broker.GetTopic(target.Topic)
		return topic.GetMessageTransforms(), err
	case *transformpb.TestMessageTransformsRequest_Subscription:
		subscription, err := s.broker.GetSubscription(target.Subscription)
		return subscription.GetMessageTransforms(), err
	case *transformpb.TestMessageTransformsRequest_MessageTransforms:
		transforms := target.MessageTransforms.GetMessageTransforms()
		if err := catalog.CheckTransforms(transforms); err != nil {
			return nil, err
		}
		return transforms, transform.Check(ctx, s.broker.Transforms(), transforms)
	}
	return nil, status.Error(codes.InvalidArgument, "One of message_transforms, topic and subscription is required.")
}

// inputOf is a message as a transform takes it: what the server adds goes apart.
func inputOf(m *pubsubpb.PubsubMessage) (in transform.Input, err error) {
	in.ID, _ = strconv.ParseUint(m.MessageId, 10, 64) // an id that is none is left out
	if t := m.PublishTime; t != nil {
		if err := t.CheckValid(); err != nil {
			return in, status.Errorf(codes.InvalidArgument, "The publish_time of the message is not a time: %v.", err)
		}
		in.Time = t.AsTime().UnixNano()
	}
	in.Message, err = proto.MarshalOptions{Deterministic: true}.Marshal(
		&pubsubpb.PubsubMessage{Data: m.Data, Attributes: m.Attributes, OrderingKey: m.OrderingKey})
	if err != nil {
		return in, status.Errorf(codes.InvalidArgument, "The message is not valid: %v.", err)
	}
	return in, nil
}

// resultOf tells what a transform made of a message, and gives the message for the next one: nil if there is none.
func resultOf(index int, o *transform.Outcome, before *pubsubpb.PubsubMessage) (*transformpb.TransformedMessage, *pubsubpb.PubsubMessage, error) {
	switch {
	case o.Failure != "":
		// Each transform runs as a chain of its own here, and stands at its place in the resource's.
		text := fmt.Sprintf("message transform %d: %s", index, strings.TrimPrefix(o.Failure, "message transform 0: "))
		failed := &transformpb.FailedMessage{Error: &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: text}}
		return &transformpb.TransformedMessage{Result: &transformpb.TransformedMessage_FailedMessage{FailedMessage: failed}}, nil, nil
	case o.Dropped:
		return &transformpb.TransformedMessage{Result: &transformpb.TransformedMessage_FilteredMessage{FilteredMessage: &transformpb.FilteredMessage{}}}, nil, nil
	}
	after := new(pubsubpb.PubsubMessage)
	if err := proto.Unmarshal(o.Message, after); err != nil {
		return nil, nil, status.Errorf(codes.InvalidArgument, "The transformed message is not valid: %v.", err)
	}
	after.MessageId, after.PublishTime = before.MessageId, before.PublishTime
	return &transformpb.TransformedMessage{Result: &transformpb.TransformedMessage_TransformedMessage{TransformedMessage: after}}, after, nil
}
