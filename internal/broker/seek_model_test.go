package broker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/posthaste-io/posthaste/internal/delivery"
	"github.com/posthaste-io/posthaste/internal/wire"
)

// model is what a topic, its subscriptions and their snapshots hold, message by message.
type model struct {
	*bench
	rng       *rand.Rand
	times     []int64 // publish times; a message's text is its number
	subs      map[string]*modelSub
	snapshots map[string]*modelSnapshot
	made      int
}

type modelSub struct {
	retain bool
	open   map[int]bool
	stale  []wire.AckID // given out before the last seek
	ids    []wire.AckID // since
}

// modelSnapshot is the open messages of those there were; all later ones are open.
type modelSnapshot struct {
	open  map[int]bool
	count int
}

// TestSeeksAndSnapshotsAgreeWithANaiveModel does random things, and looks after each which messages a subscriber gets.
func TestSeeksAndSnapshotsAgreeWithANaiveModel(t *testing.T) {
	seeds := uint64(30)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			m := &model{bench: newBench(t), rng: rand.New(rand.NewPCG(seed, 1)), subs: map[string]*modelSub{}, snapshots: map[string]*modelSnapshot{}}
			m.topicWith()
			for i, config := range []*pubsubpb.Subscription{
				{RetainAckedMessages: true}, {}, {RetainAckedMessages: true, EnableExactlyOnceDelivery: true},
			} {
				if seed%2 == 0 {
					config.RetainAckedMessages = false // so that the sweeper gives space back
				}
				config.Name, config.Topic = []string{subName, otherSub, "projects/p/subscriptions/third"}[i], topicName
				if _, err := m.CreateSubscription(m.ctx, config); err != nil {
					t.Fatal(err)
				}
				m.subs[config.Name] = &modelSub{retain: config.RetainAckedMessages, open: map[int]bool{}}
			}
			for range 150 {
				m.step()
			}
		})
	}
}

func (m *model) step() {
	name := slices.Sorted(maps.Keys(m.subs))[m.rng.IntN(len(m.subs))]
	s := m.subs[name]
	switch kind := m.rng.IntN(20); {
	case kind < 6:
		m.publishSome()
	case kind < 12:
		m.consume(name, s)
	case kind < 15:
		m.seekToTime(name, s)
	case kind < 16:
		m.made++
		snapshot := fmt.Sprint("projects/p/snapshots/snap", m.made)
		if _, err := m.CreateSnapshot(m.ctx, &pubsubpb.CreateSnapshotRequest{Name: snapshot, Subscription: name}); err != nil {
			m.t.Fatal(err)
		}
		m.snapshots[snapshot] = &modelSnapshot{open: maps.Clone(s.open), count: len(m.times)}
	case kind < 18:
		m.seekToSnapshot(name, s)
	case kind < 19:
		m.clock.Advance(time.Second) // for the sweeper
	default:
		m.restart()
	}
	if len(s.stale) > 0 {
		if err := m.subscription(name).Ack(m.ctx, s.stale[m.rng.IntN(len(s.stale)):][:1], nil, true); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *model) subscription(name string) *delivery.Subscription {
	m.t.Helper()
	s, err := m.Subscription(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *model) publishSome() {
	m.clock.Advance(time.Duration(m.rng.IntN(3)) * time.Millisecond)
	var batch []string
	for range 1 + m.rng.IntN(5) {
		batch = append(batch, fmt.Sprint(len(m.times)))
		m.times = append(m.times, m.clock.Wall())
		for _, s := range m.subs {
			s.open[len(m.times)-1] = true
		}
	}
	m.publish(batch...)
}

// consume takes everything, which must be what is open, and acknowledges some of it and nacks some.
func (m *model) consume(name string, s *modelSub) {
	m.t.Helper()
	sub := m.subscription(name)
	stream, err := sub.OpenStream(delivery.Credit{}, time.Hour)
	if err != nil {
		m.t.Fatal(err)
	}
	defer stream.Leave()
	var numbers []int
	var acks, nacks []wire.AckID
	for _, g := range m.now(stream) {
		var n int
		if _, err := fmt.Sscan(g.text, &n); err != nil {
			m.t.Fatal(err)
		}
		numbers = append(numbers, n)
		g.id.Subscription = sub.ID()
		s.ids = append(s.ids, g.id)
		switch m.rng.IntN(3) {
		case 0:
			acks = append(acks, g.id)
			delete(s.open, n)
		case 1:
			nacks = append(nacks, g.id)
		}
	}
	slices.Sort(numbers)
	for _, id := range acks {
		numbers = slices.DeleteFunc(numbers, func(n int) bool { return uint64(n) == id.Offset })
	}
	if want := slices.Sorted(maps.Keys(s.open)); !slices.Equal(numbers, want) {
		m.t.Fatalf("%s: besides what was acknowledged there came %v, want %v", name, numbers, want)
	}
	if err := sub.Ack(m.ctx, acks, nil, m.rng.IntN(2) == 0); err != nil {
		m.t.Fatal(err)
	}
	sub.Modify(nacks, nil, 0)
}

func (m *model) seekToTime(name string, s *modelSub) {
	at := m.clock.Wall() + 1
	if n := len(m.times); n > 0 && m.rng.IntN(4) > 0 {
		at = m.times[m.rng.IntN(n)] + m.rng.Int64N(2)
	}
	if err := m.SeekToTime(m.ctx, name, at); err != nil {
		m.t.Fatal(err)
	}
	for n, published := range m.times {
		switch {
		case published < at:
			delete(s.open, n)
		case s.retain:
			s.open[n] = true
		}
	}
	s.moved()
}

func (m *model) seekToSnapshot(name string, s *modelSub) {
	names := slices.Sorted(maps.Keys(m.snapshots))
	if len(names) == 0 {
		return
	}
	snapshot := names[m.rng.IntN(len(names))]
	if m.rng.IntN(5) == 0 {
		if err := m.DeleteSnapshot(m.ctx, snapshot); err != nil {
			m.t.Fatal(err)
		}
		delete(m.snapshots, snapshot)
		return
	}
	if err := m.SeekToSnapshot(m.ctx, name, snapshot); err != nil {
		m.t.Fatal(err)
	}
	s.open = maps.Clone(m.snapshots[snapshot].open)
	for n := m.snapshots[snapshot].count; n < len(m.times); n++ {
		s.open[n] = true
	}
	s.moved()
}

// moved makes all ack ids given out so far stale.
func (s *modelSub) moved() {
	s.stale, s.ids = append(s.stale, s.ids...), nil
}
