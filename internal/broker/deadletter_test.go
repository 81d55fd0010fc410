package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/lease"
)

// What the attributes of dead letters are called.
const (
	attributeDeliveryCount = "CloudPubSubDeadLetterSourceDeliveryCount"
	attributeSubscription  = "CloudPubSubDeadLetterSourceSubscription"
	attributeProject       = "CloudPubSubDeadLetterSourceSubscriptionProject"
	attributePublishTime   = "CloudPubSubDeadLetterSourceTopicPublishTime"
	attributeReason        = "PosthasteDeadLetterReason"
	attributeTime          = "PosthasteDeadLetterTime"
	letterTimeStyle        = "2006-01-02T15:04:05.000Z07:00"
)

const (
	graveName   = "projects/p/topics/grave"
	mournerName = "projects/p/subscriptions/mourner"
	attemptsMax = 5
)

func deadLetters(topic string) *pubsubpb.DeadLetterPolicy {
	return &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topic, MaxDeliveryAttempts: attemptsMax}
}

// withGrave is a bench with a dead letter topic that has a subscription, and a topic whose subscription uses it.
func withGrave(t *testing.T, s *pubsubpb.Subscription) *bench {
	b := newBench(t)
	b.dig()
	if s.DeadLetterPolicy == nil {
		s.DeadLetterPolicy = deadLetters(graveName)
	}
	b.topicWith(s)
	return b
}

// dig makes the dead letter topic, and a subscription to it.
func (b *bench) dig() {
	b.t.Helper()
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: graveName}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.CreateSubscription(b.ctx, &pubsubpb.Subscription{Name: mournerName, Topic: graveName}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) publishKeyed(key, text string) {
	b.t.Helper()
	b.publishRequest(&pubsubpb.PublishRequest{Topic: topicName, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(text), OrderingKey: key}}})
}

// one is one delivery in full.
type one struct {
	*pubsubpb.PubsubMessage
	got
	attempt int32
}

