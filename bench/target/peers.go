package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/posthaste-io/posthaste/bench/load"
	"github.com/posthaste-io/posthaste/bench/peer"
)

const (
	jetStreamPending  = 4096 // unanswered publishes on each connection
	jetStreamSyncMax  = 256  // the same when every write is synced: more only wait longer
	emulatorDrain     = 10_000
	emulatorSlowerMax = 5 * time.Second // of publishing: it keeps everything in memory
)

// jetStream measures NATS JetStream: publish, then consume and ack; both at once; and publish with every write synced.
func (r *run) jetStream(ctx context.Context) error {
	work := peer.JetStreamWork{DataBytes: batchDataBytes, Connections: r.options.Connections, PendingMax: jetStreamPending,
		Duration: r.options.duration()}
	err := r.withJetStream(false, func(s *server) error {
		work.Receive = peer.ReceiveAfter
		done, m, err := r.loadJetStream(ctx, s, work, "publish 1 KiB asynchronously, not synced")
		if err != nil {
			return err
		}
		m.messages, m.elapsed, m.serverKnown, m.generatorCPU = done.Published, done.PublishElapsed, false, 0 // CPU of both phases
		r.keep("jetstream", m, "msg/s")
		r.keep("jetstream consume", &result{server: s.name, work: "then consume and ack", messages: done.Consumed,
			elapsed: done.ConsumeElapsed}, "msg/s")
		work.Receive = peer.ReceiveDuring
		done, m, err = r.loadJetStream(ctx, s, work, "publish, consume and ack 1 KiB at once, not synced")
		if err != nil {
			return err
		}
		m.messages, m.elapsed = done.Published, max(done.Elapsed, done.PublishElapsed)
		r.keep("jetstream end to end", m, "msg/s")
		return nil
	})
	if err != nil {
		return err
	}
	work.Receive, work.PendingMax = peer.ReceiveNever, jetStreamSyncMax
	return r.withJetStream(true, func(s *server) error {
		done, m, err := r.loadJetStream(ctx, s, work, "publish 1 KiB asynchronously, every write synced")
		if err != nil {
			return err
		}
		m.messages, m.elapsed = done.Published, done.PublishElapsed
		r.keep("jetstream sync", m, "msg/s")
		return nil
	})
}

func (r *run) withJetStream(syncAlways bool, use func(*server) error) (err error) {
	data, err := os.MkdirTemp(r.scratch, "jetstream-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	s := &server{data: data}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.process, err = peer.StartJetStream(data, syncAlways); err != nil {
		return err
	}
	s.name, s.pid = s.process.Name, s.process.Pid
	return use(s)
}

// loadJetStream does one work with its meter; the caller says which messages and which time count.
func (r *run) loadJetStream(ctx context.Context, s *server, work peer.JetStreamWork, text string) (*peer.JetStreamResult, *result, error) {
	m := &result{server: s.name, work: text}
	work.Edge = newMeter(s, m).edge
	done, err := peer.LoadJetStream(ctx, s.process.Address, work)
	if err != nil {
		return nil, nil, err
	}
	return done, m, nil
}

// emulator measures Google's emulator in T1, a bounded T3, and T5.
func (r *run) emulator(ctx context.Context) error {
	open := func(ctx context.Context, s *server) (err error) {
		if s.process, err = peer.StartEmulator(ctx, r.options.EmulatorJar); err != nil {
			return err
		}
		s.name, s.pid = "emulator", s.process.Pid
		s.started = time.Since(s.process.Started)
		r.progress("emulator: start to serving: %s", milliseconds(s.started))
		r.report.Machine = append(r.report.Machine, fmt.Sprintf("emulator: start to serving %s", milliseconds(s.started)))
		return r.connect(ctx, s, s.process.Address)
	}
	return r.with(ctx, open, func(s *server) error {
		if err := r.emulatorPaced(ctx, s); err != nil {
			return err
		}
		if err := r.emulatorEndToEnd(ctx, s); err != nil {
			return err
		}
		return r.withTopic(ctx, s, func(topic string) error {
			work := r.batchWork(topic)
			work.Warmup, work.Duration = warmup, min(r.options.duration(), emulatorSlowerMax)
			m := &result{work: r.batchText()}
			if err := r.publish(ctx, s, work, m); err != nil {
				return err
			}
			r.keep("emulator", m, "msg/s")
			return nil
		})
	})
}

func (r *run) emulatorPaced(ctx context.Context, s *server) error {
	text := fmt.Sprintf("paced %d msg/s of 1 KiB, one a call", perSecondPaced)
	return r.withSubscriptions(ctx, s, 1, nil, func(topic string, subscriptions []string) error {
		_, err := r.pace(ctx, s, topic, subscriptions[0], text)
		return err
	})
}

// emulatorEndToEnd bounds the messages: it delivers far more slowly than it accepts, and would drain for minutes.
func (r *run) emulatorEndToEnd(ctx context.Context, s *server) error {
	return r.withSubscriptions(ctx, s, 1, nil, func(topic string, subscriptions []string) error {
		text := fmt.Sprintf("end to end, %d messages of 1 KiB, 100 a call, 1 subscription over 2 streams, acked", emulatorDrain)
		m, _, err := r.deliver(ctx, s, load.EndToEndWork{Topic: topic, Subscriptions: subscriptions, Streams: endToEndStreams,
			Shape: batchShape, Messages: emulatorDrain, Duration: r.options.duration()}, text)
		if err != nil {
			return err
		}
		r.keep("emulator end to end", m, "msg/s")
		return nil
	})
}
