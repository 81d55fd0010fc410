// Package fake is a small Pub/Sub server in memory, made for testing the load generator: it delivers everything once, and can be told
// to misbehave. It knows topics, subscriptions, Publish, StreamingPull, Acknowledge,
// ModifyAckDeadline and Seek, and nothing else. What is nacked on a stream goes to the dead letter topic at once.
package fake

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Faults is how a Server misbehaves; the zero value behaves. Message numbers count from 1 over all topics, in the order of arrival.
type Faults struct {
	LoseMessage      int // accepted and never delivered
	RepeatMessage    int // delivered twice
	ForgetMessageID  int // the call with this message is answered with one id too few
	RefuseMessage    int // the call with this message fails
	BreakStreamAfter int // so many messages on a stream, then it fails
	RefuseAck        int // the unary acknowledgement with the so many-th id fails
}

// Server is the fake. Safe for concurrent use.
type Server struct {
	Address string

	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer
	grpc   *grpc.Server
	served sync.WaitGroup
	faults Faults

	mu            sync.Mutex
	arrived       int
	acked         int
	receipts      int
	topics        map[string][]string // subscriptions of a topic
	subscriptions map[string]*backlog
}

// backlog is what one subscription has to deliver.
type backlog struct {
	waiting []*pubsubpb.ReceivedMessage
	all     map[string]*pubsubpb.ReceivedMessage // by ack id, whatever has become of them
	grown   chan struct{}                        // closed and replaced whenever something was added
	dead    string                               // dead letter topic
}

func (b *backlog) add(message *pubsubpb.ReceivedMessage) {
	b.waiting = append(b.waiting, message)
	b.all[message.AckId] = message
	close(b.grown)
	b.grown = make(chan struct{})
}

// Start serves on a free loopback port until Stop.
func Start(faults Faults) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the fake server: %w", err)
	}
	s := &Server{Address: listener.Addr().String(), grpc: grpc.NewServer(), faults: faults,
		topics: map[string][]string{}, subscriptions: map[string]*backlog{}}
	pubsubpb.RegisterPublisherServer(s.grpc, s)
	pubsubpb.RegisterSubscriberServer(s.grpc, s)
	s.served.Go(func() { _ = s.grpc.Serve(listener) }) //nolint:errcheck // Stop ends it
	return s, nil
}

// Stop ends every call and waits.
func (s *Server) Stop() {
	s.grpc.Stop()
	s.served.Wait()
}

// Acked is how many acknowledgements came.
func (s *Server) Acked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// Receipts is how many deadlines were changed by unary calls.
func (s *Server) Receipts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receipts
}

// Acknowledge counts.
func (s *Server) Acknowledge(_ context.Context, r *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.acked
	s.acked += len(r.AckIds)
	if s.faults.RefuseAck > before && s.faults.RefuseAck <= s.acked || s.subscriptions[r.Subscription] == nil {
		return nil, status.Error(codes.InvalidArgument, "told to refuse")
	}
	return &emptypb.Empty{}, nil
}

// ModifyAckDeadline counts.
func (s *Server) ModifyAckDeadline(_ context.Context, r *pubsubpb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscriptions[r.Subscription] == nil || r.AckDeadlineSeconds == 0 {
		return nil, status.Error(codes.InvalidArgument, "no subscription, or no deadline")
	}
	s.receipts += len(r.AckIds)
	return &emptypb.Empty{}, nil
}

// Seek delivers everything again, whatever the time.
func (s *Server) Seek(_ context.Context, r *pubsubpb.SeekRequest) (*pubsubpb.SeekResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.subscriptions[r.Subscription]
	if b == nil || r.GetTime() == nil {
		return nil, status.Error(codes.InvalidArgument, "no subscription, or no time")
	}
	for _, message := range b.all {
		b.add(message)
	}
	return &pubsubpb.SeekResponse{}, nil
}

// Resources is how many topics and subscriptions there are.
func (s *Server) Resources() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.topics) + len(s.subscriptions)
}

// ListTopics answers nothing; it is how the generator asks whether a server serves.
func (s *Server) ListTopics(context.Context, *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	return &pubsubpb.ListTopicsResponse{}, nil
}

