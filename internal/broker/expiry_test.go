package broker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/engine/memory"
)

const day = 24 * time.Hour

func livesFor(ttl time.Duration) *pubsubpb.Subscription {
	return &pubsubpb.Subscription{
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(ttl)},
		MessageRetentionDuration: durationpb.New(10 * time.Minute),
	}
}

// sweeps lets time pass and waits until the sweeper has looked at the result.
func (b *bench) sweeps(d time.Duration) {
	b.t.Helper()
	b.settled()
	b.clock.Advance(d)
	for range 2 {
		b.settled()
		b.clock.Advance(sweepEvery)
	}
	b.settled()
}

func (b *bench) there() bool {
	b.t.Helper()
	_, err := b.GetSubscription(subName)
	return err == nil
}

// goes says whether the subscription goes within a few seconds.
func (b *bench) goes() bool {
	b.t.Helper()
	for range 5 {
		for range 10_000 {
			if !b.there() {
				return true
			}
			runtime.Gosched()
		}
		b.settled()
		b.clock.Advance(sweepEvery)
	}
	return false
}

func TestASubscriptionThatNobodyUsesExpiresOnTime(t *testing.T) {
	for _, c := range []struct {
		name string
		sub  *pubsubpb.Subscription
		ttl  time.Duration
	}{
		{"a day", livesFor(day), day},
		{"by default", &pubsubpb.Subscription{}, 31 * day},
		{"never", &pubsubpb.Subscription{ExpirationPolicy: &pubsubpb.ExpirationPolicy{}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.topicWith(c.sub)
			if c.ttl == 0 {
				if b.sweeps(1000 * day); !b.there() {
					t.Error("expired")
				}
				return
			}
			if b.sweeps(c.ttl - 10*time.Second); !b.there() {
				t.Error("expired early")
			}
			if b.sweeps(10 * time.Second); !b.goes() {
				t.Error("did not expire")
			}
			b.restart()
			if b.there() {
				t.Error("expired, and came back")
			}
		})
	}
}

// The end of such a life is beyond what the clock can show, all the more for a subscription that was made or used some time after the
// broker's start.
func TestATimeToLiveBeyondTheClockIsForEver(t *testing.T) {
	for _, c := range []struct {
		name string
		ttl  *durationpb.Duration
	}{
		{"the longest that the clock can show", durationpb.New(math.MaxInt64)},
		{"the longest that a client can say", &durationpb.Duration{Seconds: 315_576_000_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.sweeps(time.Hour)
			b.topicWith(&pubsubpb.Subscription{ExpirationPolicy: &pubsubpb.ExpirationPolicy{Ttl: c.ttl}})
			if b.sweeps(1000 * day); !b.there() {
				t.Error("expired")
			}
			b.restart()
			if b.sweeps(1000 * day); !b.there() {
				t.Error("expired after a restart")
			}
		})
	}
}

func TestUseKeepsASubscription(t *testing.T) {
	for _, c := range []struct {
		name string
		use  func(b *bench)
	}{
		{"a pull", func(b *bench) {
			p, err := b.sub().OpenPull()
			if err != nil {
				b.t.Fatal(err)
			}
			p.Leave()
		}},
		{"a stream", func(b *bench) { b.stream(delivery.Credit{}).Leave() }},
		{"an acknowledgement", func(b *bench) { b.ack(got{}) }},
		{"a change", func(b *bench) {
			in := &pubsubpb.Subscription{Name: subName, AckDeadlineSeconds: 20}
			if _, err := b.UpdateSubscription(b.ctx, in, &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds"}}); err != nil {
				b.t.Fatal(err)
			}
		}},
		{"a seek", func(b *bench) {
			if err := b.SeekToTime(b.ctx, subName, b.clock.Wall()); err != nil {
				b.t.Fatal(err)
			}
		}},
		{"a detachment", func(b *bench) {
			if err := b.DetachSubscription(b.ctx, subName); err != nil {
				b.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.topicWith(livesFor(day))
			b.sweeps(20 * time.Hour)
			c.use(b)
			if b.sweeps(20 * time.Hour); !b.there() {
				t.Fatal("expired though it was used")
			}
			if b.sweeps(4 * time.Hour); !b.goes() {
				t.Error("did not expire a day after its use")
			}
		})
	}
}

func TestWhatIsNotUse(t *testing.T) {
	b := newBench(t)
	b.topicWith(livesFor(day))
	b.sweeps(20 * time.Hour)
	b.there()
	if _, _, err := b.ListSubscriptions("projects/p", 0, ""); err != nil {
		t.Fatal(err)
	}
	b.publish("m")
	if b.sweeps(4 * time.Hour); !b.goes() {
		t.Error("did not expire: looking at a subscription and publishing to its topic is no use of it")
	}
}

func TestAnOpenStreamKeepsASubscriptionHoweverLong(t *testing.T) {
	b := newBench(t)
	b.topicWith(livesFor(day))
	s := b.stream(delivery.Credit{})
	for range 5 {
		if b.sweeps(day); !b.there() {
			t.Fatal("expired under a stream")
		}
	}
	s.Leave()
	if b.sweeps(day - time.Minute); !b.there() {
		t.Error("expired less than a day after the stream had left")
	}
	if b.sweeps(time.Minute); !b.goes() {
		t.Error("did not expire")
	}
}

func TestATimeToLiveThatIsChangedCountsFromTheChange(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to time.Duration // 0: for ever
	}{{"shorter", 31 * day, day}, {"longer", day, 2 * day}, {"finite", 0, day}, {"infinite", day, 0}} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			policy := func(ttl time.Duration) *pubsubpb.Subscription {
				s := livesFor(ttl)
				if s.Name = subName; ttl == 0 {
					s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{}
				}
				return s
			}
			b.topicWith(policy(c.from))
			b.sweeps(20 * time.Hour)
			if _, err := b.UpdateSubscription(b.ctx, policy(c.to), &fieldmaskpb.FieldMask{Paths: []string{"expiration_policy"}}); err != nil {
				t.Fatal(err)
			}
			if c.to == 0 {
				if b.sweeps(1000 * day); !b.there() {
					t.Error("expired though it lives for ever now")
				}
				return
			}
			if b.sweeps(c.to - 10*time.Second); !b.there() {
				t.Error("expired early")
			}
			if b.sweeps(10 * time.Second); !b.goes() {
				t.Error("did not expire")
			}
		})
	}
}