// takeFull takes what there is at the moment from any subscription, with a stream that stays.
func (b *bench) takeFull(t *delivery.Taker) (list []one) {
	b.t.Helper()
	for {
		deliveries, err := t.TakeNow(b.ctx, 1000, 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(deliveries) == 0 {
			return list
		}
		for i := range deliveries {
			d := one{PubsubMessage: new(pubsubpb.PubsubMessage), got: b.read(&deliveries[i]), attempt: deliveries[i].Attempt}
			if err := proto.Unmarshal(deliveries[i].Message, d.PubsubMessage); err != nil {
				b.t.Fatal(err)
			}
			list = append(list, d)
		}
	}
}

// mourned is what has come to the dead letter topic since the last call; it acknowledges.
func (b *bench) mourned() []one {
	b.t.Helper()
	b.office.Wait()
	s, err := b.Subscription(mournerName)
	if err != nil {
		b.t.Fatal(err)
	}
	t, err := s.OpenStream(delivery.Credit{}, 10*time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	defer t.Leave()
	list := b.takeFull(t)
	for _, d := range list {
		if err := s.Ack(b.ctx, ids([]got{d.got}), nil, true); err != nil {
			b.t.Fatal(err)
		}
	}
	return list
}

func textsOf(list []one) (out []string) {
	for _, d := range list {
		out = append(out, d.text)
	}
	return out
}

func (b *bench) nack(list ...one) {
	b.t.Helper()
	for _, d := range list {
		b.sub().Modify(ids([]got{d.got}), nil, 0)
	}
}

// exhaust nacks all that the taker gets until nothing comes, and gives the attempt numbers of the message.
func (b *bench) exhaust(t *delivery.Taker, text string) (attempts []int32) {
	b.t.Helper()
	for range 100 {
		list := b.takeFull(t)
		if len(list) == 0 {
			return attempts
		}
		for _, d := range list {
			if d.text == text {
				attempts = append(attempts, d.attempt)
			}
		}
		b.nack(list...)
		b.office.Wait()
	}
	b.t.Fatal("the messages come for ever")
	return nil
}

func TestAMessageThatFailsTooOftenBecomesADeadLetter(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	published := b.clock.Wall()
	b.publishRequest(&pubsubpb.PublishRequest{Topic: topicName, Messages: []*pubsubpb.PubsubMessage{
		{Data: []byte("poison"), OrderingKey: "k", Attributes: map[string]string{"colour": "red", attributeReason: "mine"}},
		{Data: []byte("fine"), OrderingKey: "k"},
	}})
	s := b.stream(delivery.Credit{})
	for attempt := int32(1); attempt <= attemptsMax; attempt++ {
		list := b.takeFull(s)
		if len(list) == 0 || list[0].text != "poison" || list[0].attempt != attempt {
			t.Fatalf("got %v, want attempt %d of poison", list, attempt)
		}
		b.clock.Advance(time.Second)
		b.nack(list[0])
		if attempt == 1 {
			b.ack(list[1].got)
		}
	}
	died := b.clock.Wall()
	letters := b.mourned()
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	want := map[string]string{
		"colour":               "red",
		attributeDeliveryCount: "5",
		attributeSubscription:  "worker",
		attributeProject:       "p",
		attributePublishTime:   time.Unix(0, published).UTC().Format("2006-01-02T15:04:05.000Z"),
		attributeReason:        "nacked",
		attributeTime:          time.Unix(0, died).UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	if l := letters[0]; l.text != "poison" || l.OrderingKey != "k" || fmt.Sprint(l.Attributes) != fmt.Sprint(want) || l.attempt != 0 {
		t.Errorf("dead letter %v\nwant attributes %v", l, want)
	}
	b.expect("after the forward", b.now(s))
	b.restart()
	b.expect("after a restart", b.now(b.stream(delivery.Credit{})))
	if letters := b.mourned(); len(letters) != 0 {
		t.Errorf("forwarded again: %v", letters)
	}
}

func TestADeadLetterSaysWhyTheMessageFailed(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	s := b.stream(delivery.Credit{})
	for reason, fail := range map[string]func(one){
		"nacked":          func(d one) { b.nack(d) },
		"expired":         func(one) { b.clock.Advance(11 * time.Second) },
		"disconnected":    func(one) { s.Abandon(); s = b.stream(delivery.Credit{}) },
		"push status 503": func(d one) { b.sub().Fail(ids([]got{d.got}), lease.PushStatus(503)) },
		"push failed":     func(d one) { b.sub().Fail(ids([]got{d.got}), lease.PushFailed) },
	} {
		b.publish("x")
		for range attemptsMax {
			list := b.takeFull(s)
			if len(list) != 1 {
				t.Fatalf("%s: got %v", reason, list)
			}
			fail(list[0])
		}
		if letters := b.mourned(); len(letters) != 1 || letters[0].Attributes[attributeReason] != reason {
			t.Errorf("dead letters %v, want one that was %s", letters, reason)
		}
	}
}

func TestADeadLetterMayHaveMoreAttributesThanAPublisherMaySend(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	attributes := map[string]string{}
	for i := range 100 {
		attributes[fmt.Sprint("a", i)] = strings.Repeat("v", 1000)
	}
	b.publishRequest(&pubsubpb.PublishRequest{Topic: topicName, Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x"), Attributes: attributes}}})
	b.exhaust(b.stream(delivery.Credit{}), "x")
	if letters := b.mourned(); len(letters) != 1 || len(letters[0].Attributes) != 106 || letters[0].Attributes["a99"] != attributes["a99"] {
		t.Errorf("dead letters %v", letters)
	}
}

func TestAttemptsAreTakenAlongThroughARestart(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	b.publish("a", "b", "c")
	s := b.stream(delivery.Credit{})
	for range 3 {
		list := b.takeFull(s)
		b.nack(list[0])
		for _, d := range list[1:] {
			if d.text == "c" {
				b.ack(d.got)
			}
		}
	}
	s.Leave()
	b.restart()
	s = b.stream(delivery.Credit{})
	attempts := map[string]int32{}
	list := b.takeFull(s)
	for _, d := range list {
		attempts[d.text] = d.attempt
	}
	if fmt.Sprint(attempts) != "map[a:4 b:1]" {
		t.Errorf("attempts %v, want 4 of a and 1 of b", attempts)
	}
	b.nack(list...)
	if got := b.exhaust(s, "a"); !slices.Equal(got, []int32{5}) {
		t.Errorf("then attempts %v, want 5", got)
	}
	if got := textsOf(b.mourned()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("dead letters %q", got)
	}
}

func TestABackoffGoesOnAfterARestart(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{RetryPolicy: &pubsubpb.RetryPolicy{
		MinimumBackoff: durationpb.New(60 * time.Second), MaximumBackoff: durationpb.New(600 * time.Second)}})
	b.publish("x")
	b.nack(b.takeFull(b.stream(delivery.Credit{}))...)
	b.clock.Advance(20 * time.Second)
	b.restart()
	s := b.stream(delivery.Credit{})
	if list := b.takeFull(s); len(list) != 0 {
		t.Fatalf("delivered %v in the middle of its backoff", list)
	}
	b.clock.Advance(39 * time.Second)
	if list := b.takeFull(s); len(list) != 0 {
		t.Fatalf("delivered %v a second before the end of its backoff", list)
	}
	b.clock.Advance(10 * time.Second)
	if list := b.takeFull(s); len(list) != 1 || list[0].attempt != 2 {
		t.Fatalf("after the backoff: %v", list)
	}
}

func TestAMessageThatDiedBeforeARestartIsForwardedAfterIt(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{EnableMessageOrdering: true})
	b.publishKeyed("k", "x")
	b.publishKeyed("k", "y")
	s := b.stream(delivery.Credit{})
	for attempt := 1; attempt <= attemptsMax; attempt++ {
		list := b.takeFull(s)
		if attempt == attemptsMax {
			b.Drain() // from now on nothing is forwarded
		}
		b.sub().Modify(ids([]got{list[0].got}), nil, 0)
	}
	died := b.clock.Wall()
	b.clock.Advance(time.Hour)
	b.restart()
	if letters := b.mourned(); len(letters) != 0 {
		t.Fatalf("forwarded after Drain: %v", letters)
	}
	if list := b.takeFull(b.stream(delivery.Credit{})); len(list) != 0 && list[0].text != "y" {
		t.Errorf("delivered once more: %v", list)
	}
	letters := b.mourned()
	if !slices.Equal(textsOf(letters), []string{"x"}) {
		t.Fatalf("dead letters %v", letters)
	}
	if a := letters[0].Attributes; a[attributeTime] != time.Unix(0, died).UTC().Format(letterTimeStyle) || a[attributeReason] != "nacked" {
		t.Errorf("attributes %v, want the time of the failure, %d", a, died)
	}
}

func TestWithoutItsTopicADeadLetterIsDeliveredAgainMoreAndMoreSlowly(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	b.publish("x")
	if err := b.DeleteTopic(b.ctx, graveName); err != nil {
		t.Fatal(err)
	}
	s := b.stream(delivery.Credit{})
	if got := b.exhaust(s, "x"); len(got) != attemptsMax {
		t.Fatalf("attempts %v", got)
	}
	for i, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		b.clock.Advance(wait - 200*time.Millisecond)
		if list := b.takeFull(s); len(list) != 0 {
			t.Fatalf("attempt %d less than %v after the forward failed", list[0].attempt, wait)
		}
		b.clock.Advance(400 * time.Millisecond)
		list := b.takeFull(s)
		if len(list) != 1 || list[0].attempt != int32(attemptsMax+1+i) {
			t.Fatalf("%v after the forward failed: %v", wait, list)
		}
		b.nack(list...)
		b.office.Wait()
	}
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: graveName}); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteSubscription(b.ctx, mournerName); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateSubscription(b.ctx, &pubsubpb.Subscription{Name: mournerName, Topic: graveName}); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Minute)
	b.exhaust(s, "x")
	if letters := b.mourned(); len(letters) != 1 || letters[0].Attributes[attributeDeliveryCount] != "9" {
		t.Errorf("dead letters %v, want one after 9 deliveries", letters)
	}
}

