package blackbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// receiver runs Google's subscriber and keeps what came.
type receiver struct {
	mu     sync.Mutex
	count  map[string]int // deliveries by data
	total  int
	events chan struct{} // gets a token for each delivery
	cancel context.CancelFunc
	done   chan error
}

// receive starts to receive with Google's client. handle decides what happens to a message; nil acknowledges.
func receive(t *testing.T, client *pubsub.Client, sub string, settings pubsub.ReceiveSettings, handle func(*pubsub.Message)) *receiver {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &receiver{count: make(map[string]int), events: make(chan struct{}, 1_000_000), cancel: cancel, done: make(chan error, 1)}
	subscriber := client.Subscriber(sub)
	subscriber.ReceiveSettings = settings
	go func() {
		r.done <- subscriber.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
			r.mu.Lock()
			r.count[string(m.Data)]++
			r.total++
			r.mu.Unlock()
			if handle != nil {
				handle(m)
			} else {
				m.Ack()
			}
			r.events <- struct{}{}
		})
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends receiving and waits until the client has sent its last acknowledgements.
func (r *receiver) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("receive: %v", err)
		}
		r.done <- nil
	case <-time.After(patience):
		t.Error("receive did not end")
	}
}

// deliveries waits until n deliveries were handled.
func (r *receiver) deliveries(t *testing.T, n int) {
	t.Helper()
	limit := time.After(2 * patience)
	for i := range n {
		select {
		case <-r.events:
		case <-limit:
			t.Fatalf("%d of %d deliveries came", i, n)
		}
	}
}

// different is how many messages came at least once, and how often the most frequent one did.
func (r *receiver) different() (messages, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.count {
		most = max(most, n)
	}
	return len(r.count), most
}

// publishAll publishes n messages with Google's publisher, whose data are prefix and a number.
func publishAll(t *testing.T, client *pubsub.Client, topic, prefix string, n int) {
	t.Helper()
	publisher := client.Publisher(topic)
	defer publisher.Stop()
	ids := make(map[string]bool)
	var results []*pubsub.PublishResult
	for i := range n {
		results = append(results, publisher.Publish(t.Context(), &pubsub.Message{Data: []byte(prefix + strconv.Itoa(i))}))
	}
	for _, result := range results {
		id, err := result.Get(t.Context())
		if err != nil {
			t.Fatalf("publish: %v", err)
		}
		ids[id] = true
	}
	if len(ids) != n {
		t.Errorf("%d different message ids for %d messages", len(ids), n)
	}
}

func TestClientPublishesInBatches(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, nil)
	publishAll(t, client, topic, "m", 3000)
	r.deliveries(t, 3000)
	if messages, most := r.different(); messages != 3000 || most != 1 {
		t.Errorf("%d different messages, one of them %d times; want 3000, each once", messages, most)
	}
}

func TestClientCompressesAndOrders(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x", func(r *pb.Subscription) { r.EnableMessageOrdering = true })
	var mu sync.Mutex
	var order []string
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, string(m.Data)[:3])
		m.Ack()
	})
	publisher := client.Publisher(topic)
	publisher.EnableMessageOrdering = true
	publisher.PublishSettings.EnableCompression = true
	publisher.PublishSettings.CompressionBytesThreshold = 100
	defer publisher.Stop()
	for i := range 200 {
		publisher.Publish(t.Context(), &pubsub.Message{Data: fmt.Appendf(nil, "%03d %0200d", i, 0), OrderingKey: "k"})
	}
	publisher.Flush()
	r.deliveries(t, 200)
	mu.Lock()
	defer mu.Unlock()
	for i, got := range order {
		if want := fmt.Sprintf("%03d", i); got != want {
			t.Fatalf("message %s came where %s was due", got, want)
		}
	}
}

