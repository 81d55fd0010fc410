package blackbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pushed is one request that an endpoint got.
type pushed struct {
	header http.Header
	body   []byte
	at     time.Time
}

// data is what a wrapped message carries.
func (p *pushed) data(t *testing.T) string {
	t.Helper()
	var envelope struct{ Message struct{ Data []byte } }
	if err := json.Unmarshal(p.body, &envelope); err != nil {
		t.Errorf("body %q: %v", p.body, err)
	}
	return string(envelope.Message.Data)
}

// endpoint is an HTTP server that keeps what it gets.
type endpoint struct {
	*httptest.Server
	mu  sync.Mutex
	all []pushed
}

// newEndpoint starts an endpoint. answer gives the status for the n-th request, from 0; nil means 200.
func newEndpoint(t *testing.T, answer func(n int, p *pushed) int) *endpoint {
	t.Helper()
	e := new(endpoint)
	e.Server = httptest.NewServer(e.handler(t, answer))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) handler(t *testing.T, answer func(n int, p *pushed) int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("%s, %v", r.Method, err)
		}
		p := pushed{header: r.Header, body: body, at: time.Now()}
		e.mu.Lock()
		n := len(e.all)
		e.all = append(e.all, p)
		e.mu.Unlock()
		status := http.StatusOK
		if answer != nil {
			status = answer(n, &p)
		}
		if status >= 300 && status < 400 {
			w.Header().Set("Location", e.URL+"/elsewhere")
		}
		w.WriteHeader(status)
		if status == http.StatusProcessing { // no last word; what follows must not matter
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
}

func (e *endpoint) got() []pushed {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// requests waits until the endpoint has got n requests, and gives them all.
func (e *endpoint) requests(t *testing.T, n int) []pushed {
	t.Helper()
	eventually(t, fmt.Sprintf("the endpoint has %d requests", n), func() bool { return len(e.got()) >= n })
	return e.got()
}

// counts is how often each message's data came.
func (e *endpoint) counts(t *testing.T) map[string]int {
	t.Helper()
	count := make(map[string]int)
	for _, p := range e.got() {
		count[p.data(t)]++
	}
	return count
}

func pushTo(url string) func(*pb.Subscription) {
	return func(s *pb.Subscription) { s.PushConfig = &pb.PushConfig{PushEndpoint: url} }
}

func (s *server) switchTo(t *testing.T, sub, url string) {
	t.Helper()
	r := &pb.ModifyPushConfigRequest{Subscription: sub, PushConfig: &pb.PushConfig{PushEndpoint: url}}
	if _, err := s.sub.ModifyPushConfig(limited(t), r); err != nil {
		t.Fatalf("modify push config: %v", err)
	}
}

// drained waits until a subscription has nothing left: after it was switched to pull and its leases have ended, nothing can be pulled.
func (s *server) drained(t *testing.T, sub string) {
	t.Helper()
	s.switchTo(t, sub, "")
	if left := s.pullNow(t, sub); len(left) != 0 {
		t.Errorf("%q is left", dataOf(left))
	}
}

func TestPushWrapsAMessageInJSON(t *testing.T) {
	t.Parallel()
	s := common(t)
	e := newEndpoint(t, nil)
	letters := s.topic(t, "letters")
	topic := s.topic(t, "topic")
	sub := s.subscription(t, "sub", topic, pushTo(e.URL+"/push?token=x"), func(r *pb.Subscription) {
		r.EnableMessageOrdering = true
		r.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: letters}
	})
	plain := newEndpoint(t, nil)
	s.subscription(t, "plain", topic, pushTo(plain.URL))
	message := &pb.PubsubMessage{Data: []byte("\x00\xffé"), Attributes: map[string]string{"k": `"v"`, "ü": ""}, OrderingKey: "key"}
	answer, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{message}})
	if err != nil {
		t.Fatal(err)
	}
	p := e.requests(t, 1)[0]
	var got map[string]any
	if err := json.Unmarshal(p.body, &got); err != nil {
		t.Fatalf("%q: %v", p.body, err)
	}
	inner := got["message"].(map[string]any)
	published, err := time.Parse(time.RFC3339Nano, inner["publishTime"].(string))
	if err != nil || time.Since(published).Abs() > time.Hour {
		t.Errorf("publish time %v, %v", published, err)
	}
	want := map[string]any{
		"subscription": sub, "deliveryAttempt": 1.0, "message": map[string]any{
			"attributes": map[string]any{"k": `"v"`, "ü": ""}, "data": base64.StdEncoding.EncodeToString(message.Data),
			"messageId": answer.MessageIds[0], "message_id": answer.MessageIds[0], "orderingKey": "key",
			"publishTime": inner["publishTime"], "publish_time": inner["publishTime"],
		},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("pushed\n %v\nwant\n %v", got, want)
	}
	if kind := p.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q", kind)
	}
	if auth := p.header.Get("Authorization"); auth != "" {
		t.Errorf("authorization %q without an account", auth)
	}
	got = nil
	if err := json.Unmarshal(plain.requests(t, 1)[0].body, &got); err != nil {
		t.Fatal(err)
	}
	if inner := got["message"].(map[string]any); got["deliveryAttempt"] != nil || inner["orderingKey"] != nil {
		t.Errorf("%v has a delivery attempt without a dead letter policy, or an ordering key without ordering", got)
	}
}

