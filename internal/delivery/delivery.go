// Package delivery is subscriptions at work: what of a topic's messages is out with which subscriber until when, and what becomes of it.
// Takers, which are streams, pulls and what pushes to an endpoint, take messages; settling them acknowledges, extends or fails them; what
// failed too often is forwarded to a dead letter topic. Which subscriptions there are, and what they are called, is for the broker.
//
// What is durable lives in the shard's log and its ledger. Who holds which message until when lives here in memory, and is rebuilt by
// delivering again.
//
// Three kinds of goroutine meet at a [Subscription]:
//
//  1. Takers, and those who settle: they read the log and change the leases under Subscription.mu, and change the ledger by appending
//     records only.
//  2. The engine's, which applies durable records. For those that every message makes, published and acknowledged, it never waits for
//     Subscription.mu: it rings the bell instead. Only a change of the subscription itself (Read, Rewind, Detach, Delete) takes the lock.
//     Such changes come in the order of the log, after the ledger has taken them in.
//  3. The forwarder, which exists while the subscription has dead letters, and the timer of deadlines.
//
// Lock order: the owner's locks before Subscription.mu before those of the bell, of the ledger and of Office.pushes. Nobody who holds
// Subscription.mu waits for the log, except for a read, or calls [Topics].
package delivery

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/posthaste-io/posthaste/internal/changes"
	"github.com/posthaste-io/posthaste/internal/clock"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/transform"
)

// Topics finds topics by their names.
type Topics interface {
	// Hold keeps the topic of that name from being deleted until release is called. NOT_FOUND when there is none: then there is nothing
	// to release.
	Hold(name string) (id engine.TopicID, release func(), err error)
}

// Means are what an office works with. All are required.
type Means struct {
	Clock      clock.Clock
	Logger     *slog.Logger
	Shard      engine.Shard
	Transforms transform.Runner
	Topics     Topics // where dead letters go
}

// Office is what all subscriptions of a shard share. It is safe for concurrent use.
type Office struct {
	Means
	pushes     *changes.Set[*Subscription] // pushed, or were; its lock comes last of all
	alike      atomic.Pointer[terms]       // given out last
	forwarders sync.WaitGroup              // of dead letters; none begins at a subscription that has ended
}

// NewOffice is an office without subscriptions.
func NewOffice(m Means) *Office {
	return &Office{Means: m, pushes: changes.NewSet[*Subscription]()}
}

// PushChanges waits until there are subscriptions that are pushed, were pushed, or are pushed otherwise than before, and gives those that
// it has not given since they last changed: at first all that are pushed. One caller at a time. It fails when ctx ends.
func (o *Office) PushChanges(ctx context.Context) ([]*Subscription, error) {
	return o.pushes.Wait(ctx)
}

// Wait waits for those who forward dead letters. Another may begin until all subscriptions have ended.
func (o *Office) Wait() { o.forwarders.Wait() }

// epoch tells ack ids of this run from those of earlier ones.
func (o *Office) epoch() uint32 { return uint32(o.Shard.Epoch()) }
