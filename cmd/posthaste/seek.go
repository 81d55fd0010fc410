package main

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/posthaste-io/posthaste/internal/client"
	"github.com/posthaste-io/posthaste/internal/text"
)

func (a *app) subscriptionSeek() *cobra.Command {
	var to text.Moment
	var snapshot string
	c := &cobra.Command{
		Use: "seek SUBSCRIPTION", Short: "Move a subscription to a time or to a snapshot", Args: cobra.ExactArgs(1),
		Long: "Move a subscription to a time, so that what was published before it counts as acknowledged and what is kept from then on does not,\n" +
			"or to a snapshot of its topic.",
		Example: "  posthaste subscription seek billing --time 2026-01-02T15:04:05Z\n" +
			"  posthaste subscription seek billing --time 1h     # an hour back\n" +
			"  posthaste subscription seek billing --time now    # purge\n" +
			"  posthaste subscription seek billing --snapshot before-deploy",
		RunE: func(c *cobra.Command, args []string) error {
			if (to.At.IsZero()) == (snapshot == "") {
				return usage("one of --time and --snapshot is needed")
			}
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				ctx, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				request := &pubsubpb.SeekRequest{Subscription: server.Subscription(args[0])}
				target := to.At.UTC().Format(time.RFC3339Nano)
				if snapshot == "" {
					request.Target = &pubsubpb.SeekRequest_Time{Time: timestamppb.New(to.At)}
				} else {
					target = server.Snapshot(snapshot)
					request.Target = &pubsubpb.SeekRequest_Snapshot{Snapshot: target}
				}
				if _, err := server.Subscriber.Seek(ctx, request); err != nil {
					return server.Failed(err, "seek %s", request.Subscription)
				}
				return a.report("moved "+request.Subscription+" to "+target, map[string]string{"moved": request.Subscription, "to": target})
			})
		},
	}
	c.Flags().Var(&to, "time", "`TIME` such as 2026-01-02T15:04:05Z, a duration before now such as 1h, or now")
	c.Flags().StringVar(&snapshot, "snapshot", "", "`SNAPSHOT` of the same topic")
	return c
}
