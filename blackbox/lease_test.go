package blackbox

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// checkDeadlines compares when messages came again with when their leases, of the given length, began: not before begun, and not after the
// messages came first.
func checkDeadlines(t *testing.T, g *gauge, begun time.Time, first, again []delivered, lease time.Duration) {
	t.Helper()
	begin := make(map[string]delivered)
	for _, m := range first {
		begin[m.Message.MessageId] = m
	}
	var late []time.Duration
	for _, m := range again {
		before, known := begin[m.Message.MessageId]
		if !known {
			t.Fatalf("message %s came that was not delivered before", m.Message.MessageId)
		}
		if m.AckId == before.AckId {
			t.Errorf("ack id of message %s is the same for both deliveries", m.Message.MessageId)
		}
		late = append(late, m.at.Sub(before.at)-lease)
		if early := begun.Add(lease).Sub(m.at); early > 100*time.Millisecond {
			t.Errorf("a message came again %v before its deadline", early)
		}
	}
	slices.Sort(late)
	// Single ones may be held up by a busy machine; the middle one shows what the broker does.
	slack := g.slack(begun.Add(lease), time.Now())
	if middle, last := late[len(late)/2], late[len(late)-1]; middle > 100*time.Millisecond+slack || last > time.Second+slack {
		t.Errorf("messages came again late, the middle one by %v, the last by %v, where the machine excuses %v", middle, last, slack)
	}
}

// burst publishes n small messages, takes them from the stream and returns them.
func burst(t *testing.T, s *server, topic string, st *stream, n int) []delivered {
	t.Helper()
	data := make([]string, n)
	for i := range data {
		data[i] = fmt.Sprint(i)
	}
	s.publish(t, topic, data...)
	return st.take(t, n)
}

func TestStreamDeadlineEndsALease(t *testing.T) {
	t.Parallel()
	s := common(t)
	// The subscription's own deadline is longer: the stream's counts.
	topic, sub := s.pair(t, "x", func(r *pb.Subscription) { r.AckDeadlineSeconds = 60 })
	st := s.stream(t, &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 10})
	g, begun := s.gauge(t), time.Now()
	first := burst(t, s, topic, st, 20)
	checkDeadlines(t, g, begun, first, st.take(t, 20), 10*time.Second)
}

func TestStreamDeadlineCanBeChanged(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	st := s.stream(t, open(sub))
	st.send(t, &pb.StreamingPullRequest{StreamAckDeadlineSeconds: 12})
	// An acknowledgement of nothing on another connection would tell nothing; a delivery that follows the request on the same stream does.
	burstAck(t, s, topic, st)
	g, begun := s.gauge(t), time.Now()
	first := burst(t, s, topic, st, 10)
	checkDeadlines(t, g, begun, first, st.take(t, 10), 12*time.Second)
}

// burstAck sends one message through and acknowledges it on the stream, waiting until the broker has taken in what was sent before.
func burstAck(t *testing.T, s *server, topic string, st *stream) {
	t.Helper()
	got := burst(t, s, topic, st, 1)
	st.send(t, &pb.StreamingPullRequest{ModifyDeadlineAckIds: []string{got[0].AckId}, ModifyDeadlineSeconds: []int32{0}})
	again := st.take(t, 1)
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{again[0].AckId}})
}

func TestSubscriptionDeadlineEndsALeaseOfPull(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x") // 10 s by default
	s.publish(t, topic, "a")
	g, begin := s.gauge(t), time.Now() // of a lease that begins a little later
	first := s.pull(t, sub, 1)
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Fatalf("message came again at once: %q", dataOf(got))
	}
	again := s.pull(t, sub, 1)
	if took := time.Since(begin); took < 9900*time.Millisecond || g.over(begin, time.Now(), 11*time.Second) {
		t.Errorf("message came again after %v, want 10 s", took)
	}
	if again[0].AckId == first[0].AckId || again[0].Message.MessageId != first[0].Message.MessageId {
		t.Errorf("second delivery is %v, want the same message with a new ack id", again[0])
	}
}

func TestModifyAckDeadlineMovesTheDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		seconds int32
	}{
		{"shorter", 3},
		{"longer", 14},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := common(t)
			topic, sub := s.pair(t, "x")
			st := s.stream(t, &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 10})
			first := burst(t, s, topic, st, 10)
			g, begun := s.gauge(t), time.Now()
			s.modify(t, sub, c.seconds, plain(first)...)
			for i := range first {
				first[i].at = time.Now()
			}
			checkDeadlines(t, g, begun, first, st.take(t, 10), time.Duration(c.seconds)*time.Second)
		})
	}
}

