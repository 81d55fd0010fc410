package blackbox

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, response.Status, err)
	}
}

func withToken(url, audience string) func(*pb.Subscription) {
	return func(s *pb.Subscription) {
		s.PushConfig = &pb.PushConfig{PushEndpoint: url, AuthenticationMethod: &pb.PushConfig_OidcToken_{
			OidcToken: &pb.PushConfig_OidcToken{ServiceAccountEmail: "push@p.iam.example.com", Audience: audience},
		}}
	}
}

// verifyToken checks a request's token as an endpoint does that knows nothing but the issuer.
func verifyToken(t *testing.T, issuer string, p *pushed, audience string) {
	t.Helper()
	var discovery struct {
		Issuer  string `json:"issuer"`
		KeysURI string `json:"jwks_uri"`
	}
	getJSON(t, issuer+"/.well-known/openid-configuration", &discovery)
	var keys jose.JSONWebKeySet
	getJSON(t, discovery.KeysURI, &keys)
	text, ok := strings.CutPrefix(p.header.Get("Authorization"), "Bearer ")
	if !ok {
		t.Fatalf("authorization %q", p.header.Get("Authorization"))
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var standard jwt.Claims
	var own struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	if err := token.Claims(keys, &standard, &own); err != nil {
		t.Fatalf("the signature: %v", err)
	}
	if err := standard.Validate(jwt.Expected{Issuer: discovery.Issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}); err != nil {
		t.Errorf("%+v: %v, want audience %s", standard, err, audience)
	}
	if discovery.Issuer != issuer || own.Email != "push@p.iam.example.com" || !own.Verified {
		t.Errorf("issuer %s, account %+v", discovery.Issuer, own)
	}
	if life := standard.Expiry.Time().Sub(standard.IssuedAt.Time()); life != time.Hour {
		t.Errorf("the token lives for %v", life)
	}
}

func TestPushCarriesATokenThatTheServedKeysVerify(t *testing.T) {
	t.Parallel()
	s := own(t)
	issuer := "http://" + s.addr
	e := newEndpoint(t, nil)
	topic, _ := s.pair(t, "x", withToken(e.URL+"/hook", ""))
	s.publish(t, topic, "one")
	verifyToken(t, issuer, &e.requests(t, 1)[0], e.URL+"/hook")
	s.restart(t, true)
	s.publish(t, topic, "two")
	got := e.requests(t, 2)
	verifyToken(t, issuer, &got[len(got)-1], e.URL+"/hook")
	verifyToken(t, issuer, &got[0], e.URL+"/hook") // whose key must have survived
	named := newEndpoint(t, nil)
	s.subscription(t, "named", topic, withToken(named.URL, "my-service"))
	s.publish(t, topic, "three")
	verifyToken(t, issuer, &named.requests(t, 1)[0], "my-service")
}

func TestPushTrustsTheGivenAuthorities(t *testing.T) {
	t.Parallel()
	e := new(endpoint)
	protocols := make(chan int, 100)
	handler := e.handler(t, nil)
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.ProtoMajor
		handler(w, r)
	}))
	e.EnableHTTP2 = true
	e.StartTLS()
	t.Cleanup(e.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := common(t)
	topic, _ := stranger.pair(t, "x", pushTo(e.URL))
	stranger.publish(t, topic, "to nobody that can be trusted")
	s := own(t, "--push-ca-file", file)
	topic, sub := s.pair(t, "x", pushTo(e.URL))
	s.publish(t, topic, "m")
	e.requests(t, 1)
	if version := <-protocols; version != 2 {
		t.Errorf("HTTP/%d over TLS, want 2", version)
	}
	s.drained(t, sub)
	for _, p := range e.got() {
		if data := p.data(t); data != "m" {
			t.Errorf("%q was pushed to an endpoint whose certificate nobody vouches for", data)
		}
	}
}

func TestUselessAuthoritiesAreRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := ownBroker(t, "--push-ca-file", file)
	if ended, output := attempt(t, b); !ended || !strings.Contains(output, file) {
		t.Errorf("it ended: %v, and said %q, want a refusal that names %s", ended, output, file)
	}
}

func TestPushFailuresCountTowardsDeadLetters(t *testing.T) {
	t.Parallel()
	s := common(t)
	letters, grave := s.pair(t, "letters")
	e := newEndpoint(t, func(int, *pushed) int { return http.StatusTeapot })
	topic, sub := s.pair(t, "x", pushTo(e.URL), func(r *pb.Subscription) {
		r.DeadLetterPolicy = &pb.DeadLetterPolicy{DeadLetterTopic: letters, MaxDeliveryAttempts: 5}
	})
	s.publish(t, topic, "m")
	dead := s.pull(t, grave, 1)[0].Message
	if string(dead.Data) != "m" || dead.Attributes["CloudPubSubDeadLetterSourceDeliveryCount"] != "5" ||
		dead.Attributes["PosthasteDeadLetterReason"] != "push status 418" {
		t.Errorf("dead letter %v", dead)
	}
	for i, p := range e.got() {
		var envelope struct{ DeliveryAttempt int }
		if err := json.Unmarshal(p.body, &envelope); err != nil || envelope.DeliveryAttempt != i+1 {
			t.Errorf("request %d: delivery attempt %d, %v", i, envelope.DeliveryAttempt, err)
		}
	}
	if n := len(e.got()); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
	s.drained(t, sub)
}

func TestStopWaitsForThePostsUnderWay(t *testing.T) {
	t.Parallel()
	s := own(t)
	begun := make(chan struct{}, 10)
	release := make(chan struct{})
	e := newEndpoint(t, func(int, *pushed) int {
		begun <- struct{}{}
		<-release
		return http.StatusOK
	})
	topic, sub := s.pair(t, "x", pushTo(e.URL))
	s.publish(t, topic, "m")
	<-begun
	// The endpoint answers once the broker is on its way out: its port takes no calls any more then.
	go func() {
		for {
			response, err := http.Get("http://" + s.addr + "/readyz")
			if err != nil {
				break
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		close(release)
	}()
	s.restart(t, false)
	s.drained(t, sub)
	if n := len(e.got()); n != 1 {
		t.Errorf("%d requests, want one, whose answer came while the broker was stopping", n)
	}
}
