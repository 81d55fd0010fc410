package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/spf13/cobra"

	"github.com/posthaste-io/posthaste/internal/client"
	"github.com/posthaste-io/posthaste/internal/limit"
)

func (a *app) schemaCommand() *cobra.Command {
	return a.clientFlags(a.group("schema", "Create, list, describe, commit, delete and validate schemas",
		a.schemaCreate(), a.listCommand("schema", "  posthaste schema list\n  posthaste schema list --project shop --output json"), a.schemaDescribe(), a.schemaCommit(), a.schemaDelete(), a.schemaValidate()))
}

// schemaFlags are what commands say of a definition.
type schemaFlags struct {
	kind       string
	definition string // a file
}

func (f *schemaFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.definition, "definition", "", "`FILE` with the definition; - is the standard input")
	c.Flags().StringVar(&f.kind, "type", "", "`LANGUAGE` of the definition: avro or protobuf (default by the file's ending: .avsc or .proto)")
}

// read gives the definition that the flags name.
func (f *schemaFlags) read(a *app) (*pubsubpb.Schema, error) {
	kind := f.kind
	switch {
	case f.definition == "":
		return nil, usage("--definition: a file is needed")
	case kind == "" && strings.HasSuffix(f.definition, ".avsc"):
		kind = "avro"
	case kind == "" && strings.HasSuffix(f.definition, ".proto"):
		kind = "protobuf"
	}
	kinds := map[string]pubsubpb.Schema_Type{"avro": pubsubpb.Schema_AVRO, "protobuf": pubsubpb.Schema_PROTOCOL_BUFFER}
	if kinds[kind] == 0 {
		return nil, usage("--type: %q is unknown; allowed: avro, protobuf", kind)
	}
	text, err := a.readUpTo(f.definition, limit.SchemaDefinitionBytesMax+1)
	if err != nil {
		return nil, usage("--definition: %w", err)
	}
	return &pubsubpb.Schema{Type: kinds[kind], Definition: string(text)}, nil
}

// onSchema runs do with a deadline, for commands about one schema.
func (a *app) onSchema(do func(ctx context.Context, server *client.Connection, name string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		return a.with(c.Context(), func(ctx context.Context, server *client.Connection) error {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			return do(ctx, server, server.Schema(args[0]))
		})
	}
}

func (a *app) schemaCreate() *cobra.Command {
	var f schemaFlags
	c := &cobra.Command{
		Use: "create SCHEMA", Short: "Create a schema with its first revision", Args: cobra.ExactArgs(1),
		Example: "  posthaste schema create order --definition order.avsc\n  posthaste schema create order --type protobuf --definition - < order.proto",
		RunE: a.onSchema(func(ctx context.Context, server *client.Connection, name string) error {
			schema, err := f.read(a)
			if err != nil {
				return err
			}
			parent, id, _ := strings.Cut(name, "/schemas/")
			created, err := server.Schemas.CreateSchema(ctx, &pubsubpb.CreateSchemaRequest{Parent: parent, SchemaId: id, Schema: schema})
			if err != nil {
				return server.Failed(err, "create schema %s", name)
			}
			return a.changed("created", created.Name+"@"+created.RevisionId, created)
		}),
	}
	f.define(c)
	return c
}

func (a *app) schemaDescribe() *cobra.Command {
	var revisions bool
	c := &cobra.Command{
		Use: "describe SCHEMA[@REVISION]", Short: "Show a schema's latest revision, or the one named", Args: cobra.ExactArgs(1),
		Example: "  posthaste schema describe order\n  posthaste schema describe order@1f0c2a9b\n  posthaste schema describe order --revisions",
		RunE: a.onSchema(func(ctx context.Context, server *client.Connection, name string) error {
			if revisions {
				return a.schemaRevisions(ctx, server, name)
			}
			schema, err := server.Schemas.GetSchema(ctx, &pubsubpb.GetSchemaRequest{Name: name})
			if err != nil {
				return server.Failed(err, "describe schema %s", name)
			}
			return a.show(schema)
		}),
	}
	c.Flags().BoolVar(&revisions, "revisions", false, "list its revisions instead, the newest first")
	return c
}

func (a *app) schemaRevisions(ctx context.Context, server *client.Connection, name string) error {
	request := &pubsubpb.ListSchemaRevisionsRequest{Name: name, PageSize: listPage}
	return pages(ctx, &request.PageToken, func(ctx context.Context) (string, error) {
		page, err := server.Schemas.ListSchemaRevisions(ctx, request)
		if err != nil {
			return "", server.Failed(err, "list revisions of %s", name)
		}
		for _, v := range page.Schemas {
			if err := a.changed(v.RevisionCreateTime.AsTime().Format("2006-01-02T15:04:05.000Z"), v.Name+"@"+v.RevisionId, v); err != nil {
				return "", err
			}
		}
		return page.NextPageToken, nil
	})
}

