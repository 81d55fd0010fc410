package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/posthaste-io/posthaste/internal/clock"
)

// shelf is a Store in memory.
type shelf struct {
	mu        sync.Mutex
	documents map[string][]byte // of kind signing-key
	refusal   error
}

func (s *shelf) Documents(kind string, f func(name string, body []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != "signing-key" {
		return
	}
	for name, body := range s.documents {
		if !f(name, body) {
			return
		}
	}
}

func (s *shelf) PutDocument(_ context.Context, kind, name string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal == nil && kind == "signing-key" {
		s.documents[name] = body
	}
	return s.refusal
}

func (s *shelf) DeleteDocument(_ context.Context, _, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.documents, name)
	return s.refusal
}

// broker is a provider, its surroundings, and what a verifier sees of it.
type broker struct {
	t     *testing.T
	clock *clock.Manual
	shelf *shelf
	*Provider
}

const issuer = "https://broker.example.com/base"

func newBroker(t *testing.T) *broker {
	b := &broker{t: t, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)), shelf: &shelf{documents: make(map[string][]byte)}}
	b.restart()
	return b
}

func (b *broker) restart() { b.Provider = New(issuer, b.shelf, b.clock) }

func (b *broker) get(path string, into any) http.Header {
	b.t.Helper()
	mux := http.NewServeMux()
	b.Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		b.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
	return w.Header()
}

func (b *broker) keySet() *jose.JSONWebKeySet {
	b.t.Helper()
	set := new(jose.JSONWebKeySet)
	b.get("/.well-known/jwks.json", set)
	return set
}

