package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// fake is a server that keeps resources, remembers requests and hands out the messages that a test gives it.
type fake struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer
	address string

	mutex         sync.Mutex
	topics        map[string]*pubsubpb.Topic
	subscriptions map[string]*pubsubpb.Subscription
	masks         [][]string
	published     []*pubsubpb.PublishRequest
	waiting       []*pubsubpb.PubsubMessage // to be handed out, once
	acked         []string
	ackedEvent    chan struct{} // gets a value for each id in acked
	refuse        string        // name of a topic that cannot be created
	streams       int
	breakStreams  int // streams to break after their first response
	pageSize      int
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{
		topics: map[string]*pubsubpb.Topic{}, subscriptions: map[string]*pubsubpb.Subscription{},
		ackedEvent: make(chan struct{}, 10_000), pageSize: 2,
	}
	f.address = serveFake(t, f)
	return f
}

// serveFake serves both services of the API until the test ends.
func serveFake(t *testing.T, services interface {
	pubsubpb.PublisherServer
	pubsubpb.SubscriberServer
}) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pubsubpb.RegisterPublisherServer(server, services)
	pubsubpb.RegisterSubscriberServer(server, services)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// outcome is what a run of the program left behind.
type outcome struct {
	code      int
	out, errs string
}

// run executes the program against the fake.
func (f *fake) run(t *testing.T, input string, args ...string) outcome {
	t.Helper()
	return runIn(t, map[string]string{"PUBSUB_EMULATOR_HOST": f.address, "PUBSUB_PROJECT_ID": "p"}, input, args...)
}

func runIn(t *testing.T, env map[string]string, input string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	a := &app{in: strings.NewReader(input), out: &out, errs: &errs, lookupEnv: lookupIn(env)}
	code := a.execute(ctx, args)
	return outcome{code, out.String(), errs.String()}
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { text, given := env[name]; return text, given }
}

func (f *fake) CreateTopic(_ context.Context, t *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if t.Name == f.refuse {
		return nil, status.Error(codes.InvalidArgument, "refused")
	}
	if f.topics[t.Name] != nil {
		return nil, status.Error(codes.AlreadyExists, "Topic already exists")
	}
	f.topics[t.Name] = t
	return t, nil
}

func (f *fake) GetTopic(_ context.Context, r *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if t := f.topics[r.Topic]; t != nil {
		return t, nil
	}
	return nil, status.Error(codes.NotFound, "Resource not found\n(resource=t).")
}

func (f *fake) UpdateTopic(_ context.Context, r *pubsubpb.UpdateTopicRequest) (*pubsubpb.Topic, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.masks = append(f.masks, r.UpdateMask.Paths)
	f.topics[r.Topic.Name] = r.Topic
	return r.Topic, nil
}

func (f *fake) DeleteTopic(_ context.Context, r *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.topics[r.Topic] == nil {
		return nil, status.Error(codes.NotFound, "Topic not found.")
	}
	delete(f.topics, r.Topic)
	return &emptypb.Empty{}, nil
}

// page cuts names to what a request's token asks for.
func (f *fake) page(names []string, token string) (page []string, next string) {
	slices.Sort(names)
	from := 0
	if token != "" {
		fmt.Sscan(token, &from)
	}
	to := min(from+f.pageSize, len(names))
	if to < len(names) {
		next = fmt.Sprint(to)
	}
	return names[from:to], next
}

func (f *fake) ListTopics(_ context.Context, r *pubsubpb.ListTopicsRequest) (*pubsubpb.ListTopicsResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var names []string
	for name := range f.topics {
		if strings.HasPrefix(name, r.Project+"/") {
			names = append(names, name)
		}
	}
	response := &pubsubpb.ListTopicsResponse{}
	names, response.NextPageToken = f.page(names, r.PageToken)
	for _, name := range names {
		response.Topics = append(response.Topics, f.topics[name])
	}
	return response, nil
}

func (f *fake) ListTopicSubscriptions(_ context.Context, r *pubsubpb.ListTopicSubscriptionsRequest) (*pubsubpb.ListTopicSubscriptionsResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.topics[r.Topic] == nil {
		return nil, status.Error(codes.NotFound, "Resource not found")
	}
	var names []string
	for name, s := range f.subscriptions {
		if s.Topic == r.Topic {
			names = append(names, name)
		}
	}
	response := &pubsubpb.ListTopicSubscriptionsResponse{}
	response.Subscriptions, response.NextPageToken = f.page(names, r.PageToken)
	return response, nil
}

