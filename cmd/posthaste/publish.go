package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/batch"
	"github.com/posthaste-io/posthaste/internal/client"
)

// callsInFlight is how many calls a publish command keeps open when order does not matter between them.
const callsInFlight = 8

// fieldBytes covers the tags and lengths that surround a message's data in a request.
const fieldBytes = 16

// publishing is one publish command.
type publishing struct {
	app        *app
	server     *client.Connection
	topic      string
	attributes pairs
	key        string
	quiet      bool
}

const publishLong = `Publish messages: the arguments, the contents of files, or, with neither, the lines of the standard input.
Lines are sent in large batches as they come; empty ones are skipped. The id of each message is printed in order,
once the server has accepted it.`

const publishExample = `  posthaste publish orders 'hello' 'world'
  posthaste publish orders 'hello' --attribute color=red --ordering-key customer-7
  posthaste publish orders --file order.json
  posthaste publish orders --quiet < orders.jsonl
  tail -f events.log | posthaste publish events`

func (a *app) publishCommand() *cobra.Command {
	p := publishing{app: a, attributes: pairs{}}
	var files []string
	c := &cobra.Command{
		Use: "publish TOPIC [MESSAGE...]", Short: "Publish messages", Long: publishLong, Example: publishExample,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				p.server, p.topic = server, server.Topic(args[0])
				if len(args) == 1 && len(files) == 0 {
					return p.standardInput(ctx)
				}
				return p.given(ctx, args[1:], files)
			})
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.Var(p.attributes, "attribute", "attribute of every message as `KEY=VALUE`; may be repeated")
	flags.StringVar(&p.key, "ordering-key", "", "`KEY` that orders the messages")
	flags.StringArrayVar(&files, "file", nil, "publish the contents of `FILE` as one message; may be repeated")
	flags.BoolVar(&p.quiet, "quiet", false, "print only how many messages were published")
	return a.clientFlags(c)
}

// given publishes the messages that the command line names.
func (p *publishing) given(ctx context.Context, messages, files []string) error {
	batches := make(chan [][]byte)
	return p.run(ctx, batches, func(ctx context.Context) error {
		defer close(batches)
		b := batch.Batch{OverheadBytes: p.overheadBytes()}
		add := func(data []byte) bool {
			full := b.Add(data)
			return full == nil || batch.Send(ctx, batches, full)
		}
		for _, m := range messages {
			if !add([]byte(m)) {
				return ctx.Err()
			}
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("read a message: %w", err)
			}
			if !add(data) {
				return ctx.Err()
			}
		}
		if !batch.Send(ctx, batches, b.Take()) {
			return ctx.Err()
		}
		return nil
	})
}

// standardInput publishes lines. The goroutine that reads them may outlive the command, in a read that nothing can end.
func (p *publishing) standardInput(ctx context.Context) error {
	if terminal(p.app.errs) && stdinIsTerminal(p.app) {
		fmt.Fprintln(p.app.errs, "posthaste: each line is a message; end with Ctrl-D")
	}
	batches, ended := make(chan [][]byte), make(chan error, 1)
	go func() { ended <- batch.NewLines(p.app.in).Feed(ctx, p.overheadBytes(), batches) }()
	return p.run(ctx, batches, func(ctx context.Context) error {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func stdinIsTerminal(a *app) bool {
	file, ok := a.in.(*os.File)
	return ok && terminal(file)
}

// overheadBytes is what each message takes in a request beside its data.
func (p *publishing) overheadBytes() int {
	return fieldBytes + proto.Size(&pubsubpb.PubsubMessage{Attributes: p.attributes, OrderingKey: p.key})
}

// sent is a call on its way.
type sent struct {
	messages int
	ids      []string
	err      error
	answered chan struct{} // closed when ids or err are there
}

// run publishes batches until their channel closes, while feed fills it, and prints the answers in the order of the messages.
func (p *publishing) run(ctx context.Context, batches <-chan [][]byte, feed func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	calls := make(chan *sent, callsInFlight)
	group.Go(func() error { return feed(ctx) })
	group.Go(func() error {
		defer close(calls)
		return p.call(ctx, group, batches, calls)
	})
	group.Go(func() error { return p.answers(ctx, calls) })
	return group.Wait()
}

// call sends each batch. With an ordering key, the next one waits for the answer: calls may overtake each other.
func (p *publishing) call(ctx context.Context, group *errgroup.Group, batches <-chan [][]byte, calls chan<- *sent) error {
	for {
		var data [][]byte
		var more bool
		select {
		case data, more = <-batches:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !more {
			return nil
		}
		s := &sent{messages: len(data), answered: make(chan struct{})}
		select {
		case calls <- s:
		case <-ctx.Done():
			return ctx.Err()
		}
		group.Go(func() error { p.publish(ctx, data, s); return nil })
		if p.key == "" {
			continue
		}
		select {
		case <-s.answered:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish makes one call; answers looks at how it ended.
func (p *publishing) publish(ctx context.Context, data [][]byte, s *sent) {
	defer close(s.answered)
	request := &pubsubpb.PublishRequest{Topic: p.topic, Messages: make([]*pubsubpb.PubsubMessage, len(data))}
	for i, d := range data {
		request.Messages[i] = &pubsubpb.PubsubMessage{Data: d, Attributes: p.attributes, OrderingKey: p.key}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := p.server.Publisher.Publish(ctx, request)
	s.ids, s.err = response.GetMessageIds(), err
}

// answers prints what became of the messages and stops at the first call that failed.
func (p *publishing) answers(ctx context.Context, calls <-chan *sent) error {
	out := bufio.NewWriter(p.app.out)
	shown := p.app.newProgress("published", p.quiet)
	defer shown.end()
	for s := range calls {
		select {
		case <-s.answered:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.err != nil {
			after := ""
			if shown.count > 0 {
				after = fmt.Sprintf(" after %d messages", shown.count)
			}
			return p.server.Failed(s.err, "publish to %s%s", p.topic, after)
		}
		if len(s.ids) != s.messages {
			return fmt.Errorf("publish to %s: %d ids for %d messages came back", p.topic, len(s.ids), s.messages)
		}
		shown.add(s.messages)
		if err := p.printIDs(out, s.ids); err != nil {
			return err
		}
	}
	if !p.quiet {
		return nil
	}
	return p.app.report("published "+count(shown.count, "message"), map[string]int{"published": shown.count})
}

func (p *publishing) printIDs(out *bufio.Writer, ids []string) error {
	if p.quiet {
		return nil
	}
	encoder := json.NewEncoder(out)
	for _, id := range ids {
		var err error
		if p.app.output == outputJSON {
			err = encoder.Encode(map[string]string{"messageId": id})
		} else {
			_, err = fmt.Fprintln(out, id)
		}
		if err != nil {
			return err
		}
	}
	return out.Flush()
}
