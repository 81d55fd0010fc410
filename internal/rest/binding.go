package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/posthaste-io/posthaste/internal/wire"
)

// method is a unary RPC of a registered service.
type method struct {
	service any
	handle  grpc.MethodHandler
	request *plan
	answer  protoreflect.MessageType
}

// call runs the RPC's gRPC handler on an encoded request, as the gRPC server would: ordinary messages and raw ones alike.
func (m *method) call(ctx context.Context, request []byte) (any, error) {
	decode := func(into any) error { return wire.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(request)}, into) }
	return m.handle(m.service, ctx, decode, nil)
}

// binding is one HTTP rule: a method and a kind of path that lead to an RPC.
type binding struct {
	method    *method
	variables []boundVariable
	body      *field // that the body is; nil for the whole request, or when hasBody is false
	hasBody   bool
}

// boundVariable is a template's variable and the fields that lead to its place.
type boundVariable struct {
	variable
	fields []*field
}

// register enters a service's RPCs under the rules that its definition has. Services without a definition, and RPCs without a rule, have
// no REST form.
func (r *router) register(p *plans, description *grpc.ServiceDesc, service any) error {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(description.ServiceName))
	if err != nil {
		return nil
	}
	definition, is := found.(protoreflect.ServiceDescriptor)
	if !is {
		return fmt.Errorf("%s is no service", description.ServiceName)
	}
	for i := range description.Methods {
		d := &description.Methods[i]
		rpc := definition.Methods().ByName(protoreflect.Name(d.MethodName))
		if rpc == nil {
			return fmt.Errorf("%s has no method %s", description.ServiceName, d.MethodName)
		}
		answer, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Output().FullName())
		if err != nil {
			return fmt.Errorf("%s: %w", rpc.FullName(), err)
		}
		m := &method{service: service, handle: d.Handler, request: p.of(rpc.Input()), answer: answer}
		for _, rule := range rulesOf(rpc) {
			if err := r.bind(m, rule); err != nil {
				return fmt.Errorf("%s: %w", rpc.FullName(), err)
			}
		}
	}
	return nil
}

// rulesOf are an RPC's rules, one binding each.
func rulesOf(rpc protoreflect.MethodDescriptor) []*annotations.HttpRule {
	if rules := serviceRules[rpc.FullName()]; rules != nil {
		return rules
	}
	if now, is := currentMethod(rpc); is {
		return likeRules(rulesOf(now))
	}
	rule, is := proto.GetExtension(rpc.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !is || rule == nil {
		return nil
	}
	return append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...)
}

// currentMethod finds the RPC of google.pubsub.v1 that one of v1beta2, whose definition has no rules, shares its paths with.
func currentMethod(rpc protoreflect.MethodDescriptor) (now protoreflect.MethodDescriptor, is bool) {
	rest, is := strings.CutPrefix(string(rpc.FullName()), "google.pubsub.v1beta2.")
	if !is {
		return nil, false
	}
	found, err := protoregistry.GlobalFiles.FindDescriptorByName("google.pubsub.v1." + protoreflect.FullName(rest))
	if err != nil {
		return nil, false
	}
	now, is = found.(protoreflect.MethodDescriptor)
	return now, is
}

// likeRules are rules of v1 for v1beta2.
func likeRules(rules []*annotations.HttpRule) []*annotations.HttpRule {
	older := make([]*annotations.HttpRule, 0, len(rules))
	for _, rule := range rules {
		method, path := pattern(rule)
		path = "/v1beta2/" + strings.TrimPrefix(path, "/v1/")
		custom := &annotations.CustomHttpPattern{Kind: method, Path: path}
		older = append(older, &annotations.HttpRule{Pattern: &annotations.HttpRule_Custom{Custom: custom}, Body: rule.GetBody()})
	}
	return older
}

// serviceRules are rules that stand in the product's service configuration instead of the definition: which resources have IAM policies.
var serviceRules = iamRules()

func iamRules() map[protoreflect.FullName][]*annotations.HttpRule {
	const service protoreflect.FullName = "google.iam.v1.IAMPolicy"
	rules := make(map[protoreflect.FullName][]*annotations.HttpRule)
	for _, version := range []string{"v1", "v1beta2"} {
		for _, kind := range []string{"topics", "subscriptions", "snapshots", "schemas"} {
			resource := "/" + version + "/{resource=projects/*/" + kind + "/*}"
			get, set, test := service.Append("GetIamPolicy"), service.Append("SetIamPolicy"), service.Append("TestIamPermissions")
			rules[get] = append(rules[get], &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: resource + ":getIamPolicy"}})
			rules[set] = append(rules[set], &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: resource + ":setIamPolicy"}, Body: "*"})
			rules[test] = append(rules[test], &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: resource + ":testIamPermissions"}, Body: "*"})
		}
	}
	return rules
}

func (r *router) bind(m *method, rule *annotations.HttpRule) error {
	verb, path := pattern(rule)
	t, err := parseTemplate(path)
	if err != nil {
		return err
	}
	b := &binding{method: m, hasBody: rule.GetBody() != ""}
	if name := rule.GetBody(); b.hasBody && name != "*" {
		if b.body = m.request.fields[name]; b.body == nil || b.body.message == nil {
			return fmt.Errorf("the body %q is no message of the request", name)
		}
	}
	for _, v := range t.variables {
		fields := m.request.lead(v.path)
		if fields == nil || fields[len(fields)-1].kind != protoreflect.StringKind {
			return fmt.Errorf("the variable %q of %q is no text of the request", v.path, path)
		}
		b.variables = append(b.variables, boundVariable{v, fields})
	}
	r.add(verb, &t, b)
	return nil
}

func pattern(rule *annotations.HttpRule) (method, path string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Custom:
		return p.Custom.GetKind(), p.Custom.GetPath()
	default:
		return "", ""
	}
}

// lead follows a path of names, with dots, through messages to a field. It is nil when there is none, or when the way leads through
// lists, maps or types whose fields are not seen in JSON.
func (p *plan) lead(path string) []*field {
	var fields []*field
	for name := range strings.SplitSeq(path, ".") {
		if p == nil {
			return nil
		}
		f := p.fields[name]
		if f == nil || f.key != nil {
			return nil
		}
		fields = append(fields, f)
		p = f.message
		if f.list {
			p = nil
		}
	}
	return fields
}
