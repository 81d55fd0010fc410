package peer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/posthaste-io/posthaste/bench/load"
)

const (
	natsStream       = "BENCH"
	natsSubject      = "bench.messages"
	natsConsumer     = "bench"
	natsMaxAckWait   = 60 * time.Second
	natsAnswerMax    = 60 * time.Second // of a server that is alive: the client's own bounds are too close for a busy machine
	natsAckPending   = 40_000           // unacknowledged messages of the consumer: as many as two streams of the generator may hold
	natsPullMessages = 5_000
)

// JetStreamWork publishes asynchronously, so many messages unanswered at a time on each connection, through NATS's own Go client. The
// messages carry no headers, which spares JetStream some work that the other servers do for an attribute.
type JetStreamWork struct {
	DataBytes   int
	Connections int
	PendingMax  int // on each connection
	Duration    time.Duration
	Receive     Receive
	Edge        func() // called at the start and at the end; may be nil
}

// Receive says when the consumer of a JetStreamWork begins; it receives and acknowledges until the last message.
type Receive int

// The choices of Receive.
const (
	ReceiveNever  Receive = iota
	ReceiveAfter          // once everything is published: both sides at their fastest
	ReceiveDuring         // from the start: end to end
)

// JetStreamResult counts answered publishes and acknowledged messages.
type JetStreamResult struct {
	Published      uint64
	Consumed       uint64
	PublishElapsed time.Duration
	ConsumeElapsed time.Duration // from when the consumer began until the last message
	Elapsed        time.Duration // from the first publish until the last message
}

// PublishPerSecond is the rate of answered publishes.
func (r *JetStreamResult) PublishPerSecond() float64 {
	return float64(r.Published) / r.PublishElapsed.Seconds()
}

// ConsumePerSecond is the rate of acknowledged messages while the consumer ran.
func (r *JetStreamResult) ConsumePerSecond() float64 {
	return float64(r.Consumed) / r.ConsumeElapsed.Seconds()
}

// PerSecond is the rate of the slower side over the whole run.
func (r *JetStreamResult) PerSecond() float64 {
	return float64(r.Published) / max(r.Elapsed, r.PublishElapsed).Seconds()
}

// LoadJetStream does the work on a fresh stream, which it deletes at the end.
func LoadJetStream(ctx context.Context, address string, work JetStreamWork) (result *JetStreamResult, err error) {
	l := &natsLoad{work: work}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.open(ctx, address); err != nil {
		return nil, fmt.Errorf("load JetStream: %w", err)
	}
	if result, err = l.run(ctx); err != nil {
		return nil, fmt.Errorf("load JetStream: %w", err)
	}
	return result, nil
}

type natsLoad struct {
	work        JetStreamWork
	connections []*nats.Conn
	streams     []jetstream.JetStream // for publishing
	receiving   jetstream.JetStream   // nil when nothing is received
	failed      atomic.Pointer[error] // the first publish that was refused
	consuming   jetstream.ConsumeContext
	consumed    atomic.Uint64
	opened      time.Time
	lastAt      atomic.Int64 // nanoseconds since opened, of the newest message
}

// open connects and makes the stream, empty.
func (l *natsLoad) open(ctx context.Context, address string) error {
	l.opened = time.Now()
	connections := l.work.Connections
	if l.work.Receive != ReceiveNever {
		connections++ // the last one receives
	}
	for range connections {
		conn, err := nats.Connect("nats://"+address, nats.MaxReconnects(0), nats.Timeout(natsAnswerMax))
		if err != nil {
			return err
		}
		l.connections = append(l.connections, conn)
		stream, err := jetstream.New(conn,
			jetstream.WithDefaultTimeout(natsAnswerMax),
			jetstream.WithPublishAsyncMaxPending(l.work.PendingMax),
			jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
				l.failed.CompareAndSwap(nil, &err)
			}))
		if err != nil {
			return err
		}
		l.streams = append(l.streams, stream)
	}
	if l.work.Receive != ReceiveNever {
		l.receiving = l.streams[len(l.streams)-1]
		l.streams = l.streams[:len(l.streams)-1]
	}
	_, err := l.streams[0].CreateStream(ctx, jetstream.StreamConfig{
		Name: natsStream, Subjects: []string{natsSubject}, Storage: jetstream.FileStorage,
	})
	return err
}