// CreateTopic makes a topic.
func (s *Server) CreateTopic(_ context.Context, topic *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[topic.Name] = nil
	return topic, nil
}

// CreateSubscription makes a subscription.
func (s *Server) CreateSubscription(_ context.Context, r *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[r.Topic] = append(s.topics[r.Topic], r.Name)
	s.subscriptions[r.Name] = &backlog{grown: make(chan struct{}), all: map[string]*pubsubpb.ReceivedMessage{},
		dead: r.GetDeadLetterPolicy().GetDeadLetterTopic()}
	return r, nil
}

// DeleteTopic removes a topic.
func (s *Server) DeleteTopic(_ context.Context, r *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.topics, r.Topic)
	return &emptypb.Empty{}, nil
}

// DeleteSubscription removes a subscription.
func (s *Server) DeleteSubscription(_ context.Context, r *pubsubpb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscriptions, r.Subscription)
	return &emptypb.Empty{}, nil
}

// Publish hands the messages to every subscription of the topic.
func (s *Server) Publish(_ context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subscriptions, found := s.topics[r.Topic]
	if !found {
		return nil, status.Errorf(codes.NotFound, "no topic %s", r.Topic)
	}
	reply := &pubsubpb.PublishResponse{}
	for _, message := range r.Messages {
		s.arrived++
		if s.arrived == s.faults.RefuseMessage {
			return nil, status.Error(codes.Unavailable, "told to refuse")
		}
		if s.arrived != s.faults.ForgetMessageID {
			reply.MessageIds = append(reply.MessageIds, fmt.Sprint(s.arrived))
		}
		if s.arrived == s.faults.LoseMessage {
			continue
		}
		received := &pubsubpb.ReceivedMessage{AckId: fmt.Sprintf("ack-%09d", s.arrived), Message: message}
		for _, name := range subscriptions {
			b := s.subscriptions[name]
			b.add(received)
			if s.arrived == s.faults.RepeatMessage {
				b.add(proto.CloneOf(received))
			}
		}
	}
	return reply, nil
}

// StreamingPull delivers what waits and counts acknowledgements, until the client ends its side.
func (s *Server) StreamingPull(stream pubsubpb.Subscriber_StreamingPullServer) error {
	opening, err := stream.Recv()
	if err != nil {
		return err
	}
	s.mu.Lock()
	b := s.subscriptions[opening.Subscription]
	s.mu.Unlock()
	if b == nil || opening.StreamAckDeadlineSeconds < 10 || opening.MaxOutstandingMessages == 0 {
		return status.Errorf(codes.InvalidArgument, "opening request %v", opening)
	}
	ended := make(chan struct{})
	s.served.Go(func() { // ends with the stream
		defer close(ended)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.acked += len(request.AckIds)
			for i, seconds := range request.ModifyDeadlineSeconds {
				if message := b.all[request.ModifyDeadlineAckIds[i]]; seconds == 0 && message != nil {
					for _, name := range s.topics[b.dead] {
						s.subscriptions[name].add(message)
					}
				}
			}
			s.mu.Unlock()
		}
	})
	return s.deliver(stream, b, ended)
}

const responseMessagesMax = 150 // not a multiple of the batches that tests publish

func (s *Server) deliver(stream pubsubpb.Subscriber_StreamingPullServer, b *backlog, ended <-chan struct{}) error {
	for sent := 0; ; {
		s.mu.Lock()
		n := min(len(b.waiting), responseMessagesMax)
		response := &pubsubpb.StreamingPullResponse{ReceivedMessages: slices.Clone(b.waiting[:n])}
		b.waiting = b.waiting[n:]
		grown := b.grown
		s.mu.Unlock()
		if n > 0 {
			if err := stream.Send(response); err != nil {
				return err
			}
			if sent += n; s.faults.BreakStreamAfter > 0 && sent >= s.faults.BreakStreamAfter {
				return status.Error(codes.Unavailable, "told to break")
			}
			continue
		}
		select {
		case <-grown:
		case <-ended:
			return nil
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
