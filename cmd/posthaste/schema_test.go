package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fakeSchemas keeps what it was asked last, and answers with one schema.
type fakeSchemas struct {
	pubsubpb.UnimplementedSchemaServiceServer
	asked  proto.Message
	answer *pubsubpb.Schema
}

func (f *fakeSchemas) CreateSchema(_ context.Context, in *pubsubpb.CreateSchemaRequest) (*pubsubpb.Schema, error) {
	f.asked = in
	return f.answer, nil
}

func (f *fakeSchemas) CommitSchema(_ context.Context, in *pubsubpb.CommitSchemaRequest) (*pubsubpb.Schema, error) {
	f.asked = in
	return f.answer, nil
}

func (f *fakeSchemas) GetSchema(_ context.Context, in *pubsubpb.GetSchemaRequest) (*pubsubpb.Schema, error) {
	f.asked = in
	return f.answer, nil
}

func (f *fakeSchemas) ListSchemas(_ context.Context, in *pubsubpb.ListSchemasRequest) (*pubsubpb.ListSchemasResponse, error) {
	f.asked = in
	return &pubsubpb.ListSchemasResponse{Schemas: []*pubsubpb.Schema{f.answer}}, nil
}

func (f *fakeSchemas) ListSchemaRevisions(_ context.Context, in *pubsubpb.ListSchemaRevisionsRequest) (*pubsubpb.ListSchemaRevisionsResponse, error) {
	f.asked = in
	return &pubsubpb.ListSchemaRevisionsResponse{Schemas: []*pubsubpb.Schema{f.answer}}, nil
}

func (f *fakeSchemas) DeleteSchema(_ context.Context, in *pubsubpb.DeleteSchemaRequest) (*emptypb.Empty, error) {
	f.asked = in
	return &emptypb.Empty{}, nil
}

func (f *fakeSchemas) DeleteSchemaRevision(_ context.Context, in *pubsubpb.DeleteSchemaRevisionRequest) (*pubsubpb.Schema, error) {
	f.asked = in
	return f.answer, nil
}

func (f *fakeSchemas) ValidateSchema(_ context.Context, in *pubsubpb.ValidateSchemaRequest) (*pubsubpb.ValidateSchemaResponse, error) {
	f.asked = in
	return &pubsubpb.ValidateSchemaResponse{}, nil
}

func (f *fakeSchemas) ValidateMessage(_ context.Context, in *pubsubpb.ValidateMessageRequest) (*pubsubpb.ValidateMessageResponse, error) {
	f.asked = in
	if string(in.Message) == "bad" {
		return nil, status.Error(codes.InvalidArgument, "Invalid data in message: Message failed schema validation.")
	}
	return &pubsubpb.ValidateMessageResponse{}, nil
}