func (f *fake) Publish(_ context.Context, r *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.topics[r.Topic] == nil {
		return nil, status.Error(codes.NotFound, "Resource not found (resource=t).")
	}
	first := 0
	for _, before := range f.published {
		first += len(before.Messages)
	}
	f.published = append(f.published, r)
	response := &pubsubpb.PublishResponse{}
	for i := range r.Messages {
		response.MessageIds = append(response.MessageIds, fmt.Sprint(first+i+1))
	}
	return response, nil
}

func (f *fake) CreateSubscription(_ context.Context, s *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.subscriptions[s.Name] = s
	return s, nil
}

func (f *fake) GetSubscription(_ context.Context, r *pubsubpb.GetSubscriptionRequest) (*pubsubpb.Subscription, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if s := f.subscriptions[r.Subscription]; s != nil {
		return proto.Clone(s).(*pubsubpb.Subscription), nil
	}
	return nil, status.Error(codes.NotFound, "Resource not found (resource=s).")
}

func (f *fake) UpdateSubscription(_ context.Context, r *pubsubpb.UpdateSubscriptionRequest) (*pubsubpb.Subscription, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.masks = append(f.masks, r.UpdateMask.Paths)
	f.subscriptions[r.Subscription.Name] = r.Subscription
	return r.Subscription, nil
}

func (f *fake) ListSubscriptions(_ context.Context, r *pubsubpb.ListSubscriptionsRequest) (*pubsubpb.ListSubscriptionsResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var names []string
	for name := range f.subscriptions {
		if strings.HasPrefix(name, r.Project+"/") {
			names = append(names, name)
		}
	}
	response := &pubsubpb.ListSubscriptionsResponse{}
	names, response.NextPageToken = f.page(names, r.PageToken)
	for _, name := range names {
		response.Subscriptions = append(response.Subscriptions, f.subscriptions[name])
	}
	return response, nil
}

func (f *fake) DetachSubscription(_ context.Context, r *pubsubpb.DetachSubscriptionRequest) (*pubsubpb.DetachSubscriptionResponse, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.subscriptions[r.Subscription].Detached {
		return nil, status.Error(codes.FailedPrecondition, "Subscription already detached.")
	}
	f.subscriptions[r.Subscription].Detached = true
	return &pubsubpb.DetachSubscriptionResponse{}, nil
}

func (f *fake) DeleteSubscription(_ context.Context, r *pubsubpb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.subscriptions, r.Subscription)
	return &emptypb.Empty{}, nil
}

// give makes a message wait for a pull.
func (f *fake) give(data string, change ...func(*pubsubpb.PubsubMessage)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	m := &pubsubpb.PubsubMessage{
		MessageId: fmt.Sprint(len(f.waiting) + 1), Data: []byte(data),
		PublishTime: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)),
	}
	for _, c := range change {
		c(m)
	}
	f.waiting = append(f.waiting, m)
}

// take hands out up to n waiting messages.
func (f *fake) take(n int) []*pubsubpb.ReceivedMessage {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var taken []*pubsubpb.ReceivedMessage
	for ; n > 0 && len(f.waiting) > 0; n-- {
		taken = append(taken, &pubsubpb.ReceivedMessage{AckId: "ack-" + f.waiting[0].MessageId, Message: f.waiting[0]})
		f.waiting = f.waiting[1:]
	}
	return taken
}

func (f *fake) noteAcked(ids []string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.acked = append(f.acked, ids...)
	for range ids {
		f.ackedEvent <- struct{}{}
	}
}

// confirmed is what was acknowledged so far.
func (f *fake) confirmed() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.Clone(f.acked)
}

func (f *fake) Pull(ctx context.Context, r *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	taken := f.take(int(min(r.MaxMessages, 2))) // fewer than asked for, as a real server may
	if len(taken) == 0 && !r.ReturnImmediately {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &pubsubpb.PullResponse{ReceivedMessages: taken}, nil
}

func (f *fake) Acknowledge(_ context.Context, r *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	f.noteAcked(r.AckIds)
	return &emptypb.Empty{}, nil
}

func (f *fake) StreamingPull(stream pubsubpb.Subscriber_StreamingPullServer) error {
	open, err := stream.Recv()
	if err != nil {
		return err
	}
	f.mutex.Lock()
	f.streams++
	fails := f.breakStreams > 0
	if fails {
		f.breakStreams--
	}
	f.mutex.Unlock()
	if open.StreamAckDeadlineSeconds < 10 {
		return status.Error(codes.InvalidArgument, "first message must set stream_ack_deadline_seconds")
	}
	for taken := f.take(2); len(taken) > 0; taken = f.take(2) {
		if err := stream.Send(&pubsubpb.StreamingPullResponse{ReceivedMessages: taken}); err != nil {
			return err
		}
		if fails {
			return status.Error(codes.Unavailable, "The broker is shutting down.")
		}
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		f.noteAcked(request.AckIds)
	}
}
