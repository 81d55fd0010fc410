package main

import (
	"context"
	"fmt"
	"maps"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/posthaste-io/posthaste/internal/client"
)

func (a *app) topicCommand() *cobra.Command {
	return a.clientFlags(a.group("topic", "Create, list, describe, update and delete topics",
		a.topicCreate(), a.listCommand("topic", "  posthaste topic list\n  posthaste topic list --project shop --output json"), a.topicDescribe(), a.topicUpdate(), a.topicDelete()))
}

// topicFlags are the fields of a topic that commands can set.
type topicFlags struct {
	retention span
	labels    pairs
	schema    string
	encoding  string
	// resolveSchema completes the name of a schema; set before fields are applied.
	resolveSchema func(string) string
}

func (f *topicFlags) define(flags *pflag.FlagSet) {
	f.labels = pairs{}
	flags.Var(&f.retention, "retention", "keep published messages for this `DURATION`, such as 7d, so that subscriptions can seek back")
	flags.Var(f.labels, "label", "label as `KEY=VALUE`; may be repeated")
	flags.StringVar(&f.schema, "schema", "", "`SCHEMA` that messages must follow")
	flags.StringVar(&f.encoding, "encoding", "json", "`ENCODING` of messages with a schema: json or binary")
}

func (f *topicFlags) fields() []field[pubsubpb.Topic] {
	return []field[pubsubpb.Topic]{
		{"retention", "message_retention_duration", func(t *pubsubpb.Topic) error {
			t.MessageRetentionDuration = f.retention.Proto()
			return nil
		}},
		{"label", "labels", func(t *pubsubpb.Topic) error {
			t.Labels = merged(t.Labels, f.labels)
			return nil
		}},
		{"schema", "schema_settings", f.applySchema},
		{"encoding", "schema_settings", f.applySchema},
	}
}

func (f *topicFlags) applySchema(t *pubsubpb.Topic) error {
	encodings := map[string]pubsubpb.Encoding{"json": pubsubpb.Encoding_JSON, "binary": pubsubpb.Encoding_BINARY}
	encoding, known := encodings[f.encoding]
	if !known {
		return fmt.Errorf("encoding %q is unknown; allowed: json, binary", f.encoding)
	}
	if t.SchemaSettings == nil {
		t.SchemaSettings = new(pubsubpb.SchemaSettings)
	}
	if f.schema != "" {
		t.SchemaSettings.Schema = f.resolveSchema(f.schema)
	}
	if t.SchemaSettings.Schema == "" {
		return fmt.Errorf("an encoding needs a --schema")
	}
	t.SchemaSettings.Encoding = encoding
	return nil
}

func topicClearings() []clearing[pubsubpb.Topic] {
	return []clearing[pubsubpb.Topic]{
		{"labels", "labels", func(t *pubsubpb.Topic) { t.Labels = nil }},
		{"retention", "message_retention_duration", func(t *pubsubpb.Topic) { t.MessageRetentionDuration = nil }},
		{"schema", "schema_settings", func(t *pubsubpb.Topic) { t.SchemaSettings = nil }},
	}
}

// merged is a map with all of both; the second wins.
func merged(labels map[string]string, more pairs) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = make(map[string]string, len(more))
	}
	maps.Copy(all, more)
	return all
}

func (a *app) topicCreate() *cobra.Command {
	var f topicFlags
	c := &cobra.Command{
		Use: "create TOPIC...", Short: "Create topics", Args: cobra.MinimumNArgs(1),
		Example: "  posthaste topic create orders\n  posthaste topic create orders --retention 7d --label team=sales\n" +
			"  posthaste topic create orders --schema order --encoding json",
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				f.resolveSchema = server.Schema
				for _, name := range args {
					topic := &pubsubpb.Topic{Name: server.Topic(name)}
					if _, err := apply(c.Flags(), f.fields(), topic); err != nil {
						return err
					}
					call, cancel := context.WithTimeout(ctx, callTimeout)
					created, err := server.Publisher.CreateTopic(call, topic)
					cancel()
					if err != nil {
						return server.Failed(err, "create topic %s", topic.Name)
					}
					if err := a.changed("created", created.Name, created); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	f.define(c.Flags())
	return c
}

func (a *app) topicDescribe() *cobra.Command {
	var subscriptions bool
	c := &cobra.Command{
		Use: "describe TOPIC", Short: "Show a topic", Args: cobra.ExactArgs(1),
		Example: "  posthaste topic describe orders\n  posthaste topic describe orders --subscriptions",
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				if subscriptions {
					return a.topicSubscriptions(ctx, server, server.Topic(args[0]))
				}
				call, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				topic, err := server.Publisher.GetTopic(call, &pubsubpb.GetTopicRequest{Topic: server.Topic(args[0])})
				if err != nil {
					return server.Failed(err, "describe topic %s", server.Topic(args[0]))
				}
				return a.show(topic)
			})
		},
	}
	c.Flags().BoolVar(&subscriptions, "subscriptions", false, "list the names of its subscriptions instead")
	return c
}

func (a *app) topicSubscriptions(ctx context.Context, server *client.Connection, topic string) error {
	request := &pubsubpb.ListTopicSubscriptionsRequest{Topic: topic, PageSize: listPage}
	return pages(ctx, &request.PageToken, func(ctx context.Context) (string, error) {
		page, err := server.Publisher.ListTopicSubscriptions(ctx, request)
		if err != nil {
			return "", server.Failed(err, "list subscriptions of %s", topic)
		}
		for _, name := range page.Subscriptions {
			if err := a.report(name, map[string]string{"name": name}); err != nil {
				return "", err
			}
		}
		return page.NextPageToken, nil
	})
}

func (a *app) topicUpdate() *cobra.Command {
	var f topicFlags
	var cleared []string
	c := &cobra.Command{
		Use: "update TOPIC", Short: "Change the fields whose flags are given", Args: cobra.ExactArgs(1),
		Example: "  posthaste topic update orders --retention 1d\n  posthaste topic update orders --clear labels --label team=billing",
		RunE: func(c *cobra.Command, args []string) error {
			return a.within(c.Context(), func(ctx context.Context, server *client.Connection) error {
				topic, err := server.Publisher.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: server.Topic(args[0])})
				if err != nil {
					return server.Failed(err, "update topic %s", server.Topic(args[0]))
				}
				f.resolveSchema = server.Schema
				mask, err := change(c.Flags(), cleared, topicClearings(), f.fields(), topic)
				if err != nil {
					return err
				}
				updated, err := server.Publisher.UpdateTopic(ctx, &pubsubpb.UpdateTopicRequest{Topic: topic, UpdateMask: mask})
				if err != nil {
					return server.Failed(err, "update topic %s", topic.Name)
				}
				return a.changed("updated", updated.Name, updated)
			})
		},
	}
	f.define(c.Flags())
	c.Flags().StringSliceVar(&cleared, "clear", nil, "unset these `FIELDS`: "+clearable(topicClearings()))
	return c
}

func (a *app) topicDelete() *cobra.Command {
	return a.each("topic", "delete", "deleted", "orders", "Delete topics; their subscriptions stay with what they hold", func(ctx context.Context, server *client.Connection, name string) error {
		_, err := server.Publisher.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: name})
		return err
	})
}
