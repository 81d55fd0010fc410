package main

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/client"
)

func (a *app) snapshotCommand() *cobra.Command {
	return a.clientFlags(a.group("snapshot", "Create, list, describe, update and delete snapshots",
		a.snapshotCreate(), a.snapshotList(), a.snapshotDescribe(), a.snapshotUpdate(), a.snapshotDelete()))
}

func (a *app) snapshotCreate() *cobra.Command {
	var subscription string
	labels := pairs{}
	c := &cobra.Command{
		Use: "create [SNAPSHOT] --subscription SUBSCRIPTION", Short: "Keep what a subscription has not acknowledged, to seek back to it later",
		Args: cobra.MaximumNArgs(1),
		Example: "  posthaste snapshot create before-deploy --subscription billing\n" +
			"  posthaste snapshot create --subscription billing --label team=sales   # the server gives a name",
		RunE: func(c *cobra.Command, args []string) error {
			if subscription == "" {
				return usage("--subscription is needed")
			}
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				request := &pubsubpb.CreateSnapshotRequest{Subscription: server.Subscription(subscription), Labels: labels}
				if len(args) > 0 {
					request.Name = server.Snapshot(args[0])
				}
				ctx, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				created, err := server.Subscriber.CreateSnapshot(ctx, request)
				if err != nil {
					return server.Failed(err, "create snapshot of %s", request.Subscription)
				}
				return a.changed("created", created.Name, created)
			})
		},
	}
	c.Flags().StringVar(&subscription, "subscription", "", "`SUBSCRIPTION` whose unacknowledged messages to keep")
	c.Flags().Var(labels, "label", "label as `KEY=VALUE`; may be repeated")
	return c
}

func (a *app) snapshotList() *cobra.Command {
	var topic string
	c := a.listCommand("snapshot", "  posthaste snapshot list\n  posthaste snapshot list --topic orders")
	all := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if topic == "" {
			return all(c, args)
		}
		return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
			return a.topicSnapshots(ctx, server, server.Topic(topic))
		})
	}
	c.Flags().StringVar(&topic, "topic", "", "list the names of this `TOPIC`'s snapshots instead")
	return c
}

func (a *app) topicSnapshots(ctx context.Context, server *client.Connection, topic string) error {
	request := &pubsubpb.ListTopicSnapshotsRequest{Topic: topic, PageSize: listPage}
	return pages(ctx, &request.PageToken, func(ctx context.Context) (string, error) {
		page, err := server.Publisher.ListTopicSnapshots(ctx, request)
		if err != nil {
			return "", server.Failed(err, "list snapshots of %s", topic)
		}
		for _, name := range page.Snapshots {
			if err := a.report(name, map[string]string{"name": name}); err != nil {
				return "", err
			}
		}
		return page.NextPageToken, nil
	})
}

func (a *app) snapshotDescribe() *cobra.Command {
	return &cobra.Command{
		Use: "describe SNAPSHOT", Short: "Show a snapshot", Args: cobra.ExactArgs(1),
		Example: "  posthaste snapshot describe before-deploy",
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				ctx, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				name := server.Snapshot(args[0])
				s, err := server.Subscriber.GetSnapshot(ctx, &pubsubpb.GetSnapshotRequest{Snapshot: name})
				if err != nil {
					return server.Failed(err, "describe snapshot %s", name)
				}
				return a.show(s)
			})
		},
	}
}

// snapshotFlags are the fields of a snapshot that an update can set.
type snapshotFlags struct {
	expiresIn span
	labels    pairs
}

func (f *snapshotFlags) define(flags *pflag.FlagSet) {
	f.labels = pairs{}
	flags.Var(&f.expiresIn, "expires-in", "let it live for this `DURATION` from now, such as 1d; at most seven days from its oldest message")
	flags.Var(f.labels, "label", "label as `KEY=VALUE`; may be repeated")
}

func (f *snapshotFlags) fields() []field[pubsubpb.Snapshot] {
	return []field[pubsubpb.Snapshot]{
		{"expires-in", "expire_time", func(s *pubsubpb.Snapshot) error {
			s.ExpireTime = timestamppb.New(time.Now().Add(time.Duration(f.expiresIn)))
			return nil
		}},
		{"label", "labels", func(s *pubsubpb.Snapshot) error {
			s.Labels = merged(s.Labels, f.labels)
			return nil
		}},
	}
}

func snapshotClearings() []clearing[pubsubpb.Snapshot] {
	return []clearing[pubsubpb.Snapshot]{
		{"expiry", "expire_time", func(s *pubsubpb.Snapshot) { s.ExpireTime = nil }},
		{"labels", "labels", func(s *pubsubpb.Snapshot) { s.Labels = nil }},
	}
}

func (a *app) snapshotUpdate() *cobra.Command {
	var f snapshotFlags
	var cleared []string
	c := &cobra.Command{
		Use: "update SNAPSHOT", Short: "Change the fields whose flags are given", Args: cobra.ExactArgs(1),
		Example: "  posthaste snapshot update before-deploy --expires-in 1d\n  posthaste snapshot update before-deploy --clear labels,expiry",
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				ctx, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				name := server.Snapshot(args[0])
				s, err := server.Subscriber.GetSnapshot(ctx, &pubsubpb.GetSnapshotRequest{Snapshot: name})
				if err != nil {
					return server.Failed(err, "update snapshot %s", name)
				}
				mask, err := change(c.Flags(), cleared, snapshotClearings(), f.fields(), s)
				if err != nil {
					return err
				}
				updated, err := server.Subscriber.UpdateSnapshot(ctx, &pubsubpb.UpdateSnapshotRequest{Snapshot: s, UpdateMask: mask})
				if err != nil {
					return server.Failed(err, "update snapshot %s", name)
				}
				return a.changed("updated", updated.Name, updated)
			})
		},
	}
	f.define(c.Flags())
	c.Flags().StringSliceVar(&cleared, "clear", nil, "unset these `FIELDS`: "+clearable(snapshotClearings()))
	return c
}

func (a *app) snapshotDelete() *cobra.Command {
	return a.each("snapshot", "delete", "deleted", "before-deploy", "Delete snapshots", func(ctx context.Context, server *client.Connection, name string) error {
		_, err := server.Subscriber.DeleteSnapshot(ctx, &pubsubpb.DeleteSnapshotRequest{Snapshot: name})
		return err
	})
}
