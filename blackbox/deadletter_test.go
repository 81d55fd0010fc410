package blackbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// attemptsMax is the least that a dead letter policy may ask for.
const attemptsMax = 5

// deadLettered is a topic with a subscription whose dead letters go to a topic that has one, too.
type deadLettered struct {
	topic, sub     string
	letters, grave string // the dead letter topic and its subscription
}

func (s *server) deadLettered(t *testing.T, changes ...func(*pb.Subscription)) (d deadLettered) {
	t.Helper()
	d.letters, d.grave = s.pair(t, "dead", inOrder)
	d.topic, d.sub = s.pair(t, "alive", append(changes, d.policy)...)
	return d
}

func (d *deadLettered) policy(s *pb.Subscription) {
	s.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: d.letters, MaxDeliveryAttempts: attemptsMax}
}

func inOrder(s *pb.Subscription) { s.EnableMessageOrdering = true }

// failOnce pulls one message, checks its attempt, and nacks it.
func (s *server) failOnce(t *testing.T, sub string, attempt int32) *pb.ReceivedMessage {
	t.Helper()
	m := s.pull(t, sub, 1)[0]
	if m.DeliveryAttempt != attempt {
		t.Errorf("%q came with attempt %d, want %d", m.Message.Data, m.DeliveryAttempt, attempt)
	}
	s.modify(t, sub, 0, m)
	return m
}

// empty checks that there is nothing to pull.
func (s *server) empty(t *testing.T, sub string) {
	t.Helper()
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Errorf("%q came, want nothing", dataOf(got))
	}
}

// publishKeyed publishes one message.
func (s *server) publishKeyed(t *testing.T, topic, key, data string) {
	t.Helper()
	r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte(data), OrderingKey: key}}}
	if _, err := s.Publish(limited(t), r); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

func TestAMessageIsADeadLetterAfterItsLastAttempt(t *testing.T) {
	t.Parallel()
	s := common(t)
	d := s.deadLettered(t)
	answer, err := s.Publish(limited(t), &pb.PublishRequest{Topic: d.topic, Messages: []*pb.PubsubMessage{
		{Data: []byte("poison"), OrderingKey: "key", Attributes: map[string]string{"colour": "red"}}}})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now().Truncate(time.Second) // as what is written down is
	var source *pb.PubsubMessage
	for attempt := int32(1); attempt <= attemptsMax; attempt++ {
		source = s.failOnce(t, d.sub, attempt).Message
	}
	letter := s.pull(t, d.grave, 1)[0]
	m := letter.Message
	if string(m.Data) != "poison" || m.OrderingKey != "key" || m.MessageId == answer.MessageIds[0] || letter.DeliveryAttempt != 0 {
		t.Errorf("dead letter %v", letter)
	}
	if m.PublishTime.AsTime().Before(source.PublishTime.AsTime()) {
		t.Errorf("published at %v, before its source at %v", m.PublishTime.AsTime(), source.PublishTime.AsTime())
	}
	failed, err := time.Parse(time.RFC3339, m.Attributes["PosthasteDeadLetterTime"])
	if now := time.Now(); err != nil || failed.Before(begun) || failed.After(now) {
		t.Errorf("PosthasteDeadLetterTime %q (%v), want one from %v to %v", m.Attributes["PosthasteDeadLetterTime"], err, begun, now)
	}
	delete(m.Attributes, "PosthasteDeadLetterTime")
	want := map[string]string{
		"colour": "red",
		"CloudPubSubDeadLetterSourceDeliveryCount":       "5",
		"CloudPubSubDeadLetterSourceSubscription":        "s-alive",
		"CloudPubSubDeadLetterSourceSubscriptionProject": s.project,
		"CloudPubSubDeadLetterSourceTopicPublishTime":    source.PublishTime.AsTime().Format("2006-01-02T15:04:05.000Z"),
		"PosthasteDeadLetterReason":                      "nacked",
	}
	if !maps.Equal(m.Attributes, want) {
		t.Errorf("attributes %v\nwant       %v", m.Attributes, want)
	}
	s.ack(t, d.grave, letter)
	s.empty(t, d.sub)
	s.empty(t, d.grave)
}

func TestAMessageThatExpiresTooOftenIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := common(t)
	d := s.deadLettered(t)
	s.publish(t, d.topic, "slow")
	for attempt := int32(1); attempt <= attemptsMax; attempt++ {
		m := s.pull(t, d.sub, 1)[0]
		if m.DeliveryAttempt != attempt {
			t.Errorf("attempt %d, want %d", m.DeliveryAttempt, attempt)
		}
		s.modify(t, d.sub, 1, m)
	}
	letter := s.pull(t, d.grave, 1)[0].Message
	if letter.Attributes["PosthasteDeadLetterReason"] != "expired" {
		t.Errorf("attributes %v, want the reason expired", letter.Attributes)
	}
}