func TestFourSubscribersShareASubscription(t *testing.T) {
	t.Parallel()
	s := common(t)
	topic, sub := s.pair(t, "x")
	const n = 4000
	var all receiver
	all.count = make(map[string]int)
	var receivers []*receiver
	for range 4 {
		// Few outstanding messages and a handler that takes a moment, so that no subscriber can take all.
		settings := pubsub.ReceiveSettings{MaxOutstandingMessages: 20, NumGoroutines: 1}
		receivers = append(receivers, receive(t, s.google(t), sub, settings, func(m *pubsub.Message) {
			time.Sleep(time.Millisecond)
			m.Ack()
			all.mu.Lock()
			defer all.mu.Unlock()
			all.count[string(m.Data)]++
		}))
	}
	publishAll(t, s.google(t), topic, "m", n)
	total := func() int {
		sum := 0
		for _, r := range receivers {
			r.mu.Lock()
			sum += r.total
			r.mu.Unlock()
		}
		return sum
	}
	eventually(t, "all messages come", func() bool { return total() >= n })
	for _, r := range receivers {
		r.stop(t)
	}
	if messages, most := all.different(); messages != n || most != 1 {
		t.Errorf("%d different messages, one of them %d times; want %d, each with one subscriber", messages, most, n)
	}
	for i, r := range receivers {
		if r.total < n/4/4 {
			t.Errorf("subscriber %d got %d of %d messages", i, r.total, n)
		}
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.After(2 * patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestEachSubscriptionGetsACopy(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, first := s.pair(t, "x")
	second := s.subscription(t, "second", topic)
	a := receive(t, client, first, pubsub.ReceiveSettings{}, nil)
	b := receive(t, client, second, pubsub.ReceiveSettings{}, nil)
	publishAll(t, client, topic, "m", 500)
	for _, r := range []*receiver{a, b} {
		r.deliveries(t, 500)
		if messages, most := r.different(); messages != 500 || most != 1 {
			t.Errorf("%d different messages, one of them %d times; want 500, each once", messages, most)
		}
	}
}

func TestClientNackBringsRedelivery(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	var nacked sync.Map
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		if _, before := nacked.LoadOrStore(m.ID, true); !before {
			m.Nack()
			return
		}
		m.Ack()
	})
	publishAll(t, client, topic, "m", 100)
	r.deliveries(t, 200)
	if messages, most := r.different(); messages != 100 || most != 2 {
		t.Errorf("%d different messages, one of them %d times; want 100, each twice", messages, most)
	}
}

func TestClientExtendsALeaseWhileItsHandlerWorks(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x") // ack deadline 10 s
	release := make(chan struct{})
	settings := pubsub.ReceiveSettings{MaxDurationPerAckExtension: 10 * time.Second, MinDurationPerAckExtension: 10 * time.Second}
	var handled atomic.Int32
	r := receive(t, client, sub, settings, func(m *pubsub.Message) {
		handled.Add(1)
		<-release
		m.Ack()
	})
	publishAll(t, client, topic, "slow", 1)
	eventually(t, "the handler has the message", func() bool { return handled.Load() > 0 })
	// The handler needs more than twice the deadline; only the passing of that time can show that nothing comes again.
	time.Sleep(22 * time.Second)
	if n := handled.Load(); n != 1 {
		t.Errorf("message came %d times while its handler worked", n)
	}
	close(release)
	r.deliveries(t, 1)
	r.stop(t)
	if again := s.pullNow(t, sub); len(again) != 0 {
		t.Errorf("message came again after its acknowledgement: %q", dataOf(again))
	}
}

func TestClientGoesOnOverARestart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		crash bool
	}{
		{"graceful", false},
		{"crash", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := own(t)
			client := s.google(t)
			topic, sub := s.pair(t, "x")
			r := receive(t, client, sub, pubsub.ReceiveSettings{}, nil)
			publisher := client.Publisher(topic)
			defer publisher.Stop()
			stop := make(chan struct{})
			var accepted sync.Map
			var published atomic.Int64
			var sender sync.WaitGroup
			sender.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					data := strconv.Itoa(i)
					if _, err := publisher.Publish(t.Context(), &pubsub.Message{Data: []byte(data)}).Get(t.Context()); err == nil {
						accepted.Store(data, true)
						published.Add(1)
					} else {
						t.Errorf("the client gave up: %v", err)
						return
					}
				}
			})
			for range 3 {
				before := published.Load()
				eventually(t, "publishing goes on", func() bool { return published.Load() > before+50 })
				s.restart(t, c.crash)
			}
			before := published.Load()
			eventually(t, "publishing goes on after the last restart", func() bool { return published.Load() > before+50 })
			close(stop)
			sender.Wait()
			eventually(t, "every accepted message has come", func() bool {
				missing := 0
				r.mu.Lock()
				defer r.mu.Unlock()
				accepted.Range(func(data, _ any) bool {
					if r.count[data.(string)] == 0 {
						missing++
					}
					return true
				})
				return missing == 0
			})
		})
	}
}

func TestClientReceivesTheLargestMessage(t *testing.T) {
	t.Parallel()
	s := common(t)
	client := s.google(t)
	topic, sub := s.pair(t, "x")
	var size atomic.Int64
	r := receive(t, client, sub, pubsub.ReceiveSettings{}, func(m *pubsub.Message) {
		size.Store(int64(len(m.Data)))
		m.Ack()
	})
	data := sized(t, topic, 10_000_000).Messages[0].Data
	publisher := client.Publisher(topic)
	defer publisher.Stop()
	if _, err := publisher.Publish(t.Context(), &pubsub.Message{Data: data}).Get(t.Context()); err != nil {
		t.Fatalf("publish 10 MB: %v", err)
	}
	r.deliveries(t, 1)
	if size.Load() != int64(len(data)) {
		t.Errorf("%d bytes came, want %d", size.Load(), len(data))
	}
}
