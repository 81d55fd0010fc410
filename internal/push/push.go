// Package push delivers the messages of push subscriptions to HTTP endpoints.
//
// Each push subscription has one goroutine, its pump, which takes messages as a pull subscriber would, hands each to a worker that posts
// it, and settles what the workers report. Workers exist only while there is something to post.
//
//	broker ──PushChanges──▶ Service ──▶ pump ◀──Take── Taker
//	                                     │  ▲
//	                                posts│  │outcomes
//	                                     ▼  │
//	                                    workers ──HTTP──▶ endpoint
//
// Rules:
//
//  1. A message is acknowledged when its endpoint answers 102, 200, 201, 202 or 204 within the ack deadline, and otherwise given back.
//  2. What an endpoint costs is bounded: pace bounds its posts, and bytesEach their memory. Pumps share nothing that one of them could
//     hold up for another.
//  3. A pump ends only when the Service says so; when its subscription cannot be taken from it waits for that.
package push

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posthaste-io/posthaste/internal/broker"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/limit"
)

// Tokens gives the tokens by which endpoints know who posts. It is safe for concurrent use.
type Tokens interface {
	// Token is a signed OIDC token for a service account and an audience. It is valid for a while yet.
	Token(ctx context.Context, account, audience string) (string, error)
}

// Options are what a Service takes from its surroundings. Tokens must be set.
type Options struct {
	Tokens    Tokens
	Clock     clock.Clock    // default: the system's
	Logger    *slog.Logger   // default: slog.Default()
	Roots     *x509.CertPool // who may vouch for https endpoints; default: the system's
	UserAgent string         // default: Posthaste
	Grace     time.Duration  // how long posts that have begun may take when the service ends
}

// Service pushes what a broker's push subscriptions have.
type Service struct {
	broker    *broker.Broker
	options   Options
	transport *http.Transport
	pumps     map[*delivery.Subscription]*pump // by Run alone
	running   sync.WaitGroup                   // pumps and workers
	busy      atomic.Int64                     // pumps with posts on their way
}

// New makes a service. Run makes it work.
func New(b *broker.Broker, o Options) *Service {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.UserAgent == "" {
		o.UserAgent = "Posthaste"
	}
	return &Service{broker: b, options: o, pumps: make(map[*delivery.Subscription]*pump), transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost:    limit.PushOutstandingMax, // a whole window comes back at once and goes out again
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}}
}

// Run pushes until ctx ends, which is no error. Then it begins no more posts, and returns when those under way have ended and their
// results are known to the broker, or the grace is over.
func (s *Service) Run(ctx context.Context) error {
	posting, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	for {
		changed, err := s.broker.PushChanges(ctx)
		if err != nil {
			break // ctx ended
		}
		for _, sub := range changed {
			s.follow(ctx, posting, sub)
		}
	}
	timer := s.options.Clock.AfterFunc(s.options.Grace, cut)
	defer timer.Stop()
	s.running.Wait()
	s.transport.CloseIdleConnections()
	return nil
}

// follow starts, changes or ends a subscription's pump.
func (s *Service) follow(ctx, posting context.Context, sub *delivery.Subscription) {
	p := s.pumps[sub]
	config, gone := sub.PushTarget()
	if config == nil {
		if p == nil {
			return
		}
		delete(s.pumps, sub)
		p.stop()
		if gone {
			p.cut()
		}
		return
	}
	to, err := newTarget(config, s.options.UserAgent)
	if err != nil {
		s.options.Logger.Error("push", "subscription", config.Subscription, "error", err)
		return
	}
	if p != nil {
		p.retarget(to)
		return
	}
	p = newPump(s, sub, to, posting)
	taking, stop := context.WithCancel(ctx)
	p.stop = stop
	s.pumps[sub] = p
	s.running.Go(func() { p.run(taking) })
}

// Memory of the bodies on their way. A subscription has bytesLeast for itself in any case.
const (
	bytesAll   = 256 << 20
	bytesMost  = 16 << 20
	bytesLeast = 1 << 20
)

// bytesEach is how much one subscription may have on its way now; one more message may exceed it.
func (s *Service) bytesEach() int64 {
	return min(bytesMost, max(bytesLeast, bytesAll/max(1, s.busy.Load())))
}