func TestSchemaCommandsAskForWhatTheySay(t *testing.T) {
	const name = "projects/p/schemas/order"
	schemas := &fakeSchemas{answer: &pubsubpb.Schema{Name: name, Type: pubsubpb.Schema_AVRO, RevisionId: "1f0c2a9b",
		RevisionCreateTime: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}}
	address := serveSchemas(t, schemas)
	file := filepath.Join(t.TempDir(), "order.avsc")
	if err := os.WriteFile(file, []byte(`"int"`), 0o600); err != nil {
		t.Fatal(err)
	}
	held, unnamed := &pubsubpb.Schema{Type: pubsubpb.Schema_AVRO, Definition: `"int"`}, &pubsubpb.Schema{Type: pubsubpb.Schema_PROTOCOL_BUFFER, Definition: "in"}
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
		asked     proto.Message
	}{
		{[]string{"create", "order", "--definition", file}, 0, "created " + name + "@1f0c2a9b\n", "",
			&pubsubpb.CreateSchemaRequest{Parent: "projects/p", SchemaId: "order", Schema: held}},
		{[]string{"commit", name, "--definition", "-", "--type", "protobuf"}, 0, "committed " + name + "@1f0c2a9b\n", "",
			&pubsubpb.CommitSchemaRequest{Name: name, Schema: unnamed}},
		{[]string{"commit", name, "--definition", "-"}, 2, "", "posthaste: --type: \"\" is unknown; allowed: avro, protobuf\n", nil},
		{[]string{"create", "order"}, 2, "", "posthaste: --definition: a file is needed\n", nil},
		{[]string{"list"}, 0, name + "\n", "", &pubsubpb.ListSchemasRequest{Parent: "projects/p", PageSize: listPage}},
		{[]string{"describe", "order@1f0c2a9b", "--output", "json"}, 0,
			`{"name":"` + name + `","type":"AVRO","revisionId":"1f0c2a9b","revisionCreateTime":"2026-01-02T03:04:05Z"}` + "\n", "",
			&pubsubpb.GetSchemaRequest{Name: name + "@1f0c2a9b"}},
		{[]string{"describe", "order", "--revisions"}, 0, "2026-01-02T03:04:05.000Z " + name + "@1f0c2a9b\n", "",
			&pubsubpb.ListSchemaRevisionsRequest{Name: name, PageSize: listPage}},
		{[]string{"delete", "order"}, 0, "deleted " + name + "\n", "", &pubsubpb.DeleteSchemaRequest{Name: name}},
		{[]string{"delete", "order@1f0c2a9b"}, 0, "deleted " + name + "@1f0c2a9b\n", "", &pubsubpb.DeleteSchemaRevisionRequest{Name: name + "@1f0c2a9b"}},
		{[]string{"validate", "--definition", file}, 0, file + " is valid\n", "", &pubsubpb.ValidateSchemaRequest{Parent: "projects/p", Schema: held}},
		{[]string{"validate", "order", "--message", "-", "--encoding", "binary"}, 0, "- is valid\n", "", &pubsubpb.ValidateMessageRequest{
			Parent: "projects/p", SchemaSpec: &pubsubpb.ValidateMessageRequest_Name{Name: name}, Message: []byte("in"), Encoding: pubsubpb.Encoding_BINARY}},
		{[]string{"validate", "--definition", file, "--message", "-"}, 0, "- is valid\n", "", &pubsubpb.ValidateMessageRequest{
			Parent: "projects/p", SchemaSpec: &pubsubpb.ValidateMessageRequest_Schema{Schema: held}, Message: []byte("in"), Encoding: pubsubpb.Encoding_JSON}},
		{[]string{"validate"}, 2, "", "posthaste: validate: either a SCHEMA or a --definition is needed\n", nil},
		{[]string{"validate", "order"}, 2, "", "posthaste: --message: a file is needed\n", nil},
		{[]string{"validate", "order", "--message", "-", "--encoding", "xml"}, 2, "", "posthaste: --encoding: \"xml\" is unknown; allowed: json, binary\n", nil},
	} {
		schemas.asked = nil
		got := runIn(t, map[string]string{"POSTHASTE_ADDR": address, "PUBSUB_PROJECT_ID": "p"}, "in", append([]string{"schema"}, c.args...)...)
		got.want(t, c.code, c.out, c.errs)
		if (c.asked == nil) != (schemas.asked == nil) || c.asked != nil && !proto.Equal(schemas.asked, c.asked) {
			t.Errorf("%q asked %v, want %v", c.args, schemas.asked, c.asked)
		}
	}
	runIn(t, map[string]string{"POSTHASTE_ADDR": address, "PUBSUB_PROJECT_ID": "p"}, "bad", "schema", "validate", "order", "--message", "-").
		want(t, 1, "", "posthaste: validate -: INVALID_ARGUMENT: Invalid data in message: Message failed schema validation.\n")
}

func serveSchemas(t *testing.T, schemas pubsubpb.SchemaServiceServer) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pubsubpb.RegisterSchemaServiceServer(server, schemas)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}
