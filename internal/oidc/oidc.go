// Package oidc makes the tokens by which push endpoints know that it is this broker that calls, and tells them how to check that.
//
// A token is a JWT signed with an RSA key of the broker's own. The key is made when it is first needed, kept in the broker's ledger, and
// replaced from time to time; its public half is served in the form and at the place that OpenID Connect Discovery says, so that any
// library that checks Google's tokens can check these when it is told the issuer.
//
// Rules, which the tests check at every moment of a key's life:
//
//  1. A key signs only when it has been published for at least announceTime, unless there is no other, so that no verifier meets a token of
//     a key that it cannot have heard of.
//  2. A key is published until every token that it signed has expired.
package oidc

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/posthaste-io/posthaste/internal/clock"
)

const (
	// keyAge is how old a key is when its successor is made.
	keyAge = 30 * 24 * time.Hour

	// announceTime is how long a key is published before it signs. Verifiers keep the key set for less: see keysAge.
	announceTime = 2 * time.Hour

	// tokenTime is how long a token is valid, renewTime how old it gets before it is replaced.
	tokenTime = time.Hour
	renewTime = 45 * time.Minute

	// keyBits is the size of the keys.
	keyBits = 2048
)

// kind is that of the documents that the keys are kept in, one each.
const kind = "signing-key"

// Store keeps small documents durably. It is safe for concurrent use.
type Store interface {
	// Documents calls f for each document of a kind until it returns false.
	Documents(kind string, f func(name string, body []byte) bool)
	// PutDocument returns when the document is durable.
	PutDocument(ctx context.Context, kind, name string, body []byte) error
	// DeleteDocument returns when the deletion is durable.
	DeleteDocument(ctx context.Context, kind, name string) error
}

// Provider signs tokens and serves the keys that verify them. It is safe for concurrent use.
type Provider struct {
	issuer string
	store  Store
	clock  clock.Clock

	mu     sync.Mutex
	loaded bool
	keys   []key // oldest first
	tokens map[subject]token
}

// key is a signing key.
type key struct {
	id      string
	created int64 // Unix nanoseconds
	signer  jose.Signer
	public  jose.JSONWebKey
}

// New is a provider whose tokens name the issuer: a URL without a trailing slash, below which Register's paths can be reached.
func New(issuer string, s Store, c clock.Clock) *Provider {
	return &Provider{issuer: issuer, store: s, clock: c, tokens: make(map[subject]token)}
}

// current brings the keys up to date and gives the one that signs now. The caller holds p.mu.
func (p *Provider) current(ctx context.Context) (*key, error) {
	if err := p.load(); err != nil {
		return nil, err
	}
	now := p.clock.Wall()
	if n := len(p.keys); n == 0 || now-p.keys[n-1].created >= int64(keyAge) {
		k, err := p.create(ctx, now)
		if err != nil {
			return nil, err
		}
		p.keys = append(p.keys, *k)
	}
	for len(p.keys) > 1 && expired(p.keys[1].created, now) {
		if err := p.store.DeleteDocument(ctx, kind, p.keys[0].id); err != nil {
			return nil, fmt.Errorf("forget signing key %s: %w", p.keys[0].id, err)
		}
		p.keys = p.keys[1:]
	}
	return &p.keys[p.signing(now)], nil
}

// signing is the newest key that has been published long enough, or else the oldest.
func (p *Provider) signing(now int64) int {
	for i := len(p.keys) - 1; i > 0; i-- {
		if now-p.keys[i].created >= int64(announceTime) {
			return i
		}
	}
	return 0
}

// expired says that no token is valid any more that a key signed before its successor took over.
func expired(successorCreated, now int64) bool {
	return now-successorCreated > int64(announceTime+tokenTime)+int64(time.Minute)
}

func (p *Provider) load() error {
	if p.loaded {
		return nil
	}
	var keys []key
	var err error
	p.store.Documents(kind, func(name string, body []byte) bool {
		var k *key
		if k, err = decode(name, body); err == nil {
			keys = append(keys, *k)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b key) int { return int(min(1, max(-1, a.created-b.created))) })
	p.keys, p.loaded = keys, true
	return nil
}

// create makes a key and keeps it.
func (p *Provider) create(ctx context.Context, now int64) (*key, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode a signing key: %w", err)
	}
	id := rand.Text()
	body := append(binary.BigEndian.AppendUint64(nil, uint64(now)), der...)
	if err := p.store.PutDocument(ctx, kind, id, body); err != nil {
		return nil, fmt.Errorf("keep a signing key: %w", err)
	}
	return newKey(id, now, private)
}

// decode reads what create has kept: eight bytes of the time at which the key was made, big-endian, and the key as PKCS #8.
func decode(id string, body []byte) (*key, error) {
	if len(body) < 8 {
		return nil, fmt.Errorf("signing key %s: has %d bytes", id, len(body))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(body[8:])
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", id, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key %s: %w", id, errors.New("is no RSA key"))
	}
	return newKey(id, int64(binary.BigEndian.Uint64(body)), private)
}

func newKey(id string, created int64, private crypto.Signer) (*key, error) {
	signing := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: id}}
	signer, err := jose.NewSigner(signing, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", id, err)
	}
	public := jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: string(jose.RS256), Use: "sig"}
	return &key{id: id, created: created, signer: signer, public: public}, nil
}