func (a *app) schemaCommit() *cobra.Command {
	var f schemaFlags
	c := &cobra.Command{
		Use: "commit SCHEMA", Short: "Add a revision, which must be compatible with those that there are", Args: cobra.ExactArgs(1),
		Example: "  posthaste schema commit order --definition order.avsc",
		RunE: a.onSchema(func(ctx context.Context, server *client.Connection, name string) error {
			schema, err := f.read(a)
			if err != nil {
				return err
			}
			made, err := server.Schemas.CommitSchema(ctx, &pubsubpb.CommitSchemaRequest{Name: name, Schema: schema})
			if err != nil {
				return server.Failed(err, "commit schema %s", name)
			}
			return a.changed("committed", made.Name+"@"+made.RevisionId, made)
		}),
	}
	f.define(c)
	return c
}

func (a *app) schemaDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete SCHEMA[@REVISION]", Short: "Delete a schema, or one revision of it; topics that use it take no more messages", Args: cobra.ExactArgs(1),
		Example: "  posthaste schema delete order\n  posthaste schema delete order@1f0c2a9b",
		RunE: a.onSchema(func(ctx context.Context, server *client.Connection, name string) error {
			var err error
			if strings.Contains(name, "@") {
				_, err = server.Schemas.DeleteSchemaRevision(ctx, &pubsubpb.DeleteSchemaRevisionRequest{Name: name})
			} else {
				_, err = server.Schemas.DeleteSchema(ctx, &pubsubpb.DeleteSchemaRequest{Name: name})
			}
			if err != nil {
				return server.Failed(err, "delete schema %s", name)
			}
			return a.report("deleted "+name, map[string]string{"deleted": name})
		}),
	}
}

func (a *app) schemaValidate() *cobra.Command {
	var f schemaFlags
	var message, encoding string
	c := &cobra.Command{
		Use: "validate [SCHEMA[@REVISION]]", Short: "Check a definition, or a message against a definition or a schema", Args: cobra.MaximumNArgs(1),
		Example: "  posthaste schema validate --definition order.proto\n  posthaste schema validate order --message order.json",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{""}
			}
			return a.onSchema(func(ctx context.Context, server *client.Connection, _ string) error {
				return a.validate(ctx, server, args[0], &f, message, encoding)
			})(c, args)
		},
	}
	f.define(c)
	c.Flags().StringVar(&message, "message", "", "`FILE` with a message; - is the standard input")
	c.Flags().StringVar(&encoding, "encoding", "json", "`ENCODING` of the message: json or binary")
	return c
}

func (a *app) validate(ctx context.Context, server *client.Connection, name string, f *schemaFlags, message, encoding string) error {
	request := &pubsubpb.ValidateMessageRequest{Parent: "projects/" + server.Project}
	switch {
	case name != "" && f.definition != "" || name == "" && f.definition == "":
		return usage("validate: either a SCHEMA or a --definition is needed")
	case name != "" && message == "":
		return usage("--message: a file is needed")
	case name != "":
		request.SchemaSpec = &pubsubpb.ValidateMessageRequest_Name{Name: server.Schema(name)}
	default:
		schema, err := f.read(a)
		if err != nil {
			return err
		}
		if message == "" {
			_, err := server.Schemas.ValidateSchema(ctx, &pubsubpb.ValidateSchemaRequest{Parent: request.Parent, Schema: schema})
			return errors.Join(server.Failed(err, "validate %s", f.definition), a.valid(err, f.definition))
		}
		request.SchemaSpec = &pubsubpb.ValidateMessageRequest_Schema{Schema: schema}
	}
	encodings := map[string]pubsubpb.Encoding{"json": pubsubpb.Encoding_JSON, "binary": pubsubpb.Encoding_BINARY}
	if request.Encoding = encodings[encoding]; request.Encoding == 0 {
		return usage("--encoding: %q is unknown; allowed: json, binary", encoding)
	}
	var err error
	if request.Message, err = a.readUpTo(message, limit.PublishRequestBytesMax); err != nil {
		return usage("--message: %w", err)
	}
	_, err = server.Schemas.ValidateMessage(ctx, request)
	return errors.Join(server.Failed(err, "validate %s", message), a.valid(err, message))
}

// valid says that a file is valid, unless a call has failed.
func (a *app) valid(failed error, file string) error {
	if failed != nil {
		return nil
	}
	return a.report(fmt.Sprintf("%s is valid", file), map[string]string{"valid": file})
}