func TestPushUnwrappedSendsTheData(t *testing.T) {
	t.Parallel()
	s := common(t)
	bare, full := newEndpoint(t, nil), newEndpoint(t, nil)
	topic := s.topic(t, "topic")
	s.subscription(t, "bare", topic, func(r *pb.Subscription) {
		r.PushConfig = &pb.PushConfig{PushEndpoint: bare.URL, Wrapper: &pb.PushConfig_NoWrapper_{NoWrapper: &pb.PushConfig_NoWrapper{}}}
	})
	sub := s.subscription(t, "full", topic, func(r *pb.Subscription) {
		r.EnableMessageOrdering = true
		r.PushConfig = &pb.PushConfig{PushEndpoint: full.URL, Wrapper: &pb.PushConfig_NoWrapper_{NoWrapper: &pb.PushConfig_NoWrapper{WriteMetadata: true}}}
	})
	message := &pb.PubsubMessage{Data: []byte("raw"), Attributes: map[string]string{"content-type": "text/x", "Colour": "red", "host": "evil"}, OrderingKey: "key"}
	answer, err := s.Publish(limited(t), &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{message}})
	if err != nil {
		t.Fatal(err)
	}
	b, f := bare.requests(t, 1)[0], full.requests(t, 1)[0]
	if string(b.body) != "raw" || string(f.body) != "raw" {
		t.Errorf("bodies %q and %q, want the data", b.body, f.body)
	}
	for _, name := range []string{"Colour", "X-Goog-Pubsub-Message-Id"} {
		if b.header.Get(name) != "" {
			t.Errorf("header %s without metadata being asked for", name)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/x", "Colour": "red", "X-Goog-Pubsub-Subscription-Name": sub, "X-Goog-Pubsub-Message-Id": answer.MessageIds[0],
		"X-Goog-Pubsub-Ordering-Key": "key", "X-Goog-Ordering-Key": "key",
	} {
		if got := f.header.Get(name); got != want {
			t.Errorf("header %s: %q, want %q", name, got, want)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, f.header.Get("X-Goog-Pubsub-Publish-Time")); err != nil {
		t.Error(err)
	}
}

func pushStatusDecides(t *testing.T, said []string) {
	s := common(t)
	acknowledging := strings.Split(said[1], ", ")
	for _, status := range []int{102, 200, 201, 202, 203, 204, 205, 206, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503} {
		acknowledges := slices.Contains(acknowledging, fmt.Sprint(status))
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, func(n int, _ *pushed) int {
				if n == 0 {
					return status
				}
				return http.StatusOK
			})
			topic, sub := s.pair(t, fmt.Sprint(status), pushTo(e.URL))
			s.publish(t, topic, "m")
			if !acknowledges {
				got := e.requests(t, 2)
				if again := got[1].at.Sub(got[0].at); again < 90*time.Millisecond {
					t.Errorf("it came again after %v, want the backoff of 100ms", again)
				}
			} else {
				e.requests(t, 1)
				// That nothing comes again can be seen only by waiting for longer than the backoff.
				time.Sleep(500 * time.Millisecond)
			}
			s.drained(t, sub)
			if n, want := len(e.got()), map[bool]int{true: 1, false: 2}[acknowledges]; n != want {
				t.Errorf("%d requests, want %d", n, want)
			}
		})
	}
}

