package blackbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/chaos/process"
)

// patience bounds every wait for something that must happen. It is generous: a machine may be busy, and a test that waits in vain fails
// anyway.
const patience = time.Minute

// commonServer is the one that tests without needs of their own share; each uses a project of its own.
var commonServer struct {
	once   sync.Once
	broker *process.Broker
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if b := commonServer.broker; b != nil {
		if err := b.Kill(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		if log := b.Log.(*process.Log); code != 0 || log.Alarm() != "" {
			fmt.Fprintf(os.Stderr, "output of the server that tests shared:\n%s\nalarm: %q\n", log, log.Alarm())
			code = max(code, 1)
		}
		_ = os.RemoveAll(b.Data) // the temporary directory's own housekeeping takes what is left
	}
	process.Remove()
	os.Exit(code)
}

func startCommon() {
	dir, err := os.MkdirTemp("", "posthaste-blackbox-")
	if err != nil {
		commonServer.err = err
		return
	}
	addr, err := process.FreeAddr()
	if err != nil {
		commonServer.err = err
		return
	}
	b := &process.Broker{Addr: addr, Data: dir, Log: new(process.Log)}
	if commonServer.err = b.Build(); commonServer.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		commonServer.err = fmt.Errorf("%w\n%s", err, b.Log)
		return
	}
	commonServer.broker = b
}

// server is a running broker as one test sees it.
type server struct {
	addr    string
	broker  *process.Broker // nil when the server was given from outside
	project string
	pb.PublisherClient
	sub pb.SubscriberClient
}

// common gives a test a project of its own on the server that tests share.
func common(t *testing.T) *server {
	t.Helper()
	if addr := os.Getenv("POSTHASTE_TEST_ADDR"); addr != "" {
		return connect(t, addr, nil)
	}
	commonServer.once.Do(startCommon)
	if commonServer.err != nil {
		t.Fatalf("start the server: %v", commonServer.err)
	}
	return connect(t, commonServer.broker.Addr, commonServer.broker)
}

// own starts a server for one test, on a data directory of its own.
func own(t *testing.T, args ...string) *server {
	t.Helper()
	b := ownBroker(t, args...)
	start(t, b)
	return connect(t, b.Addr, b)
}

// ownBroker prepares a broker without starting it.
func ownBroker(t *testing.T, args ...string) *process.Broker {
	t.Helper()
	if os.Getenv("POSTHASTE_TEST_ADDR") != "" {
		t.Skip("needs a server of its own, but POSTHASTE_TEST_ADDR names one")
	}
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	log := new(process.Log)
	b := &process.Broker{Addr: addr, Data: filepath.Join(t.TempDir(), "data"), Args: args, Log: log}
	t.Cleanup(func() {
		if b.Done() != nil {
			if err := b.Kill(); err != nil {
				t.Error(err)
			}
		}
		if alarm := log.Alarm(); alarm != "" {
			t.Errorf("the server has a defect: %s", alarm)
		}
		if t.Failed() {
			t.Logf("server's output:\n%s", log)
		}
	})
	return b
}

func start(t *testing.T, b *process.Broker) {
	t.Helper()
	if err := b.Build(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatalf("%v\n%s", err, b.Log)
	}
}

// restart ends the server, by SIGTERM or as a crash would, and starts it again on the same data and address.
func (s *server) restart(t *testing.T, crash bool) {
	t.Helper()
	if crash {
		if err := s.broker.Kill(); err != nil {
			t.Fatal(err)
		}
	} else {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.broker.Stop(ctx); err != nil {
			t.Fatalf("stop: %v", err)
		}
	}
	start(t, s.broker)
}

func connect(t *testing.T, addr string, b *process.Broker) *server {
	t.Helper()
	const most = 64 << 20 // the tests send more than the server takes
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most), grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // a test is over: nobody cares how its connection ends
	project := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, t.Name())
	return &server{addr: addr, broker: b, project: fmt.Sprintf("%s-%d", project, time.Now().UnixNano()),
		PublisherClient: pb.NewPublisherClient(conn), sub: pb.NewSubscriberClient(conn)}
}

func (s *server) topicName(id string) string { return "projects/" + s.project + "/topics/" + id }
func (s *server) subName(id string) string   { return "projects/" + s.project + "/subscriptions/" + id }

