package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/posthaste-io/posthaste/check"
)

// The load's topics and subscriptions. Two projects, so that isolation between them has something to show.
const (
	letters = "projects/one/topics/letters"
	parcels = "projects/one/topics/parcels"
	stamps  = "projects/two/topics/stamps"
)

// plan is a subscription of the load and who reads it.
type plan struct {
	name    string
	topic   string
	config  check.Config
	streams int
	pullers int
	limits  check.Limits  // of each stream
	poison  bool          // readers never handle poisonous messages
	late    bool          // readers acknowledge many messages about when their leases run out
	replay  *staleIDs     // ack ids that no longer hold are sent again and again; nil for none
	churn   time.Duration // how long a stream lives, on average; 0 leaves it open
}

// subscriptions are all that the load reads.
var subscriptions = []plan{
	{name: "projects/one/subscriptions/letters-a", topic: letters, streams: 2, limits: check.Limits{Messages: 200}},
	{name: "projects/one/subscriptions/letters-b", topic: letters, streams: 1, pullers: 1},
	{name: sought, topic: letters, config: check.Config{Retained: true}, streams: 1, pullers: 1},
	{name: "projects/one/subscriptions/parcels-a", topic: parcels, streams: 2, limits: check.Limits{Bytes: 100_000}},
	{name: "projects/one/subscriptions/parcels-b", topic: parcels, pullers: 1},
	{name: "projects/one/subscriptions/parcels-ordered", topic: parcels, config: check.Config{Ordered: true}, streams: 2},
	{name: "projects/two/subscriptions/stamps-once", topic: stamps, config: check.Config{ExactlyOnce: true}, streams: 1, pullers: 1},
	{name: "projects/two/subscriptions/stamps-a", topic: stamps, streams: 2},
}

const (
	publishers      = 4
	messagesPerCall = 10
	messageBytes    = 1024
	callTimeout     = 10 * time.Second
	// keysPerPublisher is how many ordering keys a publisher takes in turn.
	keysPerPublisher = 50
	// quiet is how long nothing may come until a drain is over: longer than the longest lease that the load takes, so that what a lease
	// still holds comes first.
	quiet = streamDeadline*time.Second + 1500*time.Millisecond
	// streamDeadline is the shortest that the protocol allows, in seconds.
	streamDeadline = 10
)

// load is all clients of one run.
type load struct {
	t        *testing.T
	conn     *grpc.ClientConn
	file     *os.File
	history  *check.Recorder
	seed     uint64
	keys     int           // ordering keys of each publisher
	patience time.Duration // what a call may take
	received atomic.Int64  // deliveries so far
	accepted atomic.Int64  // messages that the broker took, so far
	draining atomic.Bool
	lag      lag
	report   *check.Report // of judge

	publishing  context.Context
	stopPublish context.CancelFunc
	reading     context.Context
	stopRead    context.CancelFunc
	publishers  sync.WaitGroup
	readers     sync.WaitGroup
}

// newLoad creates topics and subscriptions on the broker and starts nothing yet.
func newLoad(t *testing.T, addr string, seed uint64) *load {
	t.Helper()
	// Clients must be back soon after the broker is, or most of a short cycle would pass in silence.
	quick := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
		MinConnectTimeout: time.Second}
	conn := dial(t, addr, grpc.WithConnectParams(quick))
	name := *historyFlag
	if name == "" {
		name = filepath.Join(t.TempDir(), "history.jsonl")
	}
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{t: t, conn: conn, file: file, history: check.NewRecorder(file), seed: seed, keys: keysPerPublisher, patience: callTimeout}
	l.publishing, l.stopPublish = context.WithCancel(context.Background())
	l.reading, l.stopRead = context.WithCancel(context.Background())
	t.Cleanup(func() {
		l.stopPublish()
		l.stopRead()
		l.publishers.Wait()
		l.readers.Wait()
		_ = file.Close() // judge has read it already
	})
	return l
}

