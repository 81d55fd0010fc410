package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/posthaste-io/posthaste/internal/engine"
)

// apply puts records into a ledger as an engine would.
func apply(t *testing.T, l *Ledger, r engine.Record) Change {
	t.Helper()
	c, err := l.Apply(&r)
	if err != nil {
		t.Fatalf("apply %v: %v", r, err)
	}
	return c
}

func noted(body []byte) engine.Record { return engine.Record{Kind: engine.KindNote, Body: body} }

func block(topic engine.TopicID, first, count int) engine.Record {
	return engine.Record{Kind: engine.KindBlock, Topic: topic, Count: uint32(count), Stamp: engine.Stamp{First: engine.Offset(first)}}
}

func TestASubscriptionBeginsWithTheNextMessageOfItsTopic(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	apply(t, l, block(1, 0, 10))
	c := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", []byte("config"))))
	apply(t, l, block(1, 10, 5))
	if got := c.Subscription.NextOpen(0); got != 10 || !c.Created {
		t.Errorf("first open offset %d, created %v; want 10, true", got, c.Created)
	}
	if string(c.Subscription.Config) != "config" || c.Subscription.Name != "s" {
		t.Errorf("subscription %+v", c.Subscription)
	}
}

func TestAcknowledgedOffsetsAreNeverOpenAgain(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	s := apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil))).Subscription
	apply(t, l, block(1, 0, 100))
	apply(t, l, noted(AppendAcked(nil, 2, 0, []uint64{0, 1, 5, 99})))
	if s.Floor() != 2 || s.NextOpen(5) != 6 || !s.Acked(99) || s.Acked(98) {
		t.Errorf("floor %d, after 5: %d, 99: %v, 98: %v", s.Floor(), s.NextOpen(5), s.Acked(99), s.Acked(98))
	}
	apply(t, l, noted(AppendAckedBefore(nil, 2, 0, 50)))
	if s.Floor() != 50 {
		t.Errorf("floor %d after dropping everything before 50", s.Floor())
	}
	apply(t, l, noted(AppendAckedBefore(nil, 2, 0, 10)))
	if s.Floor() != 50 {
		t.Errorf("the floor went back to %d", s.Floor())
	}
}

func TestADeletedTopicStaysUntilNoSubscriptionKnowsIt(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendTopic(nil, 1, "t", nil)))
	apply(t, l, noted(AppendSubscription(nil, 2, 1, "s", nil)))
	apply(t, l, block(1, 0, 3))
	if c := apply(t, l, noted(AppendTopicDeleted(nil, 1))); c.Forgotten || !c.Topic.Deleted {
		t.Errorf("deleted topic with a subscription: %+v", c)
	}
	apply(t, l, block(1, 3, 3)) // was on its way
	if end := l.Topic(1).End(); end != 3 {
		t.Errorf("a deleted topic grew to %d", end)
	}
	if c := apply(t, l, noted(AppendSubscriptionDeleted(nil, 2))); !c.Forgotten {
		t.Error("the last subscription went and the topic stayed")
	}
	if l.Topic(1) != nil || l.Subscription(2) != nil {
		t.Error("something is left")
	}
	late := [][]byte{AppendAcked(nil, 2, 0, []uint64{1}), AppendAckedBefore(nil, 2, 0, 9), AppendSeek(nil, 2, Seek{}),
		AppendFailed(nil, 2, 0, []Failure{{Offset: 1, Failures: 1}}), AppendTopicDeleted(nil, 1), AppendSubscriptionDeleted(nil, 2),
		AppendDetached(nil, 2), AppendActive(nil, 2, 7)}
	for _, late := range late {
		if c := apply(t, l, noted(late)); c.Topic != nil || c.Subscription != nil {
			t.Errorf("%s changed something: %+v", Describe(late), c)
		}
	}
	if l.Last() != 2 {
		t.Errorf("numbers would be given out again: last is %d", l.Last())
	}
}

func TestMalformedNotesAreRefused(t *testing.T) {
	whole := AppendSubscription(nil, 300, 1, "name", nil)
	bad := [][]byte{nil, {99, 1}, {byte(OpTopic)}, {byte(OpTopic), 1, 9, 'x'}, AppendSubscription(nil, 2, 77, "s", nil)}
	for cut := 1; cut < len(whole); cut++ {
		bad = append(bad, whole[:cut])
	}
	for _, body := range bad {
		if _, err := New().Apply(&engine.Record{Kind: engine.KindNote, Body: body}); err == nil {
			t.Errorf("%x was taken", body)
		}
	}
}

// seeksOf is how often the subscription was moved, or once less.
func seeksOf(rng *rand.Rand, l *Ledger, id SubscriptionID) uint64 {
	if s := l.Subscription(id); s != nil {
		return s.Seeks() - min(s.Seeks(), uint64(rng.IntN(5)/4))
	}
	return 0
}

