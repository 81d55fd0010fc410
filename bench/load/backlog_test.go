package load_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/posthaste-io/posthaste/bench/fake"
	"github.com/posthaste-io/posthaste/bench/load"
)

const heldMessages = 3000

// filled starts a fake with a backlog on one subscription.
func filled(t *testing.T, faults fake.Faults) (client *load.Client, server *fake.Server, subscription string) {
	t.Helper()
	client, server, topic, subscriptions := connected(t, faults, 1)
	if err := client.Fill(t.Context(), topic, batch, 4, heldMessages); err != nil {
		t.Fatal(err)
	}
	return client, server, subscriptions[0]
}

func TestHeldMessagesAreAcknowledgedAtRandom(t *testing.T) {
	client, server, subscription := filled(t, fake.Faults{})
	held, err := client.Hold(t.Context(), subscription, 2, heldMessages, patience)
	if err != nil {
		t.Fatal(err)
	}
	if held.Len() != heldMessages || server.Acked() != 0 {
		t.Fatalf("%d held, %d acknowledged", held.Len(), server.Acked())
	}
	const acked = heldMessages/2 + 7
	elapsed, left, err := held.AckAtRandom(t.Context(), acked, 3, 1)
	if err != nil || elapsed <= 0 || server.Acked() != acked || len(left) != heldMessages-acked {
		t.Errorf("%v: %d acknowledged, %d left, %v", elapsed, server.Acked(), len(left), err)
	}
	slices.Sort(left)
	if len(slices.Compact(left)) != heldMessages-acked || left[len(left)-1] >= heldMessages {
		t.Errorf("left are %v", left)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}

func TestHoldFailsOnLossAndRepetition(t *testing.T) {
	for faults, stallMax := range map[fake.Faults]time.Duration{{LoseMessage: 17}: lossStallMax, {RepeatMessage: 17}: patience} {
		client, _, subscription := filled(t, faults)
		if _, err := client.Hold(t.Context(), subscription, 1, heldMessages, stallMax); err == nil {
			t.Errorf("%+v went unnoticed", faults)
		}
	}
}

func TestDrainExactlyWantsTheseMessagesAndNoOthers(t *testing.T) {
	all := make([]uint64, heldMessages)
	for i := range all {
		all[i] = uint64(i)
	}
	client, _, subscription := filled(t, fake.Faults{})
	if err := client.DrainExactly(t.Context(), subscription, 1, all, patience); err != nil {
		t.Error(err)
	}
	client, _, subscription = filled(t, fake.Faults{})
	if err := client.DrainExactly(t.Context(), subscription, 1, all[1000:], patience); err == nil {
		t.Errorf("messages that were acknowledged came: %v", err)
	}
	client, _, subscription = filled(t, fake.Faults{LoseMessage: 5})
	if err := client.DrainExactly(t.Context(), subscription, 1, all, lossStallMax); !errors.Is(err, load.ErrLost) {
		t.Errorf("a message is missing: %v", err)
	}
}

func TestFillTakesWholeCalls(t *testing.T) {
	client, _, topic, _ := connected(t, fake.Faults{}, 0)
	if err := client.Fill(t.Context(), topic, batch, 4, 150); err == nil {
		t.Error("accepted 150 messages in calls of 100")
	}
}