// dial connects to a broker until the test ends, for messages of any size.
func dial(t *testing.T, addr string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	conn, err := grpc.NewClient(addr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test is over: nobody cares how its connection ends
	return conn
}

// create makes the resources.
func (l *load) create(topics []string, plans []plan) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), callTimeout)
	defer cancel()
	for _, topic := range topics {
		if _, err := pb.NewPublisherClient(l.conn).CreateTopic(ctx, &pb.Topic{Name: topic}); err != nil {
			l.t.Fatalf("create %s: %v", topic, err)
		}
	}
	for _, p := range plans {
		r := &pb.Subscription{Name: p.name, Topic: p.topic, EnableMessageOrdering: p.config.Ordered, EnableExactlyOnceDelivery: p.config.ExactlyOnce,
			RetainAckedMessages: p.config.Retained}
		if p.config.DeadLetterTopic != "" {
			r.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: p.config.DeadLetterTopic, MaxDeliveryAttempts: int32(p.config.AttemptsMax)}
		}
		if _, err := pb.NewSubscriberClient(l.conn).CreateSubscription(ctx, r); err != nil {
			l.t.Fatalf("create %s: %v", p.name, err)
		}
		l.history.Record(check.Event{Process: "admin", Op: check.OpSubscribe, Phase: check.PhaseOK, Subscription: p.name, Topic: p.topic,
			Config: &p.config})
	}
}

// start lets publishers and subscribers work.
func (l *load) start() {
	topics := []string{letters, parcels, stamps}
	l.create(topics, subscriptions)
	l.read(subscriptions)
	l.publish(topics...)
	l.publishers.Go((&seeker{load: l, random: l.random("seeker")}).run)
}

// publish starts the publishers, which share the topics.
func (l *load) publish(topics ...string) {
	for i := range publishers {
		name := fmt.Sprint("publisher-", i)
		p := &publisher{load: l, name: name, topic: topics[i%len(topics)], random: l.random(name)}
		l.publishers.Go(p.run)
	}
}

// read starts the readers of the plans.
func (l *load) read(plans []plan) {
	for _, p := range plans {
		if p.replay != nil {
			l.readers.Go(func() { p.replay.run(l, p.name) })
		}
		for i := range p.streams {
			name := fmt.Sprintf("%s/stream-%d", filepath.Base(p.name), i)
			s := &subscriber{load: l, plan: p, name: name, random: l.random(name)}
			l.readers.Go(s.runStreams)
		}
		for i := range p.pullers {
			name := fmt.Sprintf("%s/puller-%d", filepath.Base(p.name), i)
			s := &subscriber{load: l, plan: p, name: name, random: l.random(name)}
			l.readers.Go(s.runPulls)
		}
	}
}

// random is a client's own source of choices: it depends on the seed and the client's name only.
func (l *load) random(name string) *rand.Rand {
	sum := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(l.seed, sum))
}

// drain stops the publishers and the seeker and lets subscribers read until nothing has come for a while; then it ends them.
func (l *load) drain() {
	l.t.Helper()
	l.stopPublish()
	l.publishers.Wait()
	l.draining.Store(true)
	l.history.Record(check.Event{Process: "admin", Op: check.OpDrain, Phase: check.PhaseInvoke})
	limit := time.Now().Add(2 * time.Minute)
	for count, since := l.received.Load(), time.Now(); time.Since(since) < quiet; {
		// Silence can only be waited for.
		time.Sleep(50 * time.Millisecond)
		if now := l.received.Load(); now != count {
			count, since = now, time.Now()
		}
		if time.Now().After(limit) {
			l.t.Error("messages still come two minutes after the last publish")
			break
		}
	}
	l.history.Record(check.Event{Process: "admin", Op: check.OpDrain, Phase: check.PhaseOK})
	l.stopRead()
	l.readers.Wait()
}

// judge ends the history and has it judged. It returns the events.
func (l *load) judge(o check.Options) []check.Event {
	l.t.Helper()
	if err := l.history.Close(); err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.file.Seek(0, 0); err != nil {
		l.t.Fatal(err)
	}
	events, err := check.Read(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	report := check.Judge(check.NewHistory(events), o)
	l.report = report
	if err := report.Write(l.t.Output()); err != nil {
		l.t.Fatal(err)
	}
	if report.OK() {
		return events
	}
	l.t.Errorf("%d violations, %d reasons why the run proves nothing; broken rules: %s", len(report.Violations), len(report.Voids), report.Broken())
	if *historyFlag == "" {
		kept := filepath.Join(os.TempDir(), fmt.Sprintf("posthaste-history-%d.jsonl", l.seed))
		if err := os.Rename(l.file.Name(), kept); err != nil {
			l.t.Error(err)
			return events
		}
		l.t.Logf("history kept in %s", kept)
	}
	return events
}