func TestUseIsRememberedOverARestart(t *testing.T) {
	for _, c := range []struct {
		name            string
		crash           bool
		atLeast, atMost time.Duration // how long after its use it expires
	}{
		{"graceful", false, day - activeStopNoteMin, day},
		{"crash", true, day - activeNoteEvery, day},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			store := new(memory.Store)
			if err := b.Close(b.ctx); err != nil {
				t.Fatal(err)
			}
			b.engine = memory.Open(store, b.clock)
			b.open()
			b.topicWith(livesFor(day))
			b.sweeps(20 * time.Hour)
			s := b.stream(delivery.Credit{})
			for range 40 {
				b.sweeps(10 * time.Minute)
			}
			s.Leave()
			used := b.clock.Mono()
			if c.crash {
				store.Kill()
				if err := b.Close(b.ctx); err == nil {
					t.Error("a killed store was closed as if nothing had been")
				}
				b.engine = memory.Open(store, b.clock)
				b.open()
			} else {
				b.restart()
			}
			for b.there() {
				b.sweeps(time.Minute)
			}
			after := time.Duration(b.clock.Mono() - used)
			if after < c.atLeast || after > c.atMost+time.Minute+5*time.Second {
				t.Errorf("expired %v after its last use, want %v to %v", after, c.atLeast, c.atMost)
			}
		})
	}
}

func TestNothingExpiresRightAfterAStart(t *testing.T) {
	b := newBench(t)
	b.topicWith(livesFor(day))
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(40 * day)
	b.open()
	if b.sweeps(expiryGrace - time.Minute); !b.there() {
		t.Fatal("clients had no time to come back")
	}
	if b.sweeps(time.Minute); !b.goes() {
		t.Error("did not expire")
	}
}

func TestAJumpOfTheWallClockExpiresNothing(t *testing.T) {
	b := newBench(t)
	b.topicWith(livesFor(day))
	b.sweeps(time.Hour)
	b.clock.SetWall(time.Unix(0, b.clock.Wall()).Add(1000 * day))
	if b.sweeps(22 * time.Hour); !b.there() {
		t.Error("expired")
	}
	if b.sweeps(time.Hour); !b.goes() {
		t.Error("did not expire after a day")
	}
}

func TestTheUseOfASubscriptionIsNotedRarely(t *testing.T) {
	b := newBench(t)
	if err := b.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	w := &enqueueWitness{Engine: memory.Open(new(memory.Store), b.clock)}
	b.engine = w
	b.open()
	b.topicWith(livesFor(day))
	s := b.stream(delivery.Credit{})
	defer s.Leave()
	for range 12 * 60 {
		b.sweeps(time.Minute)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notes < 10 || w.notes > 13 {
		t.Errorf("%d notes in 12 hours", w.notes)
	}
}

// TestSubscriptionsExpireWhenTheyShould uses a subscription at random, restarts the broker at random, and looks whether it is there
// exactly as long as it should be.
func TestSubscriptionsExpireWhenTheyShould(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			b := newBench(t)
			ttl := day + time.Duration(r.IntN(48))*time.Hour
			b.topicWith(livesFor(ttl))
			used, started := b.clock.Mono(), b.clock.Mono()
			const slack = activeStopNoteMin + 10*time.Second
			for range 100 {
				switch r.IntN(6) {
				case 0:
					b.restart()
					started = b.clock.Mono()
				case 1:
					if s, err := b.Subscription(subName); err == nil {
						if taker, err := s.OpenPull(); err == nil {
							taker.Leave()
							used = b.clock.Mono()
						}
					}
				}
				b.sweeps(time.Duration(r.IntN(10)) * time.Hour)
				idle, up := time.Duration(b.clock.Mono()-used), time.Duration(b.clock.Mono()-started)
				switch there := b.there(); {
				case !there && idle < ttl-slack:
					t.Fatalf("expired %v after its last use, of %v", idle, ttl)
				case there && idle > ttl+slack && up > expiryGrace+slack && !b.goes():
					t.Fatalf("is there %v after its last use, of %v", idle, ttl)
				case !there:
					return
				}
			}
		})
	}
}
