package load_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/bench/fake"
	"github.com/posthaste-io/posthaste/bench/load"
)

const (
	project      = "p"
	tinyDuration = 200 * time.Millisecond

	// patience is the StallMax where everything is to come: it only bounds a hang. lossStallMax is the one where something is missing.
	patience     = 2 * time.Minute
	lossStallMax = 300 * time.Millisecond
)

var batch = load.Shape{MessagesPerCall: 100, DataBytes: 1024, Attribute: true}

// connected starts a fake with a topic and subscriptions, and a client of it.
func connected(t *testing.T, faults fake.Faults, subscriptions int) (*load.Client, *fake.Server, string, []string) {
	t.Helper()
	server, err := fake.Start(faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	client, err := load.Dial(server.Address, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := client.WaitServing(t.Context()); err != nil {
		t.Fatal(err)
	}
	topic := load.TopicName(project, "topic")
	if err := client.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range subscriptions {
		name := load.SubscriptionName(project, fmt.Sprintf("subscription-%d", i))
		if err := client.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: name, Topic: topic}); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return client, server, topic, names
}

func endToEndWork(topic string, subscriptions []string) load.EndToEndWork {
	return load.EndToEndWork{Topic: topic, Subscriptions: subscriptions, Streams: 2, Shape: batch, InFlight: 4,
		Duration: time.Minute, Messages: 5000, StallMax: patience}
}

func TestPublishCountsWhatWasAnsweredInTheWindow(t *testing.T) {
	client, _, topic, _ := connected(t, fake.Faults{}, 0)
	edges := 0
	var result *load.PublishResult
	for window := tinyDuration; (result == nil || result.Calls == 0) && window < patience; window *= 2 { // a machine may be too busy for a tiny one
		var err error
		edges = 0
		result, err = client.Publish(t.Context(), load.PublishWork{Topics: []string{topic}, Shape: batch, InFlight: 4,
			Warmup: tinyDuration / 4, Duration: window, Edge: func() { edges++ }})
		if err != nil {
			t.Fatal(err)
		}
	}
	if result.Messages == 0 || result.Messages != 100*result.Calls || result.Latency.Count() != result.Calls {
		t.Errorf("%d messages in %d calls with %d times", result.Messages, result.Calls, result.Latency.Count())
	}
	if edges != 2 || result.Elapsed < tinyDuration || result.PerSecond() <= 0 {
		t.Errorf("%d edges, %v, %v messages/s", edges, result.Elapsed, result.PerSecond())
	}
}

func TestPublishGoesOverManyTopics(t *testing.T) {
	client, _, _, _ := connected(t, fake.Faults{}, 0)
	var topics []string
	for i := range 50 {
		topics = append(topics, load.TopicName(project, fmt.Sprintf("many-%d", i)))
	}
	if err := client.CreateTopics(t.Context(), topics, 8); err != nil {
		t.Fatal(err)
	}
	_, err := client.Publish(t.Context(), load.PublishWork{Topics: topics, Shape: load.Shape{MessagesPerCall: 1, DataBytes: 100},
		InFlight: 8, Duration: tinyDuration})
	if err != nil {
		t.Error(err)
	}
}

func TestEndToEndDeliversEverythingToEverySubscription(t *testing.T) {
	for _, subscriptions := range []int{1, 4} {
		t.Run(fmt.Sprint(subscriptions), func(t *testing.T) {
			client, server, topic, names := connected(t, fake.Faults{}, subscriptions)
			result, err := client.EndToEnd(t.Context(), endToEndWork(topic, names))
			if err != nil {
				t.Fatal(err)
			}
			want := uint64(5000 * subscriptions)
			if result.Published != 5000 || result.Delivered != want || result.Duplicates != 0 || result.Latency.Count() != want {
				t.Errorf("published %d, delivered %d, duplicates %d, %d times", result.Published, result.Delivered,
					result.Duplicates, result.Latency.Count())
			}
			if server.Acked() != int(want) {
				t.Errorf("%d acknowledgements, want %d", server.Acked(), want)
			}
			if result.Elapsed < result.PublishElapsed || result.PerSecond() <= 0 {
				t.Errorf("elapsed %v, publishing %v", result.Elapsed, result.PublishElapsed)
			}
		})
	}
}

func TestEndToEndStopsPublishingAfterItsDuration(t *testing.T) {
	client, _, topic, names := connected(t, fake.Faults{}, 1)
	work := endToEndWork(topic, names)
	work.Duration, work.Messages = tinyDuration, 0
	result, err := client.EndToEnd(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	if result.PublishElapsed < tinyDuration || result.Delivered != result.Published {
		t.Errorf("published %d in %v, delivered %d", result.Published, result.PublishElapsed, result.Delivered)
	}
}

func TestEndToEndFailsOnLoss(t *testing.T) {
	client, _, topic, names := connected(t, fake.Faults{LoseMessage: 4321}, 1)
	work := endToEndWork(topic, names)
	work.StallMax = lossStallMax
	if _, err := client.EndToEnd(t.Context(), work); !errors.Is(err, load.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestEndToEndCountsADuplicateOnce(t *testing.T) {
	client, _, topic, names := connected(t, fake.Faults{RepeatMessage: 17}, 1)
	result, err := client.EndToEnd(t.Context(), endToEndWork(topic, names))
	if err != nil || result.Duplicates != 1 || result.Delivered != 5000 {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestEndToEndFailsOnBadAnswersAndBrokenStreams(t *testing.T) {
	for name, faults := range map[string]fake.Faults{
		"a message id too few": {ForgetMessageID: 150},
		"a refused call":       {RefuseMessage: 150},
		"a broken stream":      {BreakStreamAfter: 150},
	} {
		t.Run(name, func(t *testing.T) {
			client, _, topic, names := connected(t, faults, 1)
			if _, err := client.EndToEnd(t.Context(), endToEndWork(topic, names)); err == nil || errors.Is(err, load.ErrLost) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPacedTakesOneTimeAMessageWithoutTheWarmup(t *testing.T) {
	client, _, topic, names := connected(t, fake.Faults{}, 1)
	result, err := client.Paced(t.Context(), load.PacedWork{Topic: topic, Subscription: names[0], Streams: 1, PerSecond: 500,
		Shape: load.Shape{MessagesPerCall: 1, DataBytes: 1024}, Warmup: tinyDuration, Duration: tinyDuration,
		InFlightMax: 8, StallMax: patience})
	if err != nil {
		t.Fatal(err)
	}
	if result.Messages != 100 || result.Latency.Count() != 100 {
		t.Errorf("%d publish times and %d delivery times, want 100 of each", result.Messages, result.Latency.Count())
	}
	if result.Latency.Max() == 0 || result.PublishLatency.Max() == 0 {
		t.Error("a message took no time")
	}
}

func TestPairsAreCreatedAndDeleted(t *testing.T) {
	client, server, topic, _ := connected(t, fake.Faults{}, 0)
	topics, subscriptions := []string{topic}, []string{load.SubscriptionName(project, "s")}
	for i := range 99 {
		topics = append(topics, load.TopicName(project, fmt.Sprint("pair-", i)))
		subscriptions = append(subscriptions, load.SubscriptionName(project, fmt.Sprint("pair-", i)))
	}
	if _, err := client.CreatePairs(t.Context(), topics, subscriptions, 8); err != nil {
		t.Fatal(err)
	}
	if got := server.Resources(); got != 200 {
		t.Errorf("%d resources, want 200", got)
	}
	if err := client.Delete(t.Context(), topics, subscriptions, 8); err != nil {
		t.Fatal(err)
	}
	if got := server.Resources(); got != 0 {
		t.Errorf("%d resources left", got)
	}
	if _, err := client.CreatePairs(t.Context(), topics, nil, 8); err == nil {
		t.Error("topics without subscriptions were accepted")
	}
}

func TestWorkEndsWithItsContext(t *testing.T) {
	client, _, topic, names := connected(t, fake.Faults{}, 1)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := client.EndToEnd(ctx, endToEndWork(topic, names)); err == nil {
		t.Error("an ended context was ignored")
	}
	if _, err := client.Publish(ctx, load.PublishWork{Topics: []string{topic}, Shape: batch, InFlight: 1, Duration: time.Hour}); err == nil {
		t.Error("an ended context was ignored")
	}
}
