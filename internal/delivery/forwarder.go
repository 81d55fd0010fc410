package delivery

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/posthaste-io/posthaste/internal/catalog"
	"github.com/posthaste-io/posthaste/internal/engine"
	"github.com/posthaste-io/posthaste/internal/lease"
	"github.com/posthaste-io/posthaste/internal/ledger"
	"github.com/posthaste-io/posthaste/internal/reader"
	"github.com/posthaste-io/posthaste/internal/wire"
)

const (
	lettersMax     = 500     // dead letters in one append
	letterBytesAim = 1 << 20 // an append with more takes no further dead letter
	// warnEvery is how often a subscription complains that its dead letters cannot be forwarded.
	warnEvery = time.Minute
)

// letter is a dead message on its way to the dead letter topic.
type letter struct {
	lease.Lease
	reason lease.Reason
	done   bool // it is in the dead letter topic, or nobody needs it any more
}

// forwarder moves the dead messages of a subscription to its dead letter topic. It runs only while there are any, one at a time for a
// subscription.
//
// A forward is one append of two records, the messages in the dead letter topic and their acknowledgement at the subscription: both
// become durable or neither does, so that a message is never lost and never a dead letter twice.
type forwarder struct {
	sub     *Subscription
	reader  reader.Reader
	topic   string // the dead letter topic; "" when the policy is gone
	most    int    // deliveries
	seeks   uint64 // that the subscription had followed
	letters []letter
	offsets []uint64 // of the letters in body
	body    []byte
}

// bury lets a forwarder run when there is something to forward. The caller holds s.mu.
func (s *Subscription) bury() {
	if s.forwarding || s.ended != nil || s.queue == nil || !s.queue.Burials() {
		return
	}
	s.forwarding = true
	f := &forwarder{sub: s, reader: reader.Reader{Shard: s.office.Shard, Topic: s.durable.Topic.ID}}
	s.office.forwarders.Go(f.run)
}

// run forwards until nothing is left to forward.
func (f *forwarder) run() {
	for f.collect() {
		err := f.forward(context.Background())
		f.reader.Release()
		f.settle(err)
	}
}

// collect takes over the next dead messages, in the order of their offsets; false when there are none.
func (f *forwarder) collect() bool {
	s := f.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	f.letters = f.letters[:0]
	f.topic, f.most, f.seeks = s.terms.deadLetterTopic, s.terms.rules.AttemptsMax, s.seeks
	for bytes := 0; s.queue != nil && s.ended == nil && len(f.letters) < lettersMax && bytes < letterBytesAim; {
		l, reason, ok := s.queue.Dead()
		if !ok {
			break
		}
		f.letters = append(f.letters, letter{Lease: l, reason: reason})
		bytes += int(l.Bytes)
	}
	s.forwarding = len(f.letters) > 0
	slices.SortFunc(f.letters, func(a, b letter) int { return cmp.Compare(a.Offset, b.Offset) })
	return s.forwarding
}

// forward makes the letters durable in the dead letter topic. It marks those that are done; the error is about the others.
func (f *forwarder) forward(ctx context.Context) error {
	if f.topic == "" {
		return nil // the policy went when the messages had already died: they are delivered again
	}
	unread := f.compose(ctx)
	if len(f.offsets) == 0 {
		return unread
	}
	office := f.sub.office
	topic, release, err := office.Topics.Hold(f.topic) // a topic that is deleted now would swallow the messages
	if err != nil {
		return err
	}
	defer release()
	err = office.Shard.Append(ctx, []engine.Record{
		{Kind: engine.KindBlock, Topic: topic, Count: uint32(len(f.offsets)), Body: f.body},
		{Kind: engine.KindNote, Body: ledger.AppendAcked(nil, f.sub.durable.ID, f.seeks, f.offsets)},
	})
	if err != nil {
		return err
	}
	for i := range f.letters {
		if _, moved := slices.BinarySearch(f.offsets, f.letters[i].Offset); moved {
			f.letters[i].done = true
		}
	}
	return unread
}

// compose makes the block of the letters' messages. A letter whose message is gone, past its retention or acknowledged, is done; one
// that cannot be read is left out, and the last such error returned.
func (f *forwarder) compose(ctx context.Context) (unread error) {
	f.offsets, f.body = f.offsets[:0], f.body[:0]
	for i := range f.letters {
		l := &f.letters[i]
		off := engine.Offset(l.Offset)
		m, found, err := f.reader.Find(ctx, off)
		switch {
		case err != nil:
			unread = err
		case !found || m.Offset != off || f.sub.durable.Acked(off):
			l.done = true
		default:
			f.body = wire.AppendWithAttributes(f.body, m.Bytes, f.attributes(l, m.Time))
			f.offsets = append(f.offsets, l.Offset)
		}
		f.reader.Relieve() // what is needed of it is copied
	}
	return unread
}

// attributes are what a dead letter carries beside what its publisher gave it.
func (f *forwarder) attributes(l *letter, published int64) []wire.Attribute {
	failedAt := f.sub.office.Clock.Wall() / int64(time.Millisecond)
	if past, known := f.sub.durable.Failure(engine.Offset(l.Offset)); known && past.Failures == l.Attempt {
		failedAt = past.AtMillis // else it failed just now, and the log has not taken that in yet
	}
	name, err := catalog.ParseSubscription(f.sub.durable.Name)
	if err != nil {
		panic("bug: a subscription with a bad name: " + err.Error())
	}
	from := origin{
		project: name.Project, subscription: name.ID, published: published, deliveries: int(l.Attempt), reason: l.reason.String(), failedMillis: failedAt,
	}
	return from.attributes()
}

// settle tells the queue what became of the letters.
func (f *forwarder) settle(err error) {
	s := f.sub
	now := s.office.Clock.Mono()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil {
		return
	}
	failed := 0
	for i := range f.letters {
		l := &f.letters[i]
		if l.done {
			s.queue.Forwarded(l.Handle, l.Offset)
			continue
		}
		failed++
		s.queue.ForwardFailed(now, l.Handle, l.Offset, f.wait(l))
	}
	if err != nil && (s.warnedAt == 0 || now-s.warnedAt >= int64(warnEvery)) {
		s.warnedAt = max(1, now)
		s.office.Logger.Warn("dead letters cannot be forwarded and are delivered again", slog.String("subscription", s.durable.Name),
			slog.String("dead_letter_topic", f.topic), slog.Int("messages", failed), slog.Any("error", err))
	}
	s.arm(now)
	s.bell.Ring(s.queue.Ready())
	s.feedStarved()
}

// wait is how long a letter that was not forwarded waits before it is delivered again, at the least.
func (f *forwarder) wait(l *letter) time.Duration {
	if f.topic == "" {
		return 0
	}
	return forwardWait(int(l.Attempt) - f.most)
}
