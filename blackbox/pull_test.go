package blackbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
)

func TestPullReturnsAtOnceWhenAskedTo(t *testing.T) {
	t.Parallel()
	s := common(t)
	_, sub := s.pair(t, "x")
	g, begin := s.gauge(t), time.Now()
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Errorf("%d messages came from an empty subscription", len(got))
	}
	if g.over(begin, time.Now(), 2*time.Second) {
		t.Errorf("return_immediately took %v", time.Since(begin))
	}
}

func TestPullWaitsForAMessage(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	type answer struct {
		*pb.PullResponse
		err error
	}
	answers := make(chan answer, 1)
	ctx := limited(t)
	go func() {
		r, err := s.sub.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: 10})
		answers <- answer{r, err}
	}()
	select {
	case a := <-answers:
		t.Fatalf("pull from an empty subscription answered %v, %v; want it to wait", a.PullResponse, a.err)
	case <-time.After(300 * time.Millisecond):
	}
	s.publish(t, topic, "news")
	a := <-answers
	if a.err != nil || len(a.ReceivedMessages) != 1 || string(a.ReceivedMessages[0].Message.Data) != "news" {
		t.Errorf("waiting pull answered %v, %v", a.PullResponse, a.err)
	}
}

func TestWaitingPullAnswersBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	s := common(t)
	_, sub := s.pair(t, "x")
	var answer *pb.PullResponse
	var err error
	for range 5 { // a machine may be held up for longer than the broker answers before the deadline
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		begin := time.Now()
		answer, err = s.sub.Pull(ctx, &pb.PullRequest{Subscription: sub, MaxMessages: 10})
		cancel()
		if took := time.Since(begin); took < time.Second {
			t.Errorf("it waited %v only", took)
		}
		if err == nil {
			break
		}
	}
	if err != nil || len(answer.ReceivedMessages) != 0 {
		t.Errorf("pull with a deadline of 3 s answered %v, %v; want an empty answer", answer, err)
	}
}

func TestPullGivesAtMostWhatWasAsked(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a", "b", "c", "d", "e")
	answer, err := s.sub.Pull(limited(t), &pb.PullRequest{Subscription: sub, MaxMessages: 2})
	if err != nil || len(answer.ReceivedMessages) == 0 || len(answer.ReceivedMessages) > 2 {
		t.Fatalf("pull of 2 answered %d messages, %v", len(answer.GetReceivedMessages()), err)
	}
	rest := s.pull(t, sub, 5-len(answer.ReceivedMessages))
	seen := make(map[string]bool)
	for _, d := range dataOf(append(rest, answer.ReceivedMessages...)) {
		if seen[d] {
			t.Errorf("%q came twice", d)
		}
		seen[d] = true
	}
}

func TestPullRefusals(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	push := s.subscription(t, "push", topic, func(r *pb.Subscription) {
		r.PushConfig = &pb.PushConfig{PushEndpoint: "http://127.0.0.1:1/"}
	})
	for _, c := range []struct {
		name string
		r    *pb.PullRequest
		code codes.Code
		text string
	}{
		{"no subscription", &pb.PullRequest{MaxMessages: 1}, codes.InvalidArgument, badName("")},
		{"bad name", &pb.PullRequest{Subscription: "s", MaxMessages: 1}, codes.InvalidArgument, badName("s")},
		{"topic name", &pb.PullRequest{Subscription: topic, MaxMessages: 1}, codes.InvalidArgument, badName(topic)},
		{"unknown", &pb.PullRequest{Subscription: s.subName("missing"), MaxMessages: 1}, codes.NotFound, "Resource not found (resource=missing)."},
		{"no maximum", &pb.PullRequest{Subscription: sub}, codes.InvalidArgument, "You have passed an invalid argument to the service (argument=max_messages)."},
		{"negative maximum", &pb.PullRequest{Subscription: sub, MaxMessages: -1}, codes.InvalidArgument,
			"You have passed an invalid argument to the service (argument=max_messages)."},
		{"push subscription", &pb.PullRequest{Subscription: push, MaxMessages: 1}, codes.FailedPrecondition,
			"This method is not supported for this subscription type."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.sub.Pull(limited(t), c.r)
			wantStatus(t, err, c.code, c.text)
		})
	}
}