// consume begins to receive, on a connection of its own.
func (l *natsLoad) consume(ctx context.Context) error {
	consumer, err := l.receiving.CreateConsumer(ctx, natsStream, jetstream.ConsumerConfig{
		Durable: natsConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: natsMaxAckWait, MaxAckPending: natsAckPending,
	})
	if err != nil {
		return err
	}
	l.consuming, err = consumer.Consume(func(message jetstream.Msg) {
		if err := message.Ack(); err != nil {
			l.failed.CompareAndSwap(nil, &err)
			return
		}
		l.lastAt.Store(int64(time.Since(l.opened)))
		l.consumed.Add(1)
	}, jetstream.PullMaxMessages(natsPullMessages))
	return err
}

func (l *natsLoad) run(ctx context.Context) (*JetStreamResult, error) {
	edge := func() {
		if l.work.Edge != nil {
			l.work.Edge()
		}
	}
	data := load.Payload(l.work.DataBytes, 1)
	start := time.Now()
	edge()
	if l.work.Receive == ReceiveDuring {
		if err := l.consume(ctx); err != nil {
			return nil, err
		}
	}
	published, err := l.publish(ctx, data)
	if err != nil {
		return nil, err
	}
	result := &JetStreamResult{Published: published, PublishElapsed: time.Since(start)}
	began := start
	if l.work.Receive == ReceiveAfter {
		began = time.Now()
		if err := l.consume(ctx); err != nil {
			return nil, err
		}
	}
	if l.work.Receive != ReceiveNever {
		if err := l.drain(ctx, published); err != nil {
			return nil, err
		}
		last := l.opened.Add(time.Duration(l.lastAt.Load()))
		result.ConsumeElapsed, result.Elapsed, result.Consumed = last.Sub(began), last.Sub(start), l.consumed.Load()
	}
	edge()
	if failed := l.failed.Load(); failed != nil {
		return nil, *failed
	}
	return result, nil
}

// publish runs one publisher a connection until the time is over, and waits for the answers.
func (l *natsLoad) publish(ctx context.Context, data []byte) (uint64, error) {
	var published atomic.Uint64
	end := time.Now().Add(l.work.Duration)
	group, ctx := errgroup.WithContext(ctx)
	for _, stream := range l.streams {
		group.Go(func() error {
			for i := uint64(0); ; i++ {
				if i%64 == 0 && (time.Now().After(end) || ctx.Err() != nil || l.failed.Load() != nil) {
					published.Add(i)
					break
				}
				if _, err := stream.PublishAsync(natsSubject, data, jetstream.WithStallWait(natsMaxAckWait)); err != nil {
					return err
				}
			}
			select {
			case <-stream.PublishAsyncComplete():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	err := group.Wait()
	return published.Load(), err
}

// drain waits for the last message; it gives up when nothing comes for natsMaxAckWait.
func (l *natsLoad) drain(ctx context.Context, published uint64) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	before, movedAt := uint64(0), time.Now()
	for {
		consumed := l.consumed.Load()
		if consumed >= published {
			return nil
		}
		if consumed != before {
			before, movedAt = consumed, time.Now()
		}
		if time.Since(movedAt) > natsMaxAckWait {
			return fmt.Errorf("%d of %d messages came, nothing for %v", consumed, published, natsMaxAckWait)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *natsLoad) close() error {
	if l.consuming != nil {
		l.consuming.Stop()
		<-l.consuming.Closed()
	}
	var err error
	if len(l.streams) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), natsMaxAckWait)
		defer cancel()
		if err = l.streams[0].DeleteStream(ctx, natsStream); errors.Is(err, jetstream.ErrStreamNotFound) {
			err = nil
		}
	}
	for _, conn := range l.connections {
		conn.Close()
	}
	return err
}
