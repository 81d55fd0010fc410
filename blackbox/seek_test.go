package blackbox

import (
	"slices"
	"sync"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func retaining(s *pb.Subscription) { s.RetainAckedMessages = true }

// seekTo moves a subscription with Google's client.
func seekTo(t *testing.T, client *pubsub.Client, sub string, at time.Time) {
	t.Helper()
	request := &pb.SeekRequest{Subscription: sub, Target: &pb.SeekRequest_Time{Time: timestamppb.New(at)}}
	if _, err := client.SubscriptionAdminClient.Seek(limited(t), request); err != nil {
		t.Fatalf("seek: %v", err)
	}
}

// stamped publishes each text by itself and gives the publish times, which all differ.
func (s *server) stamped(t *testing.T, topic, watcher string, texts ...string) (times []time.Time) {
	t.Helper()
	for _, text := range texts {
		s.publish(t, topic, text)
		got := s.pull(t, watcher, 1)
		s.ack(t, watcher, got...)
		published := got[0].Message.PublishTime.AsTime()
		times = append(times, published)
		for !time.Now().After(published.Add(2 * time.Millisecond)) { // times are whole milliseconds
			time.Sleep(time.Millisecond)
		}
	}
	return times
}

func TestSeekBackDeliversAgainAndForwardPurges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pb.Subscription){
		"plain":       func(*pb.Subscription) {},
		"ordered":     func(s *pb.Subscription) { s.EnableMessageOrdering = true },
		"exactlyonce": exactlyOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := common(t)
			client := s.google(t)
			topic, sub := s.pair(t, "x", retaining, change)
			watcher := s.subscription(t, "watcher", topic)
			times := s.stamped(t, topic, watcher, "a", "b", "c")
			first := s.pull(t, sub, 3)
			s.ack(t, sub, first...)
			seekTo(t, client, sub, times[1])
			again := s.pull(t, sub, 2)
			if got := dataOf(again); !slices.Equal(got, []string{"b", "c"}) {
				t.Errorf("after the seek came %q", got)
			}
			if name == "exactlyonce" {
				_, err := s.sub.Acknowledge(limited(t), &pb.AcknowledgeRequest{Subscription: sub, AckIds: []string{first[1].AckId}})
				wantFailures(t, err, map[string]string{first[1].AckId: "PERMANENT_FAILURE_INVALID_ACK_ID"})
			} else {
				s.ack(t, sub, first...)
			}
			s.modify(t, sub, 0, again...)
			if got := dataOf(s.pull(t, sub, 2)); !slices.Equal(got, []string{"b", "c"}) {
				t.Errorf("after ids from before the seek were acknowledged came %q", got)
			}
			seekTo(t, client, sub, time.Now().Add(time.Hour))
			if got := dataOf(s.pullNow(t, sub)); len(got) > 0 {
				t.Errorf("after a seek into the future came %q", got)
			}
			s.publish(t, topic, "d")
			if got := dataOf(s.pull(t, sub, 1)); got[0] != "d" {
				t.Errorf("published after a purge, came %q", got)
			}
		})
	}
}

func TestSeekUnderALiveStream(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", retaining)
	begun := time.Now().Add(-time.Second)
	r := receive(t, client, sub, pubsub.ReceiveSettings{MaxOutstandingMessages: 10}, nil)
	publishAll(t, client, topic, "m", 500)
	r.deliveries(t, 500)
	seekTo(t, client, sub, begun)
	r.deliveries(t, 500)
	if messages, most := r.different(); messages != 500 || most < 2 {
		t.Errorf("%d different messages, one of them %d times", messages, most)
	}

	// Held messages count no more: the handlers of all that the client may hold are stuck, and the purge gives the credit back.
	held, release := make(chan struct{}, 100), make(chan struct{})
	var free sync.Once
	t.Cleanup(func() { free.Do(func() { close(release) }) })
	topic, sub = s.pair(t, "y")
	stuck := receive(t, client, sub, pubsub.ReceiveSettings{MaxOutstandingMessages: 5}, func(m *pubsub.Message) {
		if string(m.Data) != "last" {
			held <- struct{}{}
			<-release
		}
		m.Ack()
	})
	publishAll(t, client, topic, "m", 20)
	for range 5 {
		<-held
	}
	seekTo(t, client, sub, time.Now().Add(time.Hour))
	s.publish(t, topic, "last")
	free.Do(func() { close(release) })
	stuck.deliveries(t, 6)
	if messages, most := stuck.different(); messages != 6 || most != 1 {
		t.Errorf("%d different messages, one of them %d times; want the five held and the last", messages, most)
	}
}