func TestAcknowledgeRefusals(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	other := s.subscription(t, "other", topic)
	s.publish(t, topic, "a")
	foreign := s.pull(t, other, 1)[0].AckId
	mine := s.pull(t, sub, 1)[0].AckId
	const none = "You have not specified an ack ID in the request."
	invalid := func(id string) string {
		return "You have passed an invalid ack ID to the service (ack_id=" + id + ")."
	}
	for _, c := range []struct {
		name string
		sub  string
		ids  []string
		code codes.Code
		text string
	}{
		{"no ids", sub, nil, codes.InvalidArgument, none},
		{"malformed id", sub, []string{"nonsense"}, codes.InvalidArgument, invalid("nonsense")},
		{"id of another subscription", sub, []string{foreign}, codes.InvalidArgument, invalid(foreign)},
		{"one good, one malformed", sub, []string{mine, "nonsense"}, codes.InvalidArgument, invalid("nonsense")},
		{"changed id", sub, []string{mine[:len(mine)-1] + flip(mine[len(mine)-1])}, codes.InvalidArgument, ""},
		{"bad name", "s", []string{mine}, codes.InvalidArgument, badName("s")},
		{"unknown subscription", s.subName("missing"), []string{mine}, codes.NotFound, "Resource not found (resource=missing)."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: c.sub, AckIds: c.ids})
			wantStatus(t, err, c.code, c.text)
			_, err = s.sub.ModifyAckDeadline(limited(t), &pb.ModifyAckDeadlineRequest{Subscription: c.sub, AckIds: c.ids, AckDeadlineSeconds: 30})
			wantStatus(t, err, c.code, c.text)
		})
	}
	for _, seconds := range []int32{-1, 601} {
		_, err := s.sub.ModifyAckDeadline(limited(t), &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: []string{mine}, AckDeadlineSeconds: seconds})
		wantStatus(t, err, codes.InvalidArgument,
			fmt.Sprintf("Invalid ack deadline given (ack_deadline=%d). The ack deadline must be between 0 and 600 seconds.", seconds))
	}
	// The refused call with one good id must not have acknowledged it.
	if _, err := s.sub.ModifyAckDeadline(limited(t), &pb.ModifyAckDeadlineRequest{Subscription: sub, AckIds: []string{mine}}); err != nil {
		t.Fatal(err)
	}
	if got := s.pull(t, sub, 1); string(got[0].Message.Data) != "a" {
		t.Errorf("after the refusals %q came", dataOf(got))
	}
}

// flip gives another character of the ack id alphabet.
func flip(c byte) string {
	if c == 'A' {
		return "Q"
	}
	return "A"
}

func TestAcknowledgeIsIdempotent(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	got := s.pull(t, sub, 1)
	s.ack(t, sub, got...)
	s.ack(t, sub, got...)
	s.modify(t, sub, 0, got...)
	if again := s.pullNow(t, sub); len(again) != 0 {
		t.Errorf("an acknowledged message came again: %q", dataOf(again))
	}
}

func TestManyAckIDsFitIntoOneRequest(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	const n = 2500 // what Google's Go client sent at once up to version 2.6.1
	for range n / 500 {
		data := make([]string, 500)
		for i := range data {
			data[i] = "x"
		}
		s.publish(t, topic, data...)
	}
	got := s.pull(t, sub, n)
	size := 0
	for _, id := range ackIDs(got) {
		size += len(id) + 3
	}
	if size > 512<<10 {
		t.Errorf("%d ack ids take %d bytes, want at most 512 KiB", n, size)
	}
	s.ack(t, sub, got...)
	if again := s.pullNow(t, sub); len(again) != 0 {
		t.Errorf("%d messages came again", len(again))
	}
}

func TestPullWithAShortDeadlineGetsWhatIsThere(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "short")
	s.publish(t, topic, "m")
	for until := time.Now().Add(patience); ; {
		_, text := s.rest(t, "POST", "/v1/"+sub+":pull", `{"maxMessages":1}`, "X-Server-Timeout", "0.4")
		if strings.Contains(text, `"data": "bQ=="`) {
			return
		}
		if time.Now().After(until) { // a busy machine may take longer than 0.4 s now and then
			t.Fatalf("pulls of 0.4 s do not get the message that is there; the last answer was %s", text)
		}
	}
}
