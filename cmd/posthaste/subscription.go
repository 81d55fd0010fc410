package main

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/client"
)

func (a *app) subscriptionCommand() *cobra.Command {
	c := a.clientFlags(a.group("subscription", "Create, list, describe, update, move, detach and delete subscriptions",
		a.subscriptionCreate(), a.listCommand("subscription", "  posthaste subscription list\n  posthaste subscription list --output json"), a.subscriptionDescribe(), a.subscriptionUpdate(), a.subscriptionSeek(),
		a.subscriptionDetach(), a.subscriptionDelete()))
	c.Aliases = []string{"sub"}
	return c
}

func (a *app) subscriptionCreate() *cobra.Command {
	var f subscriptionFlags
	var topic string
	c := &cobra.Command{
		Use: "create SUBSCRIPTION --topic TOPIC", Short: "Create a subscription", Args: cobra.ExactArgs(1),
		Example: "  posthaste subscription create billing --topic orders\n" +
			"  posthaste subscription create billing --topic orders --ack-deadline 60s --ordering --expiration never\n" +
			"  posthaste subscription create europe --topic orders --filter 'attributes.region = \"eu\"' --dead-letter-topic failed --max-delivery-attempts 10",
		RunE: func(c *cobra.Command, args []string) error {
			if topic == "" {
				return usage("--topic is needed")
			}
			return a.within(c.Context(), func(ctx context.Context, server *client.Connection) error {
				f.resolveTopic = server.Topic
				s := &pubsubpb.Subscription{Name: server.Subscription(args[0]), Topic: server.Topic(topic)}
				if _, err := apply(c.Flags(), f.fields(), s); err != nil {
					return err
				}
				created, err := server.Subscriber.CreateSubscription(ctx, s)
				if err != nil {
					return server.Failed(err, "create subscription %s", s.Name)
				}
				return a.changed("created", created.Name, created)
			})
		},
	}
	c.Flags().StringVar(&topic, "topic", "", "`TOPIC` to receive messages from")
	f.define(c.Flags())
	return c
}

func (a *app) subscriptionDescribe() *cobra.Command {
	return &cobra.Command{
		Use: "describe SUBSCRIPTION", Short: "Show a subscription", Args: cobra.ExactArgs(1),
		Example: "  posthaste subscription describe billing",
		RunE: func(c *cobra.Command, args []string) error {
			return a.within(c.Context(), func(ctx context.Context, server *client.Connection) error {
				name := server.Subscription(args[0])
				s, err := server.Subscriber.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name})
				if err != nil {
					return server.Failed(err, "describe subscription %s", name)
				}
				if err := a.show(s); err != nil {
					return err
				}
				return a.warnOfDeadLetters(ctx, server, s.GetDeadLetterPolicy().GetDeadLetterTopic())
			})
		},
	}
}

func (a *app) subscriptionUpdate() *cobra.Command {
	var f subscriptionFlags
	var cleared []string
	c := &cobra.Command{
		Use: "update SUBSCRIPTION", Short: "Change the fields whose flags are given", Args: cobra.ExactArgs(1),
		Example: "  posthaste subscription update billing --ack-deadline 30s\n" +
			"  posthaste subscription update billing --min-backoff 1s --max-backoff 1m\n" +
			"  posthaste subscription update billing --clear dead-letter,labels",
		RunE: func(c *cobra.Command, args []string) error {
			return a.within(c.Context(), func(ctx context.Context, server *client.Connection) error {
				name := server.Subscription(args[0])
				s, err := server.Subscriber.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name})
				if err != nil {
					return server.Failed(err, "update subscription %s", name)
				}
				f.resolveTopic = server.Topic
				mask, err := change(c.Flags(), cleared, subscriptionClearings(), f.fields(), s)
				if err != nil {
					return err
				}
				updated, err := server.Subscriber.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{Subscription: s, UpdateMask: mask})
				if err != nil {
					return server.Failed(err, "update subscription %s", name)
				}
				return a.changed("updated", updated.Name, updated)
			})
		},
	}
	f.define(c.Flags())
	c.Flags().StringSliceVar(&cleared, "clear", nil, "unset these `FIELDS`: "+clearable(subscriptionClearings()))
	return c
}

func (a *app) subscriptionDelete() *cobra.Command {
	return a.each("subscription", "delete", "deleted", "billing", "Delete subscriptions and what they hold", func(ctx context.Context, server *client.Connection, name string) error {
		_, err := server.Subscriber.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: name})
		return err
	})
}

func (a *app) subscriptionDetach() *cobra.Command {
	return a.each("subscription", "detach", "detached", "billing", "Take subscriptions off their topic for good and drop what they hold", func(ctx context.Context, server *client.Connection, name string) error {
		_, err := server.Publisher.DetachSubscription(ctx, &pubsubpb.DetachSubscriptionRequest{Subscription: name})
		return err
	})
}