// topic creates a topic and returns its full name.
func (s *server) topic(t *testing.T, id string) string {
	t.Helper()
	topic, err := s.CreateTopic(limited(t), &pb.Topic{Name: s.topicName(id)})
	if err != nil {
		t.Fatalf("create topic: %v", err)
	}
	return topic.Name
}

// subscription creates a subscription and returns its full name. Each change may set fields first.
func (s *server) subscription(t *testing.T, id, topic string, changes ...func(*pb.Subscription)) string {
	t.Helper()
	r := &pb.Subscription{Name: s.subName(id), Topic: topic}
	for _, change := range changes {
		change(r)
	}
	if _, err := s.sub.CreateSubscription(limited(t), r); err != nil {
		t.Fatalf("create subscription: %v", err)
	}
	return r.Name
}

// pair creates topic t-x and subscription s-x.
func (s *server) pair(t *testing.T, id string, changes ...func(*pb.Subscription)) (topic, sub string) {
	t.Helper()
	topic = s.topic(t, "t-"+id)
	return topic, s.subscription(t, "s-"+id, topic, changes...)
}

// publish publishes messages with the given data in one call and returns their ids.
func (s *server) publish(t *testing.T, topic string, data ...string) []string {
	t.Helper()
	r := &pb.PublishRequest{Topic: topic}
	for _, d := range data {
		r.Messages = append(r.Messages, &pb.PubsubMessage{Data: []byte(d)})
	}
	answer, err := s.Publish(limited(t), r)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return answer.MessageIds
}

// pull pulls until it has n messages.
func (s *server) pull(t *testing.T, sub string, n int) []*pb.ReceivedMessage {
	t.Helper()
	var got []*pb.ReceivedMessage
	ctx := limited(t)
	for len(got) < n {
		answer, err := s.sub.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: int32(n - len(got))})
		if err != nil {
			t.Fatalf("pull after %d of %d messages: %v", len(got), n, err)
		}
		got = append(got, answer.ReceivedMessages...)
	}
	return got
}

// pullNow is Pull with return_immediately.
func (s *server) pullNow(t *testing.T, sub string) []*pb.ReceivedMessage {
	t.Helper()
	answer, err := s.sub.Pull(limited(t), immediately(sub, 1000))
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	return answer.ReceivedMessages
}

func immediately(sub string, most int32) *pb.PullRequest {
	//lint:ignore SA1019 deprecated or not, clients use it
	return &pb.PullRequest{Subscription: sub, MaxMessages: most, ReturnImmediately: true}
}

func (s *server) ack(t *testing.T, sub string, messages ...*pb.ReceivedMessage) {
	t.Helper()
	if _, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: ackIDs(messages)}); err != nil {
		t.Fatalf("acknowledge: %v", err)
	}
}

func (s *server) modify(t *testing.T, sub string, seconds int32, messages ...*pb.ReceivedMessage) {
	t.Helper()
	r := &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: ackIDs(messages), AckDeadlineSeconds: seconds}
	if _, err := s.sub.ModifyAckDeadline(limited(t), r); err != nil {
		t.Fatalf("modify ack deadline: %v", err)
	}
}

func ackIDs(messages []*pb.ReceivedMessage) []string {
	ids := make([]string, 0, len(messages))
	for _, m := range messages {
		ids = append(ids, m.AckId)
	}
	return ids
}

func dataOf(messages []*pb.ReceivedMessage) []string {
	var data []string
	for _, m := range messages {
		data = append(data, string(m.Message.Data))
	}
	return data
}

// limited is a context for calls that must be answered.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// emulatorHost guards the environment variable, which is the process's and not a test's.
var emulatorHost sync.Mutex

// google is Google's own client, pointed at the server in the way that its users do it.
func (s *server) google(t *testing.T) *pubsub.Client {
	t.Helper()
	emulatorHost.Lock()
	defer emulatorHost.Unlock()
	if err := os.Setenv("PUBSUB_EMULATOR_HOST", s.addr); err != nil {
		t.Fatal(err)
	}
	client, err := pubsub.NewClient(t.Context(), s.project)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(func() { _ = client.Close() }) // a test is over: nobody cares how its connection ends
	return client
}

// wantStatus checks an error's code and, unless text is empty, that its message is exactly text.
func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	got, ok := status.FromError(err)
	if !ok || got.Code() != code || text != "" && got.Message() != text {
		t.Errorf("answered %v\n   want %v: %s", err, code, text)
	}
}