func TestSeekSurvivesACrash(t *testing.T) {
	t.Parallel()
	s := own(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", retaining)
	watcher := s.subscription(t, "watcher", topic)
	times := s.stamped(t, topic, watcher, "a", "b", "c")
	first := s.pull(t, sub, 3)
	s.ack(t, sub, first...)
	seekTo(t, client, sub, times[1])
	s.restart(t, true)
	s.ack(t, sub, first...) // ids from before both
	got := dataOf(s.pull(t, sub, 2))
	slices.Sort(got)
	if !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("after the crash came %q", got)
	}
	if got := dataOf(s.pullNow(t, sub)); len(got) > 0 {
		t.Errorf("and then %q", got)
	}
}

func TestRollbackOfManyMessagesIsQuick(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", retaining)
	begun := time.Now().Add(-time.Second)
	texts := slices.Repeat([]string{"m"}, 1000)
	for range 100 {
		s.publish(t, topic, texts...)
	}
	quickest := time.Hour
	for range 5 { // of which a busy machine or its disk holds up some
		seekTo(t, client, sub, time.Now().Add(time.Hour))
		from := time.Now()
		seekTo(t, client, sub, begun)
		quickest = min(quickest, time.Since(from))
	}
	if quickest > time.Second {
		t.Errorf("a seek over 100,000 messages took %v", quickest)
	}
	if n := len(s.pull(t, sub, 1000)); n != 1000 {
		t.Errorf("%d messages", n)
	}
}

func TestSeekRefusals(t *testing.T) {
	t.Parallel()
	s := common(t)
	_, sub := s.pair(t, "x")
	for what, c := range map[string]struct {
		request *pb.SeekRequest
		code    codes.Code
		text    string
	}{
		"no target": {&pb.SeekRequest{Subscription: sub}, codes.InvalidArgument,
			"No target was specified in the SeekRequest. Must specify either a time or a snapshot"},
		"bad time": {&pb.SeekRequest{Subscription: sub, Target: &pb.SeekRequest_Time{Time: &timestamppb.Timestamp{Nanos: -1}}},
			codes.InvalidArgument, "You have passed an invalid argument to the service (argument=time)."},
		"no subscription": {&pb.SeekRequest{Subscription: s.subName("none"), Target: &pb.SeekRequest_Time{Time: timestamppb.Now()}},
			codes.NotFound, "Resource not found (resource=none)."},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.sub.Seek(limited(t), c.request)
			wantStatus(t, err, c.code, c.text)
		})
	}
}

func TestSeekOfAPushSubscriptionPushesAgain(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	e := newEndpoint(t, nil)
	topic, sub := s.pair(t, "x", retaining, pushTo(e.URL))
	begun := time.Now().Add(-time.Second)
	s.publish(t, topic, "a", "b", "c")
	e.requests(t, 3)
	seekTo(t, client, sub, begun)
	e.requests(t, 6)
	if got := e.counts(t); len(got) != 3 || got["a"] < 2 || got["b"] < 2 || got["c"] < 2 {
		t.Errorf("pushed %v", got)
	}
}

func TestSeekGoesPastWhatAFilterShutsOut(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", retaining, func(r *pb.Subscription) { r.Filter = `attributes.want = "yes"` })
	begun := time.Now().Add(-time.Second)
	for i, want := range []string{"no", "yes", "no", "yes"} {
		r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte{byte('a' + i)}, Attributes: map[string]string{"want": want}}}}
		if _, err := s.Publish(limited(t), r); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		got := s.pull(t, sub, 2)
		if data := dataOf(got); !slices.Equal(data, []string{"b", "d"}) {
			t.Errorf("came %q", data)
		}
		s.ack(t, sub, got...)
		if more := dataOf(s.pullNow(t, sub)); len(more) > 0 {
			t.Errorf("and then %q", more)
		}
		seekTo(t, client, sub, begun)
	}
}
