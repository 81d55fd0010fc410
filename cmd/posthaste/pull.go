package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/client"
	"github.com/posthaste-io/posthaste/internal/limit"
	"github.com/posthaste-io/posthaste/internal/text"
)

// pulling is one pull command.
type pulling struct {
	app          *app
	server       *client.Connection
	subscription string
	follow       bool
	autoAck      bool
	max          int // messages to print before the command ends; 0 is no limit
	timeout      span
	shown        *progress
}

// pullTimeoutDefault is how long a pull without --follow waits for a message.
const pullTimeoutDefault = span(10 * time.Second)

const pullLong = `Print messages of a subscription, one a line: id, publish time, attributes and ordering key in braces, data.
With --output json, a line is a ReceivedMessage in the JSON form of the API, its data in base64.

Without --auto-ack the messages stay in the subscription and come again after its ack deadline, or, with --follow, when
the command ends.`

const pullExample = `  posthaste pull billing --auto-ack
  posthaste pull billing --max 100 --auto-ack --output json
  posthaste pull billing --follow --auto-ack`

func (a *app) pullCommand() *cobra.Command {
	p := pulling{app: a, timeout: pullTimeoutDefault}
	c := &cobra.Command{
		Use: "pull SUBSCRIPTION", Short: "Print messages of a subscription", Long: pullLong, Example: pullExample,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if p.max < 0 || p.timeout < 0 {
				return usage("--max and --timeout must not be negative")
			}
			if !p.follow && p.max == 0 {
				p.max = 1
			}
			if p.follow && !c.Flags().Changed("timeout") {
				p.timeout = 0
			}
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				p.server, p.subscription = server, server.Subscription(args[0])
				return p.run(ctx)
			})
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.BoolVar(&p.follow, "follow", false, "go on until interrupted, over a streaming pull")
	flags.BoolVar(&p.autoAck, "auto-ack", false, "acknowledge messages once they are printed")
	flags.IntVar(&p.max, "max", 0, "end after `N` messages (default 1, or no limit with --follow)")
	flags.Var(&p.timeout, "timeout", "end after this `DURATION`, 0 for no limit (none with --follow, unless given)")
	return a.clientFlags(c)
}

// run prints messages until there are enough, time is up, or the user stops it, none of which is an error.
func (p *pulling) run(ctx context.Context) error {
	p.shown = p.app.newProgress("received", false)
	defer p.shown.end()
	limited := ctx
	if p.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, time.Duration(p.timeout))
		defer cancel()
	}
	work := p.unary
	if p.follow {
		work = p.stream
	}
	err := work(limited)
	if err != nil && over(limited) && endOfTime(err) {
		return nil
	}
	return err
}

// over reports whether a context has ended or is about to: a server, which is told of the deadline, may see it a moment before us.
func over(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && time.Until(deadline) < time.Second
}

// endOfTime reports whether an error is what a call says when its context ends.
func endOfTime(err error) bool {
	switch status.Code(errors.Unwrap(err)) {
	case codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// unary pulls until there are enough messages or, after the first ones, none at hand.
func (p *pulling) unary(ctx context.Context) error {
	for p.shown.count < p.max {
		response, err := p.server.Subscriber.Pull(ctx, &pubsubpb.PullRequest{
			Subscription: p.subscription,
			MaxMessages:  int32(min(p.max-p.shown.count, limit.PullMessagesMax)),
			//nolint:staticcheck // deprecated for waiting consumers; here it asks for the rest of what is at hand
			ReturnImmediately: p.shown.count > 0,
		})
		if err != nil {
			return p.server.Failed(err, "pull from %s", p.subscription)
		}
		if len(response.ReceivedMessages) == 0 && p.shown.count > 0 {
			return nil
		}
		ids, err := p.print(response.ReceivedMessages)
		if err != nil {
			return err
		}
		if err := p.acknowledge(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// acknowledge confirms printed messages, even when time is up meanwhile: they have been seen.
func (p *pulling) acknowledge(ctx context.Context, ids []string) error {
	if !p.autoAck || len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_, err := p.server.Subscriber.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: p.subscription, AckIds: ids})
	return p.server.Failed(err, "acknowledge %d messages of %s", len(ids), p.subscription)
}

// print shows messages and returns their ack ids.
func (p *pulling) print(messages []*pubsubpb.ReceivedMessage) ([]string, error) {
	ids := make([]string, 0, len(messages))
	for _, m := range messages {
		if err := p.printOne(m); err != nil {
			return nil, err
		}
		ids = append(ids, m.AckId)
	}
	p.shown.add(len(messages))
	return ids, nil
}

func (p *pulling) printOne(m *pubsubpb.ReceivedMessage) error {
	if p.app.output == outputJSON {
		return p.app.showJSON(m)
	}
	_, err := fmt.Fprintln(p.app.out, messageLine(m.GetMessage()))
	return err
}

// messageLine is a message for people.
func messageLine(m *pubsubpb.PubsubMessage) string {
	parts := []string{m.GetMessageId(), m.GetPublishTime().AsTime().Format("2006-01-02T15:04:05.000Z07:00")}
	var extra []string
	if len(m.GetAttributes()) > 0 {
		extra = append(extra, text.OneLine(pairs(m.GetAttributes()).String()))
	}
	if m.GetOrderingKey() != "" {
		extra = append(extra, "key:"+text.OneLine(m.GetOrderingKey()))
	}
	if len(extra) > 0 {
		parts = append(parts, "{"+strings.Join(extra, " ")+"}")
	}
	if len(m.GetData()) > 0 {
		parts = append(parts, text.Data(m.GetData()))
	}
	return strings.Join(parts, " ")
}
