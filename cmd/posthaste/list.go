package main

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/posthaste-io/posthaste/internal/client"
)

// listPage is how many resources one call of a list command asks for.
const listPage = 1000

// pages calls next until it gives no further page token, each time with the last token in its request and a deadline of its own.
func pages(ctx context.Context, token *string, next func(context.Context) (string, error)) error {
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		following, err := next(call)
		cancel()
		if err != nil || following == "" {
			return err
		}
		*token = following
	}
}

// named is a resource of the API.
type named interface {
	proto.Message
	GetName() string
}

func asNamed[Resource named](resources []Resource) []named {
	page := make([]named, len(resources))
	for i, r := range resources {
		page[i] = r
	}
	return page
}

// listings give, for each kind of resources, a page of a project's and the token of the next page.
var listings = map[string]func(ctx context.Context, server *client.Connection, project, token string) ([]named, string, error){
	"topic": func(ctx context.Context, server *client.Connection, project, token string) ([]named, string, error) {
		page, err := server.Publisher.ListTopics(ctx, &pubsubpb.ListTopicsRequest{Project: project, PageSize: listPage, PageToken: token})
		return asNamed(page.GetTopics()), page.GetNextPageToken(), err
	},
	"subscription": func(ctx context.Context, server *client.Connection, project, token string) ([]named, string, error) {
		page, err := server.Subscriber.ListSubscriptions(ctx, &pubsubpb.ListSubscriptionsRequest{Project: project, PageSize: listPage, PageToken: token})
		return asNamed(page.GetSubscriptions()), page.GetNextPageToken(), err
	},
	"snapshot": func(ctx context.Context, server *client.Connection, project, token string) ([]named, string, error) {
		page, err := server.Subscriber.ListSnapshots(ctx, &pubsubpb.ListSnapshotsRequest{Project: project, PageSize: listPage, PageToken: token})
		return asNamed(page.GetSnapshots()), page.GetNextPageToken(), err
	},
	"schema": func(ctx context.Context, server *client.Connection, project, token string) ([]named, string, error) {
		page, err := server.Schemas.ListSchemas(ctx, &pubsubpb.ListSchemasRequest{Parent: project, PageSize: listPage, PageToken: token})
		return asNamed(page.GetSchemas()), page.GetNextPageToken(), err
	},
}

// eachPage calls do with the project's resources of a kind, a page at a time.
func eachPage(ctx context.Context, server *client.Connection, kind string, do func([]named) error) error {
	project, token := "projects/"+server.Project, ""
	return pages(ctx, &token, func(ctx context.Context) (string, error) {
		page, next, err := listings[kind](ctx, server, project, token)
		if err != nil {
			return "", server.Failed(err, "list %ss of %s", kind, project)
		}
		return next, do(page)
	})
}

// listCommand is the command that lists the resources of a kind.
func (a *app) listCommand(kind, example string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the " + kind + "s of the project", Args: cobra.NoArgs, Example: example,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
				return eachPage(ctx, server, kind, a.showAll)
			})
		},
	}
}

// showAll prints resources one a line: the names as text, or everything as JSON.
func (a *app) showAll(resources []named) error {
	for _, r := range resources {
		if a.output == outputJSON {
			if err := a.showJSON(r); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintln(a.out, r.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// changed prints what became of a resource.
func (a *app) changed(verb, name string, resource proto.Message) error {
	if a.output == outputJSON {
		return a.showJSON(resource)
	}
	_, err := fmt.Fprintln(a.out, verb, name)
	return err
}
