package load_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/bench/fake"
	"github.com/posthaste-io/posthaste/bench/load"
)

func TestEndToEndConfirmsEveryMessageOnce(t *testing.T) {
	for _, receipts := range []bool{false, true} {
		client, server, topic, subscriptions := connected(t, fake.Faults{}, 1)
		work := endToEndWork(topic, subscriptions)
		work.Confirm, work.Receipts = true, receipts
		result, err := client.EndToEnd(t.Context(), work)
		if err != nil {
			t.Fatal(err)
		}
		if result.Delivered != work.Messages || server.Acked() != int(work.Messages) {
			t.Errorf("%d delivered and %d acknowledged, want %d", result.Delivered, server.Acked(), work.Messages)
		}
		if want := map[bool]int{false: 0, true: int(work.Messages)}[receipts]; server.Receipts() != want {
			t.Errorf("%d receipts, want %d", server.Receipts(), want)
		}
	}
}

func TestEndToEndConfirmedFailsOnARefusedAck(t *testing.T) {
	client, _, topic, subscriptions := connected(t, fake.Faults{RefuseAck: 2345}, 1)
	work := endToEndWork(topic, subscriptions)
	work.Confirm = true
	if _, err := client.EndToEnd(t.Context(), work); err == nil || !strings.Contains(err.Error(), "told to refuse") {
		t.Errorf("got %v", err)
	}
}

func TestEndToEndConfirmedFailsOnARepetition(t *testing.T) {
	client, _, topic, subscriptions := connected(t, fake.Faults{RepeatMessage: 4000}, 1)
	work := endToEndWork(topic, subscriptions)
	work.Confirm = true
	if _, err := client.EndToEnd(t.Context(), work); !errors.Is(err, load.ErrRepeated) {
		t.Errorf("got %v", err)
	}
}

func TestEndToEndFollowsTheOrderOfKeys(t *testing.T) {
	for repeat, want := range map[int]error{0: nil, 2000: load.ErrOrder} {
		client, _, topic, subscriptions := connected(t, fake.Faults{RepeatMessage: repeat}, 1)
		work := endToEndWork(topic, subscriptions)
		work.Streams = 1 // the fake knows no order between streams
		work.Shape.OrderingKeys = 13
		result, err := client.EndToEnd(t.Context(), work)
		if !errors.Is(err, want) || err == nil && result.Delivered != work.Messages {
			t.Errorf("message %d repeated: got %+v, %v", repeat, result, err)
		}
	}
}

func TestOrderingKeysAreForOneCallerEach(t *testing.T) {
	client, _, topic, subscriptions := connected(t, fake.Faults{}, 1)
	work := endToEndWork(topic, subscriptions)
	work.Shape.OrderingKeys = work.InFlight - 1
	if _, err := client.EndToEnd(t.Context(), work); err == nil {
		t.Error("accepted fewer keys than callers")
	}
}

// poisoned is a work in which every seventh message fails, on a subscription whose dead letters go to a topic of their own.
func poisoned(t *testing.T, faults fake.Faults) (*load.Client, *fake.Server, load.EndToEndWork) {
	t.Helper()
	client, server, topic, _ := connected(t, faults, 0)
	deadTopic, letters := load.TopicName(project, "dead"), load.SubscriptionName(project, "letters")
	subscription := load.SubscriptionName(project, "source")
	if err := client.CreateTopic(t.Context(), deadTopic); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*pubsubpb.Subscription{{Name: letters, Topic: deadTopic},
		{Name: subscription, Topic: topic, DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: deadTopic}}} {
		if err := client.CreateSubscription(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	work := endToEndWork(topic, []string{subscription})
	work.PoisonEvery, work.DeadLetters = 7, letters
	return client, server, work
}

func TestEndToEndWaitsForTheDeadLetters(t *testing.T) {
	client, server, work := poisoned(t, fake.Faults{})
	result, err := client.EndToEnd(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	if result.Delivered != work.Messages || server.Acked() != int(work.Messages) {
		t.Errorf("%d delivered, %d acknowledged in both places, want %d", result.Delivered, server.Acked(), work.Messages)
	}
}

func TestEndToEndFailsWhenOtherMessagesAreTheDeadLetters(t *testing.T) {
	client, _, work := poisoned(t, fake.Faults{})
	if _, err := client.EndToEnd(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	other, _, topic, subscriptions := connected(t, fake.Faults{}, 2)
	work.Topic, work.Subscriptions, work.DeadLetters = topic, subscriptions[:1], subscriptions[1] // gets all, and none by a nack
	work.StallMax = lossStallMax
	_, err := other.EndToEnd(t.Context(), work)
	if !errors.Is(err, load.ErrLost) && !errors.Is(err, load.ErrStray) { // by how far the wrong ones had come when they were looked at
		t.Errorf("got %v", err)
	}
}

func TestEndToEndFailsWithoutTheDeadLetters(t *testing.T) {
	client, _, work := poisoned(t, fake.Faults{})
	empty := load.SubscriptionName(project, "empty")
	if err := client.CreateTopic(t.Context(), load.TopicName(project, "other")); err != nil {
		t.Fatal(err)
	}
	if err := client.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: empty, Topic: load.TopicName(project, "other")}); err != nil {
		t.Fatal(err)
	}
	work.DeadLetters, work.StallMax = empty, lossStallMax
	if _, err := client.EndToEnd(t.Context(), work); !errors.Is(err, load.ErrLost) {
		t.Errorf("got %v", err)
	}
}

func TestRewindReceivesEverythingAgain(t *testing.T) {
	client, _, topic, subscriptions := connected(t, fake.Faults{}, 1)
	work := endToEndWork(topic, subscriptions)
	if _, err := client.EndToEnd(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	r, err := client.Rewind(t.Context(), subscriptions[0], time.Now(), 2, work.Messages, patience)
	if err != nil {
		t.Fatal(err)
	}
	if r.Call <= 0 || r.First < r.Call || r.All < r.First {
		t.Errorf("got %+v", r)
	}
	if _, err := client.Rewind(t.Context(), subscriptions[0], time.Now(), 2, work.Messages+1, lossStallMax); !errors.Is(err, load.ErrLost) {
		t.Errorf("one message too many was wanted: %v", err)
	}
}