// TestADeadMessageHoldsUpNoOtherKey also when it cannot be forwarded; its own key waits, and goes on in order.
func TestADeadMessageHoldsUpNoOtherKey(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{EnableMessageOrdering: true})
	for i := range 3 {
		b.publishKeyed("bad", fmt.Sprint("bad", i))
		b.publishKeyed("good", fmt.Sprint("good", i))
	}
	if err := b.DeleteTopic(b.ctx, graveName); err != nil {
		t.Fatal(err)
	}
	s := b.stream(delivery.Credit{})
	var good []string
	for range attemptsMax {
		for _, d := range b.takeFull(s) {
			switch d.text {
			case "bad0":
				b.nack(d)
			case "good0", "good1", "good2":
				good = append(good, d.text)
				b.ack(d.got)
			}
		}
		b.office.Wait()
	}
	if !slices.Equal(good, []string{"good0", "good1", "good2"}) {
		t.Errorf("of the other key came %q", good)
	}
	if list := b.takeFull(s); len(list) != 0 {
		t.Errorf("came while the first of the key is under backoff: %v", list)
	}
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: graveName}); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(2 * time.Second)
	list := b.takeFull(s)
	if !slices.Equal(textsOf(list), []string{"bad0", "bad1", "bad2"}) {
		t.Fatalf("after the backoff: %q", textsOf(list))
	}
	b.nack(list[0])
	b.office.Wait()
	if list := b.takeFull(s); !slices.Equal(textsOf(list), []string{"bad1", "bad2"}) {
		t.Errorf("after the first was forwarded: %q", textsOf(list))
	}
}