func (b *broker) token(account, audience string) string {
	b.t.Helper()
	text, err := b.Token(b.t.Context(), account, audience)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// verify checks a token as an endpoint does and gives what it says.
func (b *broker) verify(text string, set *jose.JSONWebKeySet) (map[string]any, error) {
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	said := make(map[string]any)
	if err := parsed.Claims(set, &said); err != nil {
		return nil, err
	}
	var standard jwt.Claims
	if err := parsed.Claims(set, &standard); err != nil {
		return nil, err
	}
	return said, standard.ValidateWithLeeway(jwt.Expected{Issuer: issuer, Time: time.Unix(0, b.clock.Wall())}, 0)
}

func TestTokenSaysWhoAsksWhom(t *testing.T) {
	b := newBroker(t)
	said, err := b.verify(b.token("push@p.iam.example.com", "https://endpoint/x"), b.keySet())
	if err != nil {
		t.Fatal(err)
	}
	issued := float64(b.clock.Wall() / 1e9)
	for name, want := range map[string]any{
		"iss": issuer, "aud": "https://endpoint/x", "email": "push@p.iam.example.com", "email_verified": true, "iat": issued, "exp": issued + 3600,
	} {
		if said[name] != want {
			t.Errorf("%s is %v, want %v", name, said[name], want)
		}
	}
	id, _ := said["sub"].(string)
	if len(id) != 21 || strings.Trim(id, "0123456789") != "" || said["azp"] != id {
		t.Errorf("sub %q, azp %v: want 21 digits, twice", id, said["azp"])
	}
	if len(said) != 8 {
		t.Errorf("%v has more than was expected", said)
	}
	other, err := b.verify(b.token("other@p.iam.example.com", "x"), b.keySet())
	if err != nil || other["sub"] == id {
		t.Errorf("two accounts have the number %v, %v", other["sub"], err)
	}
}

func TestTokenIsKeptUntilItIsOld(t *testing.T) {
	b := newBroker(t)
	first := b.token("a@b", "c")
	b.clock.Advance(renewTime - 1)
	if b.token("a@b", "c") != first {
		t.Error("another token before the old one is old")
	}
	if b.token("a@b", "d") == first || b.token("b@b", "c") == first {
		t.Error("one token for two")
	}
	b.clock.Advance(1)
	second := b.token("a@b", "c")
	if second == first {
		t.Error("a token is used for too long")
	}
	b.clock.SetWall(time.Unix(0, b.clock.Wall()).Add(-time.Hour))
	if b.token("a@b", "c") == second {
		t.Error("a token from the future is used after the clock was set back")
	}
	for range 3 {
		b.clock.Advance(renewTime)
		b.token("a@b", "x")
	}
	if len(b.tokens) != 1 {
		t.Errorf("%d tokens are kept, want the one that is used", len(b.tokens))
	}
}

func TestKeySurvivesARestart(t *testing.T) {
	b := newBroker(t)
	old := b.token("a@b", "c")
	b.restart()
	if _, err := b.verify(old, b.keySet()); err != nil {
		t.Error(err)
	}
	if len(b.shelf.documents) != 1 {
		t.Errorf("%d keys are kept", len(b.shelf.documents))
	}
}

// Over a hundred days, verifiers that keep the key set as long as they may can verify every token until that expires.
func TestEveryTokenCanBeVerifiedWhileKeysAreReplaced(t *testing.T) {
	b := newBroker(t)
	type handed struct {
		text    string
		expires int64
	}
	var alive []handed
	type verifier struct {
		keys *jose.JSONWebKeySet
		at   int64 // when it asked for them
	}
	var verifiers [5]verifier // each asks at another time
	for i := range verifiers {
		verifiers[i] = verifier{b.keySet(), b.clock.Wall() - int64(i)*int64(13*time.Minute)}
	}
	signers, most := make(map[string]bool), 0
	began := b.clock.Wall()
	for b.clock.Wall()-began < int64(100*24*time.Hour) {
		step := 8 * time.Hour
		if age := time.Duration(b.clock.Wall() - b.keys[len(b.keys)-1].created); age > keyAge-9*time.Hour || age < 12*time.Hour {
			step = 13 * time.Minute // something may happen
		}
		b.clock.Advance(step)
		now := b.clock.Wall()
		if len(signers) == 2 && step < time.Hour {
			b.restart()
		}
		text := b.token("a@b", "c")
		parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		signers[parsed.Headers[0].KeyID] = true
		alive = append(alive, handed{text, now + int64(tokenTime)})
		alive = slices.DeleteFunc(alive, func(h handed) bool { return h.expires < now })
		for i := range verifiers {
			for _, h := range alive {
				if _, err := b.verify(h.text, verifiers[i].keys); err != nil && !errors.Is(err, jwt.ErrExpired) {
					t.Fatalf("at %v, verifier %d: %v", time.Unix(0, now), i, err)
				}
			}
			if now-verifiers[i].at >= int64(keysAge-13*time.Minute) { // so that no set is older at the next step
				verifiers[i] = verifier{b.keySet(), now}
			}
		}
		most = max(most, len(b.keySet().Keys))
	}
	if len(signers) < 3 || len(signers) > 4 {
		t.Errorf("%d keys signed in 100 days", len(signers))
	}
	if most != 2 || len(b.shelf.documents) > 2 {
		t.Errorf("up to %d keys were published at a time, %d are kept", most, len(b.shelf.documents))
	}
}

func TestDiscoveryLeadsToTheKeys(t *testing.T) {
	b := newBroker(t)
	var document struct {
		Issuer     string   `json:"issuer"`
		KeysURI    string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	header := b.get("/.well-known/openid-configuration", &document)
	if document.Issuer != issuer || document.KeysURI != issuer+"/.well-known/jwks.json" || !slices.Equal(document.Algorithms, []string{"RS256"}) {
		t.Errorf("%+v", document)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("%v", header)
	}
	for _, key := range b.keySet().Keys {
		if !key.IsPublic() || key.KeyID == "" || key.Use != "sig" || key.Algorithm != "RS256" {
			t.Errorf("published %+v", key)
		}
	}
}

func TestWhatIsWrongWithAKeyIsSaid(t *testing.T) {
	for name, body := range map[string]string{"short": "1234567", "no key": "12345678x"} {
		b := newBroker(t)
		b.shelf.documents["k1"] = []byte(body)
		if _, err := b.Token(t.Context(), "a@b", "c"); err == nil || !strings.Contains(err.Error(), "signing key k1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newBroker(t)
	b.shelf.refusal = errors.New("disk full")
	if _, err := b.Token(t.Context(), "a@b", "c"); !errors.Is(err, b.shelf.refusal) {
		t.Errorf("a key that cannot be kept: %v", err)
	}
	b.shelf.refusal = nil
	b.token("a@b", "c")
	if len(b.shelf.documents) != 1 {
		t.Errorf("%d keys after the disk had space again", len(b.shelf.documents))
	}
}
