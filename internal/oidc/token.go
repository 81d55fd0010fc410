package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// subject is whom a token speaks for, and to whom.
type subject struct{ account, audience string }

type token struct {
	text   string
	issued int64 // Unix nanoseconds
}

// claims are what a token says, under the names of OpenID Connect.
type claims struct {
	Issuer        string           `json:"iss"`
	Audience      string           `json:"aud"`
	Subject       string           `json:"sub"`
	Authorized    string           `json:"azp"`
	Email         string           `json:"email"`
	EmailVerified bool             `json:"email_verified"`
	IssuedAt      *jwt.NumericDate `json:"iat"`
	Expiry        *jwt.NumericDate `json:"exp"`
}

// Token is a token for a service account and an audience, valid for at least tokenTime-renewTime. It is made anew only when the last one
// is too old.
func (p *Provider) Token(ctx context.Context, account, audience string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, to := p.clock.Wall(), subject{account, audience}
	if t, there := p.tokens[to]; there && fresh(t, now) {
		return t.text, nil
	}
	k, err := p.current(ctx)
	if err != nil {
		return "", err
	}
	issued := time.Unix(0, now)
	text, err := jwt.Signed(k.signer).Claims(claims{
		Issuer: p.issuer, Audience: audience, Subject: number(account), Authorized: number(account),
		Email: account, EmailVerified: true,
		IssuedAt: jwt.NewNumericDate(issued), Expiry: jwt.NewNumericDate(issued.Add(tokenTime)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token for %s: %w", account, err)
	}
	p.forget(now)
	p.tokens[to] = token{text: text, issued: now}
	return text, nil
}

// fresh says whether a token may be used still. A clock that was set back makes it look as if from the future.
func fresh(t token, now int64) bool { return now >= t.issued && now-t.issued < int64(renewTime) }

// forget drops the tokens that are not used any more, so that they are never more than the subjects of an hour.
func (p *Provider) forget(now int64) {
	for to, t := range p.tokens {
		if !fresh(t, now) {
			delete(p.tokens, to)
		}
	}
}

// number is an account's numeric id, which endpoints may know an account by: 21 digits that follow from its name.
func number(account string) string {
	sum := sha256.Sum256([]byte(account))
	return fmt.Sprintf("1%020d", binary.BigEndian.Uint64(sum[:8]))
}
