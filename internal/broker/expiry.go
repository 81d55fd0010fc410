package broker

import (
	"context"
	"math"
	"time"

	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/usage"
)

// A subscription with a time to live is deleted when nobody used it for that long. It is in use while a stream or a pull is open on it, when
// something of it is acknowledged (so a push that succeeds is use, and one that fails is not), and when it is created, changed, moved or
// detached. Reading its configuration is not use.
//
// While the broker runs, the time is measured by the clock that nobody can set. Over a restart it is that of the wall clock, between now and
// what the log says: a note that is written with each change of the subscription, by a stop of the broker, and else about once an
// hour, an hour being little against the shortest time to live, a day. So a crash makes the last use look up to an hour earlier than it
// was. The time that the broker was down counts, but after a start nothing is deleted until clients had the time to come back.
//
// Each subscription that has a time to live stands on an agenda, from which the sweeper takes those that are due: at the moment at which its
// life will be over, as far as is known, and now and then before that, to see whether it was used.

const (
	// activeNoteEvery is how old the log's knowledge of a subscription's last use may get.
	activeNoteEvery = time.Hour

	// activeLookEvery is how often somebody looks whether a subscription was used.
	activeLookEvery = 5 * time.Minute

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
	return ledger.AppendActive(nil, id, usage.Seconds(b.clock.Wall()))
}

// expire deletes the subscriptions that nobody used for their time to live, and tells the log of the use of others.
func (b *Broker) expire(ctx context.Context) {
	for _, s := range b.lookForUse() {
		if err := b.deleteUnused(ctx, s); err != nil {
			b.logger.Error("expiration", "subscription", s.durable.Name, "error", err)
			return
		}
	}
}

// lookForUse lists subscriptions whose time to live is over, and notes the use of those of which the log would soon know less than it may.
func (b *Broker) lookForUse() (unused []*subscription) {
	now, wall := b.clock.Both()
	var notes []engine.Record
	b.mu.Lock()
	for len(unused) < expiredMax && len(notes) < activeNotesMax {
		s, ok := b.looks.Due(now)
		if !ok {
			break
		}
		if b.unused(s, now) {
			unused = append(unused, s)
			b.looks.Set(s, now+int64(sweepEvery)) // it is still there then if its deletion fails
			continue
		}
		notes = b.appendUse(notes, s, now, wall, activeNoteEvery-activeLookEvery)
		b.looks.Set(s, min(now+int64(activeLookEvery), b.endOfLife(s, now)))
	}
	b.mu.Unlock()
	b.tellUse(notes)
	return unused
}

// noteAllUse notes the use of all subscriptions, as the broker stops.
func (b *Broker) noteAllUse() {
	now, wall := b.clock.Both()
	var notes []engine.Record
	b.mu.RLock()
	for _, s := range b.subByID {
		if s.ttl > 0 && !b.unused(s, now) && len(notes) < activeNotesMax {
			notes = b.appendUse(notes, s, now, wall, activeStopNoteMin)
		}
	}
	b.mu.RUnlock()
	b.tellUse(notes)
}

// appendUse appends the note of a subscription's last use if the log's knowledge lags that far behind.
func (b *Broker) appendUse(notes []engine.Record, s *subscription, now, wall int64, lag time.Duration) []engine.Record {
	active := s.work.Usage.Last(now, wall)
	if active-s.durable.Active() < int64(lag/time.Second) {
		return notes
	}
	return append(notes, engine.Record{Kind: engine.KindNote, Body: ledger.AppendActive(nil, s.durable.ID, active)})
}

func (b *Broker) tellUse(notes []engine.Record) {
	if len(notes) == 0 {
		return
	}
	if err := b.shard.Enqueue(notes); err != nil {
		b.logger.Error("note the use of subscriptions", "error", err)
	}
}

// lookSoon puts a subscription on the agenda that is new, or whose time to live is. The caller holds b.mu.
func (b *Broker) lookSoon(s *subscription) {
	if s.ttl == 0 {
		b.looks.Clear(s)
		return
	}
	// After a start all of them are new. Their turns are spread by their numbers, so that they do not come all at once, then and ever after.
	now := b.clock.Mono()
	turn := int64(s.durable.ID) * int64(time.Second) % int64(activeLookEvery)
	b.looks.Set(s, min(now+turn, b.endOfLife(s, now)))
}

// endOfLife is when the subscription's time to live will be over if nobody uses it: after now, unless it is unused. A time to live may be as
// long as a duration can be, and its end beyond what the clock can show. The caller holds b.mu.
func (b *Broker) endOfLife(s *subscription, now int64) int64 {
	left := min(int64(s.ttl-s.work.Usage.Idle(now)), math.MaxInt64-max(now, 0))
	return max(now+left, b.opened+int64(expiryGrace))
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