func TestAttemptsAreToldOnlyWithAPolicyAndOutliveItsAbsence(t *testing.T) {
	t.Parallel()
	s := common(t)
	d := s.deadLettered(t)
	set := func(policy *pb.DeadLetterPolicy) {
		t.Helper()
		_, err := s.sub.UpdateSubscription(limited(t), &pb.UpdateSubscriptionRequest{
			Subscription: &pb.Subscription{Name: d.sub, DeadLetterPolicy: policy},
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"dead_letter_policy"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.publish(t, d.topic, "x")
	s.failOnce(t, d.sub, 1)
	s.failOnce(t, d.sub, 2)
	set(nil)
	for range 2 * attemptsMax {
		s.failOnce(t, d.sub, 0)
	}
	s.empty(t, d.grave)
	set(&pb.DeadLetterPolicy{DeadLetterTopic: d.letters})
	s.failOnce(t, d.sub, 13)
	letter := s.pull(t, d.grave, 1)[0].Message
	if letter.Attributes["CloudPubSubDeadLetterSourceDeliveryCount"] != "13" {
		t.Errorf("attributes %v, want 13 deliveries", letter.Attributes)
	}
}

// TestAttemptsOutliveRestarts restarts before each delivery, one time gracefully and one time by a crash.
func TestAttemptsOutliveRestarts(t *testing.T) {
	s := own(t)
	d := s.deadLettered(t, func(sub *pb.Subscription) {
		sub.RetryPolicy = &pb.RetryPolicy{MinimumBackoff: durationpb.New(0), MaximumBackoff: durationpb.New(0)}
	})
	elsewhere := s.topic(t, "elsewhere")
	s.publish(t, d.topic, "poison", "fine")
	for attempt := int32(1); attempt <= attemptsMax; attempt++ {
		got := s.pull(t, d.sub, 2)
		for _, m := range got {
			want := attempt
			if string(m.Message.Data) == "fine" {
				want = 1 // a restart is nobody's failure
			}
			if m.DeliveryAttempt != want {
				t.Errorf("%s came with attempt %d, want %d", m.Message.Data, m.DeliveryAttempt, want)
			}
		}
		poison := got[slices.IndexFunc(got, func(m *pb.ReceivedMessage) bool { return string(m.Message.Data) == "poison" })]
		s.modify(t, d.sub, 0, poison)
		s.publish(t, elsewhere, "after it") // a crash forgets no failure that came before something that is durable
		s.restart(t, attempt%2 == 0)
	}
	letters := s.pull(t, d.grave, 1)
	s.ack(t, d.grave, letters...)
	s.ack(t, d.sub, s.pull(t, d.sub, 1)...)
	s.restart(t, true)
	s.empty(t, d.grave)
	s.empty(t, d.sub)
}

// TestACrashNeitherLosesNorDoublesDeadLetters kills the broker while hundreds of messages die.
func TestACrashNeitherLosesNorDoublesDeadLetters(t *testing.T) {
	s := own(t)
	d := s.deadLettered(t)
	const count = 400
	var texts []string
	for i := range count {
		texts = append(texts, fmt.Sprint("m", i))
	}
	s.publish(t, d.topic, texts...)
	var buried []string
	bury := func() {
		letters := s.pullNow(t, d.grave)
		if len(letters) > 0 {
			s.ack(t, d.grave, letters...)
		}
		buried = append(buried, dataOf(letters)...)
	}
	until := time.Now().Add(patience)
	for round := 0; len(buried) < count; round++ {
		if time.Now().After(until) {
			t.Fatalf("%d dead letters after %d rounds, want %d", len(buried), round, count)
		}
		for got := s.pullNow(t, d.sub); len(got) > 0; got = got[min(len(got), 50):] {
			s.modify(t, d.sub, 0, got[:min(len(got), 50)]...)
			if round%6 == 4 && len(got) > 100 && len(got) <= 150 {
				s.restart(t, true)
				break
			}
		}
		bury()
	}
	s.restart(t, true)
	bury()
	slices.Sort(buried)
	slices.Sort(texts)
	if !slices.Equal(buried, texts) {
		t.Errorf("%d dead letters of %d different messages, want each of %d once", len(buried), len(slices.Compact(buried)), count)
	}
	s.empty(t, d.sub)
}

func TestWithoutADeadLetterTopicMessagesStay(t *testing.T) {
	s := own(t)
	d := s.deadLettered(t)
	if err := s.deleteTopic(t, d.letters); err != nil {
		t.Fatal(err)
	}
	s.publish(t, d.topic, "poison")
	var failed time.Time
	for attempt := int32(1); attempt <= attemptsMax; attempt++ {
		failed = time.Now()
		s.failOnce(t, d.sub, attempt)
	}
	s.failOnce(t, d.sub, attemptsMax+1) // pull waits until it comes again
	if took := time.Since(failed); took < 500*time.Millisecond {
		t.Errorf("came again after %v, want a backoff of about a second", took)
	}
	if warning := "dead letters cannot be forwarded"; !strings.Contains(fmt.Sprint(s.broker.Log), warning) {
		t.Errorf("the log has no warning that %s", warning)
	}
	s.topic(t, "t-dead")
	again := s.subscription(t, "again", d.letters)
	s.failOnce(t, d.sub, attemptsMax+2)
	if letter := s.pull(t, again, 1)[0].Message; letter.Attributes["CloudPubSubDeadLetterSourceDeliveryCount"] != "7" {
		t.Errorf("dead letter %v, want one after 7 deliveries", letter)
	}
}

func (s *server) deleteTopic(t *testing.T, name string) error {
	t.Helper()
	_, err := s.DeleteTopic(limited(t), &pb.DeleteTopicRequest{Topic: name})
	return err
}

func TestDeadLettersKeepTheOrderOfTheirKeyAndHoldUpNoOther(t *testing.T) {
	t.Parallel()
	s := common(t)
	d := s.deadLettered(t, inOrder)
	const count = 10
	var want []string
	for i := range count {
		s.publishKeyed(t, d.topic, "bad", fmt.Sprint("bad", i))
		s.publishKeyed(t, d.topic, "good", fmt.Sprint("good", i))
		want = append(want, fmt.Sprint("bad", i))
	}
	st := s.stream(t, open(d.sub))
	var good, letters []string
	for until := time.Now().Add(patience); len(letters) < count && time.Now().Before(until); {
		select {
		case r := <-st.responses:
			for _, m := range r.ReceivedMessages {
				answer := &pb.StreamingPullRequest{AckIds: []string{m.AckId}}
				if m.Message.OrderingKey == "good" {
					good = append(good, string(m.Message.Data))
				} else { // of the key's messages only the first one's counts: it takes the others back
					answer = &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{m.AckId}, ModifyDeadlineSeconds: []int32{0}}
				}
				st.send(t, answer)
			}
		case <-time.After(20 * time.Millisecond):
			got := s.pullNow(t, d.grave)
			letters = append(letters, dataOf(got)...)
			if len(got) > 0 {
				s.ack(t, d.grave, got...)
			}
		}
	}
	if !slices.IsSorted(good) || len(slices.Compact(good)) != count {
		t.Errorf("of the other key came %q", good)
	}
	if !slices.Equal(letters, want) {
		t.Errorf("dead letters %q, want %q", letters, want)
	}
	s.publishKeyed(t, d.topic, "bad", "later") // the key goes on
	for m := st.take(t, 1); string(m[0].Message.Data) != "later"; m = st.take(t, 1) {
	}
}

func TestDeadLettersWithExactlyOnce(t *testing.T) {
	t.Parallel()
	s := common(t)
	d := s.deadLettered(t, exactlyOnce)
	s.publish(t, d.topic, "poison")
	var last *pb.ReceivedMessage
	for attempt := int32(1); attempt <= attemptsMax; attempt++ {
		last = s.failOnce(t, d.sub, attempt)
	}
	s.pull(t, d.grave, 1)
	_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: d.sub, AckIds: []string{last.AckId}})
	wantFailures(t, err, map[string]string{last.AckId: permanent})
	s.empty(t, d.sub)
}

