package google

import (
	"context"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// schemaService is the service google.pubsub.v1.SchemaService.
var schemaService = grpc.ServiceDesc{
	ServiceName: pubsubpb.SchemaService_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Metadata:    pubsubpb.SchemaService_ServiceDesc.Metadata,
	Methods: []grpc.MethodDesc{
		method("CreateSchema", (*server).createSchema),
		method("GetSchema", (*server).getSchema),
		method("ListSchemas", (*server).listSchemas),
		method("ListSchemaRevisions", (*server).listSchemaRevisions),
		method("CommitSchema", (*server).commitSchema),
		method("RollbackSchema", (*server).rollbackSchema),
		method("DeleteSchemaRevision", (*server).deleteSchemaRevision),
		method("DeleteSchema", (*server).deleteSchema),
		method("ValidateSchema", (*server).validateSchema),
		method("ValidateMessage", (*server).validateMessage),
	},
}

func (s *server) createSchema(ctx context.Context, in *pubsubpb.CreateSchemaRequest) (*pubsubpb.Schema, error) {
	return s.broker.Schemas().CreateSchema(ctx, in)
}

func (s *server) getSchema(_ context.Context, in *pubsubpb.GetSchemaRequest) (*pubsubpb.Schema, error) {
	return s.broker.Schemas().Get(in.Name, in.View)
}

func (s *server) listSchemas(_ context.Context, in *pubsubpb.ListSchemasRequest) (*pubsubpb.ListSchemasResponse, error) {
	page, next, err := s.broker.Schemas().List(in.Parent, in.View, in.PageSize, in.PageToken)
	return &pubsubpb.ListSchemasResponse{Schemas: page, NextPageToken: next}, err
}

func (s *server) listSchemaRevisions(_ context.Context, in *pubsubpb.ListSchemaRevisionsRequest) (*pubsubpb.ListSchemaRevisionsResponse, error) {
	page, next, err := s.broker.Schemas().Revisions(in.Name, in.View, in.PageSize, in.PageToken)
	return &pubsubpb.ListSchemaRevisionsResponse{Schemas: page, NextPageToken: next}, err
}

func (s *server) commitSchema(ctx context.Context, in *pubsubpb.CommitSchemaRequest) (*pubsubpb.Schema, error) {
	return s.broker.Schemas().CommitSchema(ctx, in)
}

func (s *server) rollbackSchema(ctx context.Context, in *pubsubpb.RollbackSchemaRequest) (*pubsubpb.Schema, error) {
	return s.broker.Schemas().RollbackSchema(ctx, in)
}

func (s *server) deleteSchemaRevision(ctx context.Context, in *pubsubpb.DeleteSchemaRevisionRequest) (*pubsubpb.Schema, error) {
	//lint:ignore SA1019 deprecated or not, clients use it
	return s.broker.Schemas().DeleteSchemaRevision(ctx, in.Name, in.RevisionId)
}

func (s *server) deleteSchema(ctx context.Context, in *pubsubpb.DeleteSchemaRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.broker.Schemas().DeleteSchema(ctx, in.Name)
}

func (s *server) validateSchema(_ context.Context, in *pubsubpb.ValidateSchemaRequest) (*pubsubpb.ValidateSchemaResponse, error) {
	return &pubsubpb.ValidateSchemaResponse{}, s.broker.Schemas().ValidateSchema(in)
}

func (s *server) validateMessage(_ context.Context, in *pubsubpb.ValidateMessageRequest) (*pubsubpb.ValidateMessageResponse, error) {
	return &pubsubpb.ValidateMessageResponse{}, s.broker.Schemas().ValidateMessage(in)
}