func TestPushTakesItsTimeForTimeout(t *testing.T) {
	t.Parallel()
	s := common(t)
	release := make(chan struct{})
	e := newEndpoint(t, func(n int, _ *pushed) int {
		if n == 0 {
			<-release
		}
		return http.StatusOK
	})
	topic, sub := s.pair(t, "x", pushTo(e.URL))
	g, begun := s.gauge(t), time.Now() // of a post that begins a little later
	s.publish(t, topic, "m")
	got := e.requests(t, 2)
	close(release)
	if again := got[1].at.Sub(begun); again < 9*time.Second || g.over(got[0].at, got[1].at, 15*time.Second) {
		t.Errorf("it came again after %v, want the ack deadline of 10s and a little", again)
	}
	s.drained(t, sub)
}

func TestPushHasOneMessageOfAKeyOnItsWay(t *testing.T) {
	t.Parallel()
	s := common(t)
	const keys, each = 8, 25
	var mu sync.Mutex
	flying, order, refused := make(map[string]int), make(map[string][]string), make(map[string]bool)
	e := newEndpoint(t, func(_ int, p *pushed) int {
		var envelope struct {
			Message struct {
				Data        []byte
				OrderingKey string
			}
		}
		if err := json.Unmarshal(p.body, &envelope); err != nil {
			t.Error(err)
		}
		key, data := envelope.Message.OrderingKey, string(envelope.Message.Data)
		mu.Lock()
		flying[key]++
		if flying[key] > 1 {
			t.Errorf("%d messages of key %s at a time", flying[key], key)
		}
		refuse := data[1] == '7' && !refused[data]
		refused[data] = true
		mu.Unlock()
		time.Sleep(time.Millisecond) // a handler takes a moment
		mu.Lock()
		defer mu.Unlock()
		flying[key]--
		if refuse {
			return http.StatusServiceUnavailable
		}
		order[key] = append(order[key], data)
		return http.StatusNoContent
	})
	topic, sub := s.pair(t, "x", pushTo(e.URL), func(r *pb.Subscription) { r.EnableMessageOrdering = true })
	var want []string
	for i := range each {
		want = append(want, fmt.Sprintf("%02d", i))
		for k := range keys {
			r := &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{Data: []byte(want[i]), OrderingKey: fmt.Sprint("k", k)}}}
			if _, err := s.Publish(limited(t), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "all have come", func() bool {
		mu.Lock()
		defer mu.Unlock()
		total := 0
		for _, list := range order {
			total += len(list)
		}
		return total >= keys*each
	})
	s.drained(t, sub)
	for key, list := range order {
		if !slices.Equal(list, want) {
			t.Errorf("key %s: %v", key, list)
		}
	}
}

func TestPushIsRefusedToThoseWhoPull(t *testing.T) {
	t.Parallel()
	s := common(t)
	e := newEndpoint(t, nil)
	topic, sub := s.pair(t, "x", pushTo(e.URL))
	_, err := s.sub.Pull(limited(t), &pb.PullRequest{Subscription: sub, MaxMessages: 1})
	wantStatus(t, err, codes.FailedPrecondition, "This method is not supported for this subscription type.")
	_, err = s.sub.CreateSubscription(limited(t), &pb.Subscription{Name: s.subName("both"), Topic: topic, EnableExactlyOnceDelivery: true,
		PushConfig: &pb.PushConfig{PushEndpoint: e.URL}})
	wantStatus(t, err, codes.InvalidArgument, "")
}

