package google

import (
	"context"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/grpc"

	"github.com/posthaste-io/posthaste/internal/iam"
)

// accessPolicy is the service google.iam.v1.IAMPolicy.
var accessPolicy = grpc.ServiceDesc{
	ServiceName: iampb.IAMPolicy_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Metadata:    iampb.IAMPolicy_ServiceDesc.Metadata,
	Methods: []grpc.MethodDesc{
		method("GetIamPolicy", (*server).getIamPolicy),
		method("SetIamPolicy", (*server).setIamPolicy),
		method("TestIamPermissions", (*server).testIamPermissions),
	},
}

func (s *server) getIamPolicy(_ context.Context, in *iampb.GetIamPolicyRequest) (*iampb.Policy, error) {
	return iam.Policies{Resources: s.broker}.Get(in.Resource, in.GetOptions().GetRequestedPolicyVersion())
}

func (s *server) setIamPolicy(ctx context.Context, in *iampb.SetIamPolicyRequest) (*iampb.Policy, error) {
	return iam.Policies{Resources: s.broker}.Set(ctx, in.Resource, in.Policy, in.UpdateMask)
}

func (s *server) testIamPermissions(_ context.Context, in *iampb.TestIamPermissionsRequest) (*iampb.TestIamPermissionsResponse, error) {
	held, err := iam.Policies{Resources: s.broker}.Test(in.Resource, in.Permissions)
	return &iampb.TestIamPermissionsResponse{Permissions: held}, err
}
