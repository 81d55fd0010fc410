package load_test

import (
	"errors"
	"strings"
	"testing"

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
