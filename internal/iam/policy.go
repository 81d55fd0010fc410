package iam

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/iam/apiv1/iampb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// unsetEtag is the etag of a policy that was never set. The real service gives the same bytes.
var unsetEtag = []byte{0x00, 0x20, 0x01}

// conditionsVersion is the only version of a policy that may have conditions.
const conditionsVersion = 3

// Unset is the policy of a resource whose policy was never set: it grants nothing.
func Unset() *iampb.Policy { return &iampb.Policy{Etag: bytes.Clone(unsetEtag)} }

// Decode reads what Encode wrote.
func Decode(stored []byte) (*iampb.Policy, error) {
	policy := new(iampb.Policy)
	if err := proto.Unmarshal(stored, policy); err != nil {
		return nil, fmt.Errorf("decode stored policy: %w", err)
	}
	return policy, nil
}

// Encode gives the stored form of a policy.
func Encode(policy *iampb.Policy) []byte {
	stored, err := proto.MarshalOptions{Deterministic: true}.Marshal(policy)
	if err != nil { // all strings of a policy came out of a decoder that checked them
		panic("bug: iam: encode policy: " + err.Error())
	}
	return stored
}

// Set is the policy after a SetIamPolicy: the fields that the mask names are taken from in, all of them when there is no mask but the
// audit configuration, which must be named. The new policy has a new etag. ABORTED when in has an etag that is not current's.
func Set(current, in *iampb.Policy, mask *fieldmaskpb.FieldMask) (*iampb.Policy, error) {
	if in == nil {
		return nil, invalid("The policy in the SetIamPolicyRequest must be set.")
	}
	next := proto.Clone(current).(*iampb.Policy)
	sent := proto.Clone(in).(*iampb.Policy)
	paths := mask.GetPaths()
	if len(paths) == 0 {
		paths = []string{"bindings", "version", "etag"}
	}
	for _, path := range paths {
		switch path {
		case "bindings":
			next.Bindings = sent.Bindings
		case "version":
			next.Version = sent.Version
		case "audit_configs":
			next.AuditConfigs = sent.AuditConfigs
		case "etag": // compared, never taken
		default:
			return nil, invalid("Invalid update_mask provided in the SetIamPolicyRequest: %s is not a known Policy field.", quoted(path))
		}
	}
	if err := check(next); err != nil {
		return nil, err
	}
	if len(in.Etag) > 0 && !bytes.Equal(in.Etag, current.Etag) {
		return nil, status.Error(codes.Aborted, "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.")
	}
	next.Etag = make([]byte, 8)
	rand.Read(next.Etag)
	return next, nil
}

// Show is a policy in the version that a client asks for: 0, 1 or 3. A client that knows no conditions gets roles whose names say that
// they are conditional, so that it does not take them for unconditional ones.
func Show(policy *iampb.Policy, version int32) (*iampb.Policy, error) {
	if err := checkVersion("options.requested_policy_version", version); err != nil {
		return nil, err
	}
	shown := proto.Clone(policy).(*iampb.Policy)
	if version == conditionsVersion {
		return shown, nil
	}
	shown.Version = min(shown.Version, 1)
	for _, binding := range shown.Bindings {
		if binding.Condition != nil {
			binding.Role += conditionalMark + digest(binding.Condition)
			binding.Condition = nil
		}
	}
	return shown, nil
}

// conditionalMark stands between a role and the digest of its condition where conditions cannot be shown.
const conditionalMark = "_withcond_"

func digest(condition proto.Message) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(condition)
	if err != nil {
		panic("bug: iam: encode condition: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:10])
}

func checkVersion(field string, version int32) error {
	if version == 0 || version == 1 || version == conditionsVersion {
		return nil
	}
	return invalid("Invalid policy version given (%s=%d). The version must be 0, 1 or 3.", field, version)
}

// check holds a whole policy against the rules.
func check(policy *iampb.Policy) error {
	if err := checkVersion("policy.version", policy.Version); err != nil {
		return err
	}
	members := 0
	for i, binding := range policy.Bindings {
		if err := checkBinding(fmt.Sprintf("policy.bindings[%d]", i), policy.Version, binding); err != nil {
			return err
		}
		members += len(binding.Members)
	}
	if members > limit.PolicyMembersMax {
		return tooLarge("policy.bindings members", members, limit.PolicyMembersMax)
	}
	if size := proto.Size(policy); size > limit.ResourceBytesMax {
		return tooLarge("policy_size", size, limit.ResourceBytesMax)
	}
	return nil
}

func tooLarge(what string, passed, most int) error {
	return invalid("The value for %s is too large. You passed %d in the request, but the maximum value is %d.", what, passed, most)
}

func checkBinding(at string, version int32, binding *iampb.Binding) error {
	switch {
	case !validRole(binding.Role):
		return invalid("Invalid role given (%s.role=%s). A role is roles/{role}, projects/{project}/roles/{role} or organizations/{organization}/roles/{role}.",
			at, quoted(binding.Role))
	case len(binding.Members) == 0:
		return invalid("Invalid binding given (%s.members is empty). A binding must have at least one member.", at)
	case binding.Condition != nil && version != conditionsVersion:
		return invalid("Invalid binding given (%s.condition is set). A policy with conditions must have version %d.", at, conditionsVersion)
	case binding.Condition != nil && strings.TrimSpace(binding.Condition.Expression) == "":
		return invalid("Invalid binding given (%s.condition.expression is empty).", at)
	}
	for i, member := range binding.Members {
		if !validMember(member) {
			return invalid("Invalid member given (%s.members[%d]=%s).", at, i, quoted(member))
		}
	}
	return nil
}

// validRole takes predefined and custom roles. A conditional role as Show writes it for old clients is none: stored, it would grant
// nothing, and the condition would be lost.
func validRole(role string) bool {
	segments := strings.Split(role, "/")
	if slices.Contains(segments, "") || strings.ContainsAny(role, " \t\r\n") || strings.Contains(role, conditionalMark) {
		return false
	}
	switch len(segments) {
	case 2:
		return segments[0] == "roles"
	case 4:
		return (segments[0] == "projects" || segments[0] == "organizations") && segments[2] == "roles"
	}
	return false
}