func TestStreamModifiesDeadlines(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	st := s.stream(t, open(sub))
	got := burst(t, s, topic, st, 3)
	g, sent := s.gauge(t), time.Now()
	st.send(t, &pb.StreamingPullRequest{
		ModifyDeadlineAckIds:  []string{got[0].AckId, got[1].AckId, got[2].AckId},
		ModifyDeadlineSeconds: []int32{0, 2, 600},
	})
	first, second := st.take(t, 1)[0], st.take(t, 1)[0]
	if first.Message.MessageId != got[0].Message.MessageId || g.over(sent, first.at, time.Second) {
		t.Errorf("message with deadline 0 came after %v, message %s", first.at.Sub(sent), first.Message.Data)
	}
	if wait := second.at.Sub(sent); second.Message.MessageId != got[1].Message.MessageId || wait < 1900*time.Millisecond || g.over(sent, second.at, 3*time.Second) {
		t.Errorf("message with deadline 2 s came after %v, message %s", wait, second.Message.Data)
	}
	st.silent(t, 500*time.Millisecond)
}

func TestNackBringsAMessageBackAtOnce(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a")
	first := s.pull(t, sub, 1)
	g, begin := s.gauge(t), time.Now()
	s.modify(t, sub, 0, first...)
	again := s.pull(t, sub, 1)
	if g.over(begin, time.Now(), time.Second) {
		t.Errorf("nacked message came again after %v", time.Since(begin))
	}
	// The first delivery's ack id no longer stands for the message: acknowledging it succeeds and must not make the second delivery
	// invalid.
	s.ack(t, sub, again...)
	if got := s.pullNow(t, sub); len(got) != 0 {
		t.Errorf("acknowledged message came again: %q", dataOf(got))
	}
}

func TestAckedMessagesDoNotComeAgain(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	st := s.stream(t, &pb.StreamingPullRequest{Subscription: sub, StreamAckDeadlineSeconds: 10})
	got := burst(t, s, topic, st, 30)
	onStream, byCall, left := got[:10], got[10:20], got[20:]
	st.send(t, &pb.StreamingPullRequest{AckIds: ackIDs(plain(onStream))})
	s.ack(t, sub, plain(byCall)...)
	again := st.take(t, 10)
	for _, m := range again {
		if !slices.ContainsFunc(left, func(l delivered) bool { return l.Message.MessageId == m.Message.MessageId }) {
			t.Errorf("message %s came again although it was acknowledged", m.Message.Data)
		}
	}
	st.silent(t, 500*time.Millisecond)
}

func TestBrokenStreamGivesItsMessagesBackAtOnce(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	dying := s.stream(t, open(sub))
	first := burst(t, s, topic, dying, 10)
	heir := s.stream(t, open(sub))
	heir.silent(t, 200*time.Millisecond)
	g, broken := s.gauge(t), time.Now()
	dying.cancel()
	got := heir.take(t, 10)
	if g.over(broken, got[9].at, time.Second) {
		t.Errorf("the other stream's messages came after %v, want at once", got[9].at.Sub(broken))
	}
	for _, m := range got {
		if slices.ContainsFunc(first, func(f delivered) bool { return f.AckId == m.AckId }) {
			t.Errorf("message %s kept its ack id", m.Message.Data)
		}
	}
}

func TestHalfClosedStreamEndsWithOK(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	st := s.stream(t, open(sub))
	got := burst(t, s, topic, st, 2)
	st.send(t, &pb.StreamingPullRequest{AckIds: []string{got[0].AckId}})
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := st.end(t); err != io.EOF {
		t.Errorf("stream ended with %v, want OK", err)
	}
	// The acknowledgement that went before the end counts; the other message is free at once.
	again := s.pull(t, sub, 1)
	if again[0].Message.MessageId != got[1].Message.MessageId {
		t.Errorf("message %q came, want %q", again[0].Message.Data, got[1].Message.Data)
	}
	if rest := s.pullNow(t, sub); len(rest) != 0 {
		t.Errorf("%q came as well", dataOf(rest))
	}
}
