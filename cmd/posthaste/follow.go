package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a followed stream asks for. The deadline is that of messages which are printed but not acknowledged yet, which takes moments.
const (
	followDeadlineSeconds = 60
	followOutstandingMax  = 1000
	followBytesMax        = 64 << 20
)

// A stream that broke because its server restarts is opened again after a pause between these bounds.
const (
	followPauseMin = 100 * time.Millisecond
	followPauseMax = 5 * time.Second
)

// errEnough ends a stream that has brought as many messages as were wanted.
var errEnough = errors.New("enough messages")

// stream follows the subscription across broken streams, once one has worked: a wrong address is to fail, a restart is to be waited for.
func (p *pulling) stream(ctx context.Context) error {
	pause, reached := followPauseMin, false
	for {
		answered, err := p.oneStream(ctx)
		reached = reached || answered
		if answered {
			pause = followPauseMin
		}
		switch {
		case errors.Is(err, errEnough):
			return nil
		case ctx.Err() != nil:
			return err
		case !reached || !again(err):
			return err
		}
		fmt.Fprintf(p.app.errs, "posthaste: %v; trying again\n", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, followPauseMax)
	}
}

// again reports whether a stream ended in a way that a new one may mend.
func again(err error) bool {
	code := status.Code(errors.Unwrap(err))
	return code == codes.Unavailable || errors.Is(err, io.EOF)
}

// oneStream prints what one StreamingPull brings until it breaks, and reports whether it brought anything.
func (p *pulling) oneStream(ctx context.Context) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // gives unacknowledged messages back
	failed := func(err error) error { return p.server.Failed(err, "follow %s", p.subscription) }
	stream, err := p.server.Subscriber.StreamingPull(ctx)
	if err != nil {
		return false, failed(err)
	}
	open := &pubsubpb.StreamingPullRequest{
		Subscription: p.subscription, StreamAckDeadlineSeconds: followDeadlineSeconds,
		MaxOutstandingMessages: followOutstandingMax, MaxOutstandingBytes: followBytesMax,
	}
	if p.max > 0 {
		open.MaxOutstandingMessages = int64(min(p.max-p.shown.count, followOutstandingMax))
	}
	if err := stream.Send(open); err != nil && err != io.EOF {
		return false, failed(err)
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return answered, failed(err)
		}
		answered = true
		messages := response.ReceivedMessages
		enough := p.max > 0 && p.shown.count+len(messages) >= p.max
		if enough {
			messages = messages[:p.max-p.shown.count]
		}
		ids, err := p.print(messages)
		if err != nil {
			return answered, err
		}
		if err := p.confirm(ctx, stream, ids, enough); err != nil {
			return answered, err
		}
		if enough {
			return answered, errEnough
		}
	}
}

// confirm acknowledges over the stream, or by a call of its own, whose answer can be waited for, when the stream is about to end.
func (p *pulling) confirm(ctx context.Context, stream pubsubpb.Subscriber_StreamingPullClient, ids []string, last bool) error {
	if !p.autoAck || len(ids) == 0 {
		return nil
	}
	if last || ctx.Err() != nil {
		return p.acknowledge(ctx, ids)
	}
	err := stream.Send(&pubsubpb.StreamingPullRequest{AckIds: ids})
	if err == io.EOF {
		return nil // the stream broke; Recv says how
	}
	return p.server.Failed(err, "acknowledge %d messages of %s", len(ids), p.subscription)
}
