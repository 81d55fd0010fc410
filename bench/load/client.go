// Package load is a load generator for servers that speak Google Cloud Pub/Sub over gRPC. It is meant to share a machine with the
// server that it measures: requests are encoded once and sent as bytes, replies are looked at and never decoded.
//
// A Client does works, one at a time or several at once: Publish (closed loop, publishing only), EndToEnd (publish, deliver,
// acknowledge, drained to the last message), Paced (a fixed rate, for latencies) and CreatePairs (topics with subscriptions).
package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	publishMethod   = "/google.pubsub.v1.Publisher/Publish"
	streamMethod    = "/google.pubsub.v1.Subscriber/StreamingPull"
	messageBytesMax = 32 << 20 // of one gRPC message, either way
	bufferBytes     = 128 << 10
	windowBytes     = 4 << 20 // static HTTP/2 windows: no probing for the bandwidth while measuring
)

// Client holds the connections to one server. Safe for concurrent use.
type Client struct {
	address     string
	connections []*grpc.ClientConn
	clock       clock
}

// clock gives nanoseconds since the client was made, from the monotonic clock.
type clock struct {
	start time.Time
}

func (c clock) now() int64 { return int64(time.Since(c.start)) }

// Dial makes a client with that many connections to host:port, without TLS. It does not wait for the server: see WaitServing.
func Dial(address string, connections int) (*Client, error) {
	if connections < 1 {
		return nil, fmt.Errorf("connections: %d, must be at least 1", connections)
	}
	c := &Client{address: address, clock: clock{start: time.Now()}}
	for range connections {
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDisableRetry(), // a retry would hide a failure, and keeps a copy of each request
			grpc.WithWriteBufferSize(bufferBytes),
			grpc.WithReadBufferSize(bufferBytes),
			grpc.WithInitialWindowSize(windowBytes),
			grpc.WithInitialConnWindowSize(2*windowBytes),
			grpc.WithDefaultCallOptions(
				grpc.ForceCodecV2(NewRawCodec()),
				grpc.MaxCallRecvMsgSize(messageBytesMax),
				grpc.MaxCallSendMsgSize(messageBytesMax)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect to %s: %w", address, err), c.Close())
		}
		c.connections = append(c.connections, conn)
	}
	return c, nil
}

// Close ends the connections and every call on them.
func (c *Client) Close() error {
	var all error
	for _, conn := range c.connections {
		all = errors.Join(all, conn.Close())
	}
	return all
}

// connection spreads workers and streams over the connections.
func (c *Client) connection(i int) *grpc.ClientConn {
	return c.connections[i%len(c.connections)]
}

// WaitServing returns once every connection has had an answer to a Pub/Sub call, or when ctx ends.
func (c *Client) WaitServing(ctx context.Context) error {
	for _, conn := range c.connections {
		request := &pubsubpb.ListTopicsRequest{Project: "projects/bench-wait", PageSize: 1}
		_, err := pubsubpb.NewPublisherClient(conn).ListTopics(ctx, request, grpc.WaitForReady(true))
		if isTransport(err) {
			return fmt.Errorf("wait for %s to serve: %w", c.address, err)
		}
	}
	return nil
}
