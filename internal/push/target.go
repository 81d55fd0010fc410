package push

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// target is where and how a subscription's messages are pushed. It is never changed.
type target struct {
	*delivery.PushTarget
	url               *url.URL
	unwrapped, inform bool // the body is the data; with metadata in headers
	header            http.Header
	account, audience string // of the token; without an account there is none
}

// newTarget reads a configuration.
func newTarget(t *delivery.PushTarget, userAgent string) (*target, error) {
	endpoint, err := url.Parse(t.Config.PushEndpoint)
	if err != nil {
		return nil, fmt.Errorf("push endpoint: %w", err)
	}
	to := &target{PushTarget: t, url: endpoint}
	kind := "application/json"
	if bare := t.Config.GetNoWrapper(); bare != nil {
		to.unwrapped, to.inform = true, bare.WriteMetadata
		kind = "application/octet-stream"
	}
	to.header = http.Header{"User-Agent": {userAgent}, "Content-Type": {kind}}
	if user := endpoint.User; user != nil {
		password, _ := user.Password()
		r := http.Request{Header: to.header}
		r.SetBasicAuth(user.Username(), password)
	}
	if token := t.Config.GetOidcToken(); token != nil {
		to.account, to.audience = token.ServiceAccountEmail, token.Audience
		if to.audience == "" {
			to.audience = t.Config.PushEndpoint
		}
	}
	return to, nil
}

// shown is the endpoint as the log may have it: passwords and queries hold secrets by which endpoints know who calls.
func (t *target) shown() string {
	bare := url.URL{Scheme: t.url.Scheme, Host: t.url.Host, Path: t.url.Path, RawPath: t.url.RawPath}
	return bare.String()
}

// post is one message on its way to an endpoint.
type post struct {
	to          *target
	id          wire.AckID
	body        []byte
	header      http.Header // the message's own; nil: none
	unspeakable bool        // it cannot be said in headers
	began       int64
}

// newPost copies out of a delivery what goes to the endpoint.
func newPost(to *target, id wire.AckID, d *delivery.Delivery, now int64) *post {
	p := &post{to: to, id: id, began: now}
	if !to.unwrapped {
		p.body = appendEnvelope(make([]byte, 0, envelopeBytes(to, d)), to, d)
		return p
	}
	p.body = bytes.Clone(wire.Data(d.Message))
	if to.inform {
		header, ok := metadata(to, d)
		p.header, p.unspeakable = header, !ok
	}
	return p
}

// request is the post as HTTP sends it. bearer is empty or an OIDC token.
func (p *post) request(bearer string) *http.Request {
	header := p.to.header
	if p.header != nil || bearer != "" {
		header = make(http.Header, len(p.to.header)+len(p.header)+1)
		for _, from := range []http.Header{p.to.header, p.header} {
			for name, values := range from {
				header[name] = values
			}
		}
		if bearer != "" {
			header["Authorization"] = []string{"Bearer " + bearer}
		}
	}
	r := &http.Request{
		Method: http.MethodPost, URL: p.to.url, Host: p.to.url.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, ContentLength: int64(len(p.body)),
	}
	if len(p.body) > 0 {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.body)), nil }
		r.Body = io.NopCloser(bytes.NewReader(p.body))
	}
	return r
}
