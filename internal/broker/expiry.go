package broker

import (
	"context"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
)

// A subscription with a time to live is deleted when nobody used it for that long. It is in use while a stream or a pull is open on it, when
// something of it is acknowledged (so a push that succeeds is use, and one that fails is not), and when it is created, changed, moved or
// detached. Reading its configuration is not use.
//
// While the broker runs, the time is measured by the clock that nobody can set. Over a restart it is that of the wall clock, between now and
// what the log says: a note that is written with each change of the subscription, by a stop of the broker, and else at most once an
// hour, an hour being little against the shortest time to live, a day. So a crash makes the last use look up to an hour earlier than it
// was. The time that the broker was down counts, but after a start nothing is deleted until clients had the time to come back.

const (
	// activeNoteEvery is how old the log's knowledge of a subscription's last use may get.
	activeNoteEvery = time.Hour

	// activeStopNoteMin is how much the log's knowledge must lag behind to be mended by a stop.
	activeStopNoteMin = time.Minute

	// expiryGrace is how long after a start no subscription expires.
	expiryGrace = 10 * time.Minute

	// expiredMax bounds how many subscriptions a sweep deletes, each of which waits for the log.
	expiredMax = 100

	// activeNotesMax bounds how many notes a sweep writes.
	activeNotesMax = 10_000
)

// used says that the subscription is used at this moment.
func (b *Broker) used(s *subscription) { s.work.Usage.Touch(b.clock.Mono()) }

// noteUse appends a note that somebody sent about a subscription, and that this was use of it, and waits as note does.
func (b *Broker) noteUse(ctx context.Context, s *subscription, body []byte) error {
	b.used(s)
	return b.note(ctx, body, b.activeNow(s.durable.ID))
}

// activeNow is the note that a subscription is being used.
func (b *Broker) activeNow(id ledger.SubscriptionID) []byte {
	return ledger.AppendActive(nil, id, b.clock.Wall()/int64(time.Second))
}

// expire deletes the subscriptions that nobody used for their time to live, and tells the log of the use of others.
func (b *Broker) expire(ctx context.Context) {
	for _, s := range b.lookForUse(activeNoteEvery) {
		if err := b.deleteUnused(ctx, s); err != nil {
			b.logger.Error("expiration", "subscription", s.durable.Name, "error", err)
			return
		}
	}
}

// lookForUse lists subscriptions whose time to live is over, and notes the use of those of which the log knows less than it may.
func (b *Broker) lookForUse(lagMax time.Duration) (unused []*subscription) {
	now, wall := b.clock.Both()
	var notes []engine.Record
	b.mu.RLock()
	for _, s := range b.subByID {
		if s.ttl == 0 {
			continue
		}
		if b.unused(s, now) {
			if len(unused) < expiredMax {
				unused = append(unused, s)
			}
			continue
		}
		active := s.work.Usage.Last(now, wall)
		if active-s.durable.Active() >= int64(lagMax/time.Second) && len(notes) < activeNotesMax {
			notes = append(notes, engine.Record{Kind: engine.KindNote, Body: ledger.AppendActive(nil, s.durable.ID, active)})
		}
	}
	b.mu.RUnlock()
	if len(notes) > 0 {
		if err := b.shard.Enqueue(notes); err != nil {
			b.logger.Error("note the use of subscriptions", "error", err)
		}
	}
	return unused
}

// unused says whether the subscription's time to live is over. The caller holds b.mu.
func (b *Broker) unused(s *subscription, now int64) bool {
	return s.ttl > 0 && s.work.Usage.Idle(now) >= s.ttl && now-b.opened >= int64(expiryGrace)
}

// deleteUnused deletes the subscription unless it was used, changed or replaced meanwhile.
func (b *Broker) deleteUnused(ctx context.Context, s *subscription) error {
	name := s.durable.Name
	defer b.names.Lock(name)()
	b.mu.RLock()
	still := b.subscriptions[name] == s && b.unused(s, b.clock.Mono())
	b.mu.RUnlock()
	if !still {
		return nil
	}
	b.logger.Info("subscription expired: nobody used it for its time to live", "subscription", name)
	return b.noteDeleted(ctx, name, ledger.AppendSubscriptionDeleted(nil, s.durable.ID))
}
