package main

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthaste-io/posthaste/internal/client"
)

// warnOfDeadLetters says, apart from the output, when what is sent to a dead letter topic reaches nobody. Nothing is said of a topic
// that the caller may not look at.
func (a *app) warnOfDeadLetters(ctx context.Context, server *client.Connection, topic string) error {
	if topic == "" {
		return nil
	}
	page, err := server.Publisher.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: topic, PageSize: 1})
	warning := ""
	switch {
	case status.Code(err) == codes.NotFound:
		warning = "does not exist: messages that cannot be forwarded are delivered again and again"
	case err == nil && len(page.Subscriptions) == 0:
		warning = "has no subscription: dead letters reach nobody"
	default:
		return nil
	}
	_, err = fmt.Fprintf(a.errs, "posthaste: warning: dead letter topic %s %s\n", topic, warning)
	return err
}