func TestDeadLettersOfAKeyKeepTheirOrder(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{EnableMessageOrdering: true})
	want := map[string][]string{}
	for i := range 60 {
		key := fmt.Sprint("key", i%3)
		b.publishKeyed(key, fmt.Sprint(i))
		want[key] = append(want[key], fmt.Sprint(i))
	}
	s := b.stream(delivery.Credit{})
	for range 1000 {
		list := b.takeFull(s)
		if len(list) == 0 {
			break
		}
		b.nack(list...)
		b.office.Wait()
	}
	got := map[string][]string{}
	for _, d := range b.mourned() {
		got[d.OrderingKey] = append(got[d.OrderingKey], d.text)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("dead letters %v\nwant %v", got, want)
	}
}

func TestATopicMayTakeItsOwnDeadLetters(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{DeadLetterPolicy: deadLetters(topicName)})
	b.publish("x")
	s := b.stream(delivery.Credit{})
	for range attemptsMax {
		b.nack(b.takeFull(s)...)
	}
	b.office.Wait()
	list := b.takeFull(s)
	if len(list) != 1 || list[0].text != "x" || list[0].attempt != 1 || list[0].Attributes[attributeDeliveryCount] != "5" {
		t.Errorf("after the forward: %v", list)
	}
}

func TestDeadLettersThatFailBecomeDeadLettersOfAnotherTopic(t *testing.T) {
	b := newBench(t)
	b.dig()
	const half = "projects/p/topics/half"
	if _, err := b.CreateTopic(b.ctx, &pubsubpb.Topic{Name: half}); err != nil {
		t.Fatal(err)
	}
	second := &pubsubpb.Subscription{Name: "projects/p/subscriptions/second", Topic: half, DeadLetterPolicy: deadLetters(graveName)}
	if _, err := b.CreateSubscription(b.ctx, second); err != nil {
		t.Fatal(err)
	}
	b.topicWith(&pubsubpb.Subscription{DeadLetterPolicy: deadLetters(half)})
	b.publish("x")
	b.exhaust(b.stream(delivery.Credit{}), "x")
	next, err := b.Subscription(second.Name)
	if err != nil {
		t.Fatal(err)
	}
	taker, err := next.OpenStream(delivery.Credit{}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for range attemptsMax {
		list := b.takeFull(taker)
		if len(list) != 1 || list[0].Attributes[attributeSubscription] != "worker" {
			t.Fatalf("in between: %v", list)
		}
		next.Modify(ids([]got{list[0].got}), nil, 0)
	}
	if letters := b.mourned(); len(letters) != 1 || letters[0].Attributes[attributeSubscription] != "second" || len(letters[0].Attributes) != 6 {
		t.Errorf("dead letters %v, want one from the second subscription, which each attribute names once", letters)
	}
}

func TestAPolicyMayGoAndComeBackWithoutForgettingAttempts(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{})
	b.publish("x")
	s := b.stream(delivery.Credit{})
	fail := func(want int32) {
		t.Helper()
		list := b.takeFull(s)
		if len(list) != 1 || list[0].attempt != want {
			t.Fatalf("got %v, want attempt %d", list, want)
		}
		b.nack(list...)
	}
	set := func(policy *pubsubpb.DeadLetterPolicy) {
		t.Helper()
		change := &pubsubpb.Subscription{Name: subName, DeadLetterPolicy: policy}
		if _, err := b.UpdateSubscription(b.ctx, change, &fieldmaskpb.FieldMask{Paths: []string{"dead_letter_policy"}}); err != nil {
			t.Fatal(err)
		}
	}
	fail(1)
	fail(2)
	set(nil)
	for range 10 {
		fail(0)
	}
	set(deadLetters(graveName))
	fail(13)
	b.expect("after the forward", b.now(s))
	if letters := b.mourned(); len(letters) != 1 || letters[0].Attributes[attributeDeliveryCount] != "13" {
		t.Errorf("dead letters %v", letters)
	}
}

// TestABrokenStreamIsAFailureOnlyWhereAttemptsAreCounted and an orderly end is none.
func TestABrokenStreamIsAFailureOnlyWhereAttemptsAreCounted(t *testing.T) {
	b := withGrave(t, &pubsubpb.Subscription{EnableMessageOrdering: true})
	b.publishKeyed("k", "first")
	b.publishKeyed("k", "second")
	for i, end := range []func(*delivery.Taker){(*delivery.Taker).Leave, (*delivery.Taker).Abandon, (*delivery.Taker).Leave, (*delivery.Taker).Abandon} {
		s := b.stream(delivery.Credit{})
		list := b.takeFull(s)
		if want := int32(1 + i/2); len(list) != 2 || list[0].attempt != want || list[1].attempt != 1 {
			t.Errorf("stream %d got %v, want attempts %d and 1", i, list, want)
		}
		end(s)
	}
}