// randomRecord is a record that could follow in the log of l.
func randomRecord(rng *rand.Rand, l *Ledger) engine.Record {
	topic := engine.TopicID(rng.Uint64N(l.last+1) + 1)
	sub := SubscriptionID(rng.Uint64N(l.last+1) + 1)
	config := []byte(fmt.Sprint("config ", rng.IntN(1000)))
	switch rng.IntN(21) {
	case 19:
		if rng.IntN(4) == 0 {
			return noted(AppendDetached(nil, sub))
		}
	case 20:
		return noted(AppendActive(nil, sub, rng.Int64N(1000)))
	case 0:
		return noted(AppendTopic(nil, engine.TopicID(l.last+1), fmt.Sprint("topic", rng.IntN(9)), config))
	case 1:
		if l.topics[topic] != nil {
			return noted(AppendSubscription(nil, SubscriptionID(l.last+1), topic, fmt.Sprint("sub", rng.IntN(9)), config))
		}
	case 2:
		if rng.IntN(4) == 0 {
			return noted(AppendTopicDeleted(nil, topic))
		}
	case 3:
		if rng.IntN(4) == 0 {
			return noted(AppendSubscriptionDeleted(nil, sub))
		}
	case 4:
		kind, name := fmt.Sprint("kind", rng.IntN(2)), fmt.Sprint("name", rng.IntN(3))
		if rng.IntN(3) == 0 {
			return noted(AppendDocumentDeleted(nil, kind, name))
		}
		return noted(AppendDocument(nil, kind, name, config))
	case 10:
		var failures []Failure
		for range rng.IntN(20) {
			failures = append(failures, Failure{Offset: engine.Offset(rng.Uint64N(300)), Failures: 1 + rng.Uint32N(9), Reason: uint16(rng.IntN(600)),
				AtMillis: rng.Int64N(1 << 50), WaitMillis: rng.Uint32N(600_000)})
		}
		return noted(AppendFailed(nil, sub, seeksOf(rng, l, sub), failures))
	case 5:
		return noted(AppendAckedBefore(nil, sub, seeksOf(rng, l, sub), engine.Offset(rng.IntN(200))))
	case 9:
		before := engine.Offset(rng.IntN(100))
		sought := Sought{Epoch: rng.Uint64N(9), Time: rng.Int64N(1000), Stale: before}
		return noted(AppendSeek(nil, sub, Seek{Sought: sought, Before: before, Open: before + engine.Offset(rng.IntN(50))}))
	case 13:
		return noted(AppendSnapshot(nil, &Snapshot{ID: SnapshotID(rng.Uint64N(l.last+2) + 1), Name: "snap", Config: config, Latest: 5, Ordered: rng.IntN(2) == 0}, sub))
	case 11:
		return noted(AppendSeekSnapshot(nil, sub, Sought{Epoch: 1}, SnapshotID(topic)))
	case 12:
		return noted(AppendSnapshotDeleted(nil, SnapshotID(topic)))
	case 6, 7, 8:
		var offsets []uint64
		for off := rng.Uint64N(100); len(offsets) < 20; off += 1 + rng.Uint64N(5) {
			offsets = append(offsets, off)
		}
		return noted(AppendAcked(nil, sub, seeksOf(rng, l, sub), offsets))
	}
	if t := l.topics[topic]; t != nil && !t.Deleted {
		return block(topic, int(t.End()), 1+rng.IntN(50))
	}
	return noted(AppendDocumentDeleted(nil, "none", "none"))
}

func saved(t *testing.T, l *Ledger) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestALedgerFromACheckpointAndTheRestOfTheLogEqualsOneFromTheWholeLog(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		whole, resumed := New(), New()
		at := rng.IntN(300)
		for i := range 300 {
			if i == at {
				resumed = New()
				if err := resumed.Restore(bytes.NewReader(saved(t, whole))); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			r := randomRecord(rng, whole)
			apply(t, whole, r)
			apply(t, resumed, r)
		}
		if !bytes.Equal(saved(t, whole), saved(t, resumed)) {
			t.Fatalf("seed %d: the ledgers differ", seed)
		}
	}
}

func TestADamagedCheckpointIsRefusedOrReadsAsSomethingElseButNeverPanics(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := New()
	for range 300 {
		apply(t, l, randomRecord(rng, l))
	}
	whole := saved(t, l)
	for cut := range len(whole) {
		if err := New().Restore(bytes.NewReader(whole[:cut])); err == nil {
			t.Fatalf("a checkpoint cut at %d of %d bytes was taken", cut, len(whole))
		}
	}
	for range 5000 {
		damaged := bytes.Clone(whole)
		damaged[rng.IntN(len(damaged))] ^= 1 << rng.IntN(8)
		_ = New().Restore(bytes.NewReader(damaged))
	}
}

type fullWriter struct{ left int }

var errFull = errors.New("full")

func (w *fullWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestSaveReportsAFailedWrite(t *testing.T) {
	l := New()
	for id := range 3000 {
		apply(t, l, noted(AppendTopic(nil, engine.TopicID(id+1), fmt.Sprint("topic", id), make([]byte, 50))))
	}
	for left := 0; left < len(saved(t, l)); left += 10_000 {
		if err := l.Save(&fullWriter{left}); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: %v", left, err)
		}
	}
}

func TestADocumentIsTheLastOnePutUnderItsKindAndName(t *testing.T) {
	l := New()
	apply(t, l, noted(AppendDocument(nil, "schema", "s", []byte("one"))))
	apply(t, l, noted(AppendDocument(nil, "policy", "s", []byte("other"))))
	apply(t, l, noted(AppendDocument(nil, "schema", "s", []byte("two"))))
	if body, there := l.Document("schema", "s"); string(body) != "two" || !there {
		t.Errorf("document %q, there %v", body, there)
	}
	apply(t, l, noted(AppendDocumentDeleted(nil, "schema", "s")))
	if _, there := l.Document("schema", "s"); there {
		t.Error("a deleted document is there")
	}
	if body, _ := l.Document("policy", "s"); string(body) != "other" {
		t.Errorf("document of another kind: %q", body)
	}
}
