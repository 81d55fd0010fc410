package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// Where client commands turn when nothing else is said.
const (
	addrDefault    = "127.0.0.1:8085"
	projectDefault = "posthaste"
)

// callTimeout bounds a call that the server should answer at once.
const callTimeout = 60 * time.Second

// connection is a client's way to one server.
type connection struct {
	*grpc.ClientConn
	publisher  pubsubpb.PublisherClient
	subscriber pubsubpb.SubscriberClient
	address    string
	project    string
}

// clientFlags adds the flags that every client command has.
func (a *app) clientFlags(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&a.addr, "addr", "",
		"`HOST:PORT` of the server (default POSTHASTE_ADDR, PUBSUB_EMULATOR_HOST or "+addrDefault+")")
	c.PersistentFlags().StringVar(&a.project, "project", "",
		"`ID` of the project for short names (default PUBSUB_PROJECT_ID, GOOGLE_CLOUD_PROJECT or "+projectDefault+")")
	return c
}

// first is the flag if it was given, else the first variable that is set to something, else the default.
func (a *app) first(flag string, variables []string, otherwise string) string {
	if flag != "" {
		return flag
	}
	for _, name := range variables {
		if text, _ := a.lookupEnv(name); text != "" {
			return text
		}
	}
	return otherwise
}

// serverAddress is where client commands turn.
func (a *app) serverAddress() string {
	return strings.TrimPrefix(a.first(a.addr, []string{"POSTHASTE_ADDR", "PUBSUB_EMULATOR_HOST"}, addrDefault), "http://")
}

// dial prepares a connection, which is made with the first call.
func (a *app) dial() (*connection, error) {
	address := a.serverAddress()
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("posthaste-cli"),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(8<<20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit.GRPCMessageBytesMax), grpc.MaxCallSendMsgSize(limit.GRPCMessageBytesMax)))
	if err != nil {
		return nil, usage("address %q: %v", address, err)
	}
	return &connection{
		ClientConn: conn, address: address, project: a.defaultProject(),
		publisher: pubsubpb.NewPublisherClient(conn), subscriber: pubsubpb.NewSubscriberClient(conn),
	}, nil
}

// defaultProject is the one that short names belong to.
func (a *app) defaultProject() string {
	return a.first(a.project, []string{"PUBSUB_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"}, projectDefault)
}

// with runs do on a connection to the server and closes that.
func (a *app) with(ctx context.Context, do func(context.Context, *connection) error) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c)
}

// within is with for what the server should answer at once.
func (a *app) within(ctx context.Context, do func(context.Context, *connection) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return a.with(ctx, do)
}

// each is a command that does one thing to each resource of a kind ("topic") that is named, until one fails. The verb ("delete") is the
// command's name, and done ("deleted") what it reports.
func (a *app) each(kind, verb, done, example, short string, do func(ctx context.Context, server *connection, name string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " " + strings.ToUpper(kind) + "...", Short: short, Args: cobra.MinimumNArgs(1),
		Example: "  posthaste " + kind + " " + verb + " " + example,
		RunE: func(c *cobra.Command, names []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *connection) error {
				for _, name := range names {
					full := server.full(kind+"s", name)
					call, cancel := context.WithTimeout(ctx, callTimeout)
					err := do(call, server, full)
					cancel()
					if err != nil {
						return server.failed(err, "%s %s %s", verb, kind, full)
					}
					if err := a.report(done+" "+full, map[string]string{done: full}); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// failed turns the error of a call into one for people.
func (c *connection) failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &callError{about: fmt.Sprintf(format, args...), address: c.address, err: err}
}

// Full names for short ids; a name with a slash is taken to be full.
func (c *connection) topic(name string) string        { return c.full("topics", name) }
func (c *connection) subscription(name string) string { return c.full("subscriptions", name) }
func (c *connection) snapshot(name string) string     { return c.full("snapshots", name) }

func (c *connection) full(collection, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return "projects/" + c.project + "/" + collection + "/" + name
}