// TestClientSeesAttemptsAndDeadLetters uses Google's client on both ends.
func TestClientSeesAttemptsAndDeadLetters(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	d := s.deadLettered(t)
	var mu sync.Mutex
	attempts := map[string][]int{}
	source := receive(t, client, d.sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		if m.DeliveryAttempt == nil {
			t.Errorf("%s came without a delivery attempt", m.Data)
			m.Ack()
			return
		}
		mu.Lock()
		attempts[string(m.Data)] = append(attempts[string(m.Data)], *m.DeliveryAttempt)
		mu.Unlock()
		if strings.HasSuffix(string(m.Data), "7") {
			m.Nack()
			return
		}
		m.Ack()
	})
	letters := receive(t, client, d.grave, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		if m.DeliveryAttempt != nil {
			t.Errorf("%s came with delivery attempt %d, and there is no policy", m.Data, *m.DeliveryAttempt)
		}
		m.Ack()
	})
	publishAll(t, client, d.topic, "m", 100)
	letters.deliveries(t, 10)
	source.deliveries(t, 90+10*attemptsMax)
	if messages, most := letters.different(); messages != 10 || most != 1 {
		t.Errorf("%d dead letters, one %d times; want 10, once each", messages, most)
	}
	mu.Lock()
	defer mu.Unlock()
	for text, got := range attempts {
		want := []int{1}
		if strings.HasSuffix(text, "7") {
			want = []int{1, 2, 3, 4, 5}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s came with attempts %v, want %v", text, got, want)
		}
	}
}
