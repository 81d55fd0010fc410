// Package client is how a command reaches a server: the connection, short names for resources, and errors that people can read.
package client

import (
	"fmt"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Connection is a way to one server. It is safe for concurrent use.
type Connection struct {
	*grpc.ClientConn
	Publisher  pubsubpb.PublisherClient
	Subscriber pubsubpb.SubscriberClient
	Schemas    pubsubpb.SchemaServiceClient
	Address    string
	Project    string // that short names belong to
}

// Dial prepares a connection, which is made with the first call. An error is about the form of the address.
func Dial(address, project string) (*Connection, error) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("posthaste-cli"),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(8<<20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit.GRPCMessageBytesMax), grpc.MaxCallSendMsgSize(limit.GRPCMessageBytesMax)))
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	return &Connection{
		ClientConn: conn, Address: address, Project: project,
		Publisher: pubsubpb.NewPublisherClient(conn), Subscriber: pubsubpb.NewSubscriberClient(conn),
		Schemas: pubsubpb.NewSchemaServiceClient(conn),
	}, nil
}

// Topic is the full name of a topic; a name with a slash is taken to be full.
func (c *Connection) Topic(name string) string { return c.Full("topics", name) }

// Subscription is the full name of a subscription.
func (c *Connection) Subscription(name string) string { return c.Full("subscriptions", name) }

// Snapshot is the full name of a snapshot.
func (c *Connection) Snapshot(name string) string { return c.Full("snapshots", name) }

// Schema is the full name of a schema.
func (c *Connection) Schema(name string) string { return c.Full("schemas", name) }

// Full is the full name of a resource in a collection such as topics.
func (c *Connection) Full(collection, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return "projects/" + c.Project + "/" + collection + "/" + name
}

// Failed turns the error of a call into one that says what the call was about; nil stays nil.
func (c *Connection) Failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{about: fmt.Sprintf(format, args...), address: c.Address, err: err}
}