func TestSwitchesBetweenPushAndPullKeepTheBacklog(t *testing.T) {
	t.Parallel()
	s := own(t)
	topic, sub := s.pair(t, "x")
	s.publish(t, topic, "a", "b", "c")
	st := s.stream(t, open(sub))
	st.take(t, 3) // which go back when the stream ends
	var refuse atomic.Bool
	e := newEndpoint(t, func(int, *pushed) int {
		if refuse.Load() {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	s.switchTo(t, sub, e.URL)
	wantStatus(t, st.end(t), codes.FailedPrecondition, "")
	e.requests(t, 3)
	want := map[string]int{"a": 1, "b": 1, "c": 1}
	if got := e.counts(t); !maps.Equal(got, want) {
		t.Errorf("pushed %v, want %v", got, want)
	}
	refuse.Store(true)
	s.publish(t, topic, "d", "e")
	e.requests(t, 5)
	s.switchTo(t, sub, "")
	got := s.pull(t, sub, 2)
	if data := dataOf(got); !slices.Equal(slices.Sorted(slices.Values(data)), []string{"d", "e"}) {
		t.Errorf("pulled %q, want d and e", data)
	}
	s.modify(t, sub, 0, got...)
	before := len(e.got())
	s.restart(t, true)
	refuse.Store(false)
	s.publish(t, topic, "f")
	if n := len(e.got()); n != before {
		t.Errorf("%d requests came after the switch to pull", n-before)
	}
	s.switchTo(t, sub, e.URL)
	e.requests(t, before+3)
	s.restart(t, false)
	s.publish(t, topic, "g")
	e.requests(t, before+4)
	counts := e.counts(t)
	for _, data := range []string{"d", "e", "f", "g"} {
		if counts[data] == 0 {
			t.Errorf("%s was not pushed", data)
		}
	}
	s.drained(t, sub)
}

func TestDeadEndpointLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	s := common(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	hang := make(chan struct{})
	slow := newEndpoint(t, func(int, *pushed) int { <-hang; return http.StatusOK })
	defer close(hang)
	healthy := newEndpoint(t, nil)
	topic := s.topic(t, "topic")
	s.subscription(t, "dead", topic, pushTo(dead.URL))
	s.subscription(t, "slow", topic, pushTo(slow.URL))
	sub := s.subscription(t, "healthy", topic, pushTo(healthy.URL))
	const n = 2000
	for i := range n / 100 {
		var data []string
		for j := range 100 {
			data = append(data, fmt.Sprint(i*100+j))
		}
		s.publish(t, topic, data...)
	}
	healthy.requests(t, n)
	if count := healthy.counts(t); len(count) != n {
		t.Errorf("%d different messages came, want %d", len(count), n)
	}
	if n := len(slow.got()); n > 10 {
		t.Errorf("%d requests at a time at an endpoint that answered none", n)
	}
	s.drained(t, sub)
}

func TestPushToADeletedOrDetachedSubscriptionIsCutOff(t *testing.T) {
	t.Parallel()
	s := common(t)
	for name, end := range map[string]func(sub string) error{
		"deleted": func(sub string) error {
			_, err := s.sub.DeleteSubscription(limited(t), &pb.DeleteSubscriptionRequest{Subscription: sub})
			return err
		},
		"detached": func(sub string) error {
			_, err := s.DetachSubscription(limited(t), &pb.DetachSubscriptionRequest{Subscription: sub})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			begun, cut := make(chan struct{}, 10), make(chan struct{}, 10)
			e := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				begun <- struct{}{}
				<-r.Context().Done()
				cut <- struct{}{}
			}))
			t.Cleanup(e.Close)
			topic, sub := s.pair(t, name, pushTo(e.URL), func(r *pb.Subscription) { r.AckDeadlineSeconds = 600 })
			s.publish(t, topic, "m")
			<-begun
			if err := end(sub); err != nil {
				t.Fatal(err)
			}
			select {
			case <-cut:
			case <-time.After(patience): // less than the ack deadline
				t.Error("the request went on")
			}
			s.publish(t, topic, "n")
			select {
			case <-begun:
				t.Error("another request came")
			case <-time.After(300 * time.Millisecond): // only time can show that nothing comes
			}
		})
	}
}

func TestPushVersionIsReturnedAsItWasGiven(t *testing.T) {
	t.Parallel()
	s := common(t)
	e := newEndpoint(t, nil)
	topic, sub := s.pair(t, "x", pushTo(e.URL), func(r *pb.Subscription) { r.PushConfig.Attributes = map[string]string{"x-goog-version": "v1beta2"} })
	s.publish(t, topic, "m")
	if p := e.requests(t, 1)[0]; p.data(t) != "m" {
		t.Errorf("pushed %q", p.body)
	}
	got, err := s.sub.GetSubscription(limited(t), &pb.GetSubscriptionRequest{Subscription: sub})
	if err != nil || got.PushConfig.Attributes["x-goog-version"] != "v1beta2" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []*pb.PushConfig{
		{PushEndpoint: "ftp://example.com"}, {PushEndpoint: "example.com/push"}, {PushEndpoint: e.URL, Attributes: map[string]string{"x-goog-version": "v2"}},
		{PushEndpoint: e.URL, AuthenticationMethod: &pb.PushConfig_OidcToken_{OidcToken: &pb.PushConfig_OidcToken{ServiceAccountEmail: "nobody"}}},
	} {
		_, err := s.sub.ModifyPushConfig(limited(t), &pb.ModifyPushConfigRequest{Subscription: sub, PushConfig: bad})
		wantStatus(t, err, codes.InvalidArgument, "")
	}
}

func TestPushWithARetryPolicyWaitsAsThatSays(t *testing.T) {
	t.Parallel()
	s := common(t)
	e := newEndpoint(t, func(n int, _ *pushed) int {
		if n < 2 {
			return http.StatusTooManyRequests
		}
		return http.StatusOK
	})
	topic, sub := s.pair(t, "x", pushTo(e.URL), func(r *pb.Subscription) {
		r.RetryPolicy = &pb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second), MaximumBackoff: durationpb.New(10 * time.Second)}
	})
	g := s.gauge(t)
	s.publish(t, topic, "m")
	got := e.requests(t, 3)
	for i, least := range []time.Duration{time.Second, 2 * time.Second} {
		if wait := got[i+1].at.Sub(got[i].at); wait < least-10*time.Millisecond || g.over(got[i].at, got[i+1].at, least+2*time.Second) {
			t.Errorf("request %d came after %v, want %v", i+1, wait, least)
		}
	}
	s.drained(t, sub)
}

func TestPushDoesNotHammerAnEndpointWhoseMinimumBackoffIsZero(t *testing.T) {
	t.Parallel()
	s := common(t)
	e := newEndpoint(t, func(n int, _ *pushed) int {
		if n < 3 {
			return http.StatusTooManyRequests
		}
		return http.StatusOK
	})
	topic, sub := s.pair(t, "x", pushTo(e.URL), func(r *pb.Subscription) {
		r.RetryPolicy = &pb.RetryPolicy{MinimumBackoff: durationpb.New(0), MaximumBackoff: durationpb.New(10 * time.Second)}
	})
	s.publish(t, topic, "m")
	got := e.requests(t, 4)
	for i, least := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		if wait := got[i+1].at.Sub(got[i].at); wait < least-10*time.Millisecond {
			t.Errorf("request %d came after %v, want %v at the least", i+1, wait, least)
		}
	}
	s.drained(t, sub)
}
